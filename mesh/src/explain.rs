//! The story of one message: what this node remembers of it, what the nodes at its other ends say that they remember,
//! and where it stands now. It is for people; nothing is decided by it, and nothing that a peer tells is believed.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::control::{ControlBody, Explain, Moment as SaidMoment, Story, schema, subject};
use proto::entry::Letter;
use proto::limits::{
    SECOND, STORIES_MAX, STORIES_PER_SECOND, STORY_MOMENTS_MAX, STORY_NODES_MAX, STORY_NOW_BYTES_MAX, STORY_NOW_MAX,
    STORY_WAIT, STORY_WORD_BYTES_MAX,
};
use proto::{AgentId, Content, DoorEvent, ErrorCode, FlowKind, MessageId, NodeId, is_active};

use crate::dead::Corpse;
use crate::effect::{Control, Effect};
use crate::history::Moment;
use crate::input::LinkId;
use crate::listing::{ago, parse_id};
use crate::mailbox::{Item, State};
use crate::node::Node;
use crate::pair::Pair;
use crate::say::{Asked, Failure};
use crate::sending::kind_of;
use crate::step::Step;
use crate::submission::end_in_words;
use crate::time::{Mono, Now};
use crate::timers::Why;

/// Stories that wait for other nodes, and how many each of those was told.
#[derive(Debug, Default)]
pub(crate) struct Stories {
    next: u64,
    pending: BTreeMap<u64, Pending>,
    told: BTreeMap<NodeId, (u64, u32)>,
}

/// A story that is put together.
#[derive(Debug)]
struct Pending {
    asked: Asked,
    id: MessageId,
    story: Story,
    awaited: BTreeSet<NodeId>,
    ends: Mono,
}

/// Questions to the node that are not answered from what it has at hand: it asks other nodes first.
#[must_use]
pub fn is_for_the_core(content: &Content) -> bool {
    DoorEvent::of(content) == Some(DoorEvent::Question) && content.metadata.subject() == Some(subject::EXPLAIN)
}

impl Node {
    /// A client asks what became of a message.
    pub(crate) fn explain(&mut self, asked: Asked, content: &Content, step: &mut Step<'_>) {
        match self.begin_story(asked, content, step) {
            Err(failure) => self.refuse(asked, failure, step),
            Ok(pending) if pending.awaited.is_empty() => self.tell_story(pending, step),
            Ok(pending) => {
                self.stories.next += 1;
                self.timers.set(pending.ends, Why::StoryEnds(self.stories.next));
                self.stories.pending.insert(self.stories.next, pending);
            }
        }
    }

    fn begin_story(&self, asked: Asked, content: &Content, step: &mut Step<'_>) -> Result<Pending, Failure> {
        if self.stories.pending.len() >= STORIES_MAX {
            return Err(Failure::full("as many stories are put together as may be at a time"));
        }
        let explain = Explain::read(content.header.content_type(), &content.body);
        let explain = explain.ok_or(Failure::new(ErrorCode::MALFORMED, "the body of node.explain cannot be read"))?;
        let id = parse_id(&explain.message_id)?;
        let known = self.known_of(id);
        let mut story = self.story_of(id, &known, step.now);
        let us = self.me.name.to_string();
        story.now.iter_mut().for_each(|sentence| *sentence = format!("{us}: {sentence}"));
        let mut awaited = BTreeSet::new();
        for node in self.other_ends(&known).into_iter().take(STORY_NODES_MAX) {
            match self.links.to(node) {
                Some(link) => {
                    step.ask(Effect::Control { link, said: Control::Explain(id) });
                    awaited.insert(node);
                }
                None => story.silent.push(self.name_of_node(Some(node))),
            }
        }
        Ok(Pending { asked, id, story, awaited, ends: step.now.mono.after(STORY_WAIT) })
    }

    /// A peer asks. It hears of messages from and to its own agents, and of nothing else.
    pub(crate) fn story_wanted(&mut self, link: LinkId, id: MessageId, step: &mut Step<'_>) {
        let Some(peer) = self.links.peer_of(link).filter(|peer| self.stories.may_tell(*peer, step.now.mono)) else {
            self.stats.ignored += 1;
            return;
        };
        let mut known = self.known_of(id);
        known.keep(|pair| [pair.source, pair.destination].iter().any(|end| self.directory.host(*end) == Some(peer)));
        let mut story = self.story_of(id, &known, step.now);
        for moment in &mut story.moments {
            // The peer knows what its peers and their agents are called.
            moment.node_name.clear();
            moment.source_name.clear();
            moment.destination_name.clear();
        }
        step.ask(Effect::Control { link, said: Control::Story(Box::new(story)) });
    }

    /// A peer tells what it remembers, as it was asked.
    pub(crate) fn story_told(&mut self, link: LinkId, story: &Story, step: &mut Step<'_>) {
        let Some(peer) = self.links.peer_of(link) else { return };
        let Some(id) = MessageId::parse(&story.message_id) else { return };
        let awaits = |pending: &Pending| pending.id == id && pending.awaited.contains(&peer);
        if !self.stories.pending.values().any(awaits) {
            self.stats.ignored += 1;
            return;
        }
        let name = self.name_of_node(Some(peer));
        let moments: Vec<SaidMoment> =
            story.moments.iter().take(STORY_MOMENTS_MAX).filter_map(|moment| self.checked(moment, &name)).collect();
        let now = story.now.iter().take(STORY_NOW_MAX).filter(|sentence| is_plain(sentence, STORY_NOW_BYTES_MAX));
        let now: Vec<String> = now.map(|sentence| format!("{name}: {sentence}")).collect();
        let waiting = self.stories.pending.iter_mut().filter(|(_, pending)| pending.id == id);
        let mut complete = Vec::new();
        for (number, pending) in waiting {
            if pending.awaited.remove(&peer) {
                pending.story.moments.extend(moments.iter().cloned());
                pending.story.now.extend(now.iter().cloned());
            }
            if pending.awaited.is_empty() {
                complete.push(*number);
            }
        }
        for number in complete {
            if let Some(pending) = self.stories.pending.remove(&number) {
                self.timers.clear(pending.ends, Why::StoryEnds(number));
                self.tell_story(pending, step);
            }
        }
    }

    /// Whoever has not told by now is silent.
    pub(crate) fn story_ends(&mut self, number: u64, step: &mut Step<'_>) {
        let Some(mut pending) = self.stories.pending.remove(&number) else { return };
        for node in core::mem::take(&mut pending.awaited) {
            pending.story.silent.push(self.name_of_node(Some(node)));
        }
        self.tell_story(pending, step);
    }

    fn tell_story(&mut self, mut pending: Pending, step: &mut Step<'_>) {
        pending.story.moments.sort_by_key(|moment| moment.time);
        pending.story.time = step.wall();
        self.answer(pending.asked, &pending.story, step);
    }

    /// A moment that a peer tells, if all of it is what it should be. What it is called here counts.
    fn checked(&self, told: &SaidMoment, node: &str) -> Option<SaidMoment> {
        let source: AgentId = told.source.parse().ok()?;
        let destination: AgentId = told.destination.parse().ok()?;
        let is_word = |word: &str| {
            word.len() <= STORY_WORD_BYTES_MAX && word.bytes().all(|c| c.is_ascii_lowercase() || c == b'-')
        };
        (is_word(&told.what) && is_word(&told.message_type) && MessageId::parse(&told.message_id).is_some()).then(
            || SaidMoment {
                node_name: node.into(),
                source_name: self.name_of(source),
                destination_name: self.name_of(destination),
                ..told.clone()
            },
        )
    }

    /// All that this node has of an id.
    fn known_of(&self, id: MessageId) -> Known {
        let moments = self.history.of(id);
        let owned = self.outbox.pairs.keys().filter(|pair| self.outbox.place(**pair, id).is_some());
        let owned: Vec<Pair> = owned.copied().collect();
        let held = self.mailboxes.pairs_with(id);
        let awaited = self.stubs.pairs_with(id);
        let dead = self.dead.all.iter().filter(|(_, buried)| buried.corpse.letter.id == id);
        let dead = dead.map(|(grave, buried)| (grave.0, buried.corpse.clone())).collect();
        Known { id, moments, owned, held, awaited, dead }
    }

    /// The nodes at the other ends of a message; all peers, if nothing is known of it here.
    fn other_ends(&self, known: &Known) -> BTreeSet<NodeId> {
        let pairs = known.pairs();
        if pairs.is_empty() {
            return self.links.peers.keys().copied().collect();
        }
        let ends = pairs.iter().flat_map(|pair| [pair.source, pair.destination]);
        ends.filter_map(|end| self.directory.host(end)).filter(|node| *node != self.node_id()).collect()
    }

    fn story_of(&self, id: MessageId, known: &Known, now: Now) -> Story {
        let all: Vec<SaidMoment> = known.moments.iter().map(|moment| self.said_moment(moment)).collect();
        let half = STORY_MOMENTS_MAX / 2;
        let moments = if all.len() <= STORY_MOMENTS_MAX {
            all
        } else {
            let last = all.len() - half;
            all.into_iter().enumerate().filter(|(at, _)| *at < half || *at >= last).map(|(_, moment)| moment).collect()
        };
        let mut sentences = self.standing(known, now);
        sentences.truncate(STORY_NOW_MAX);
        sentences.iter_mut().for_each(|sentence| sentence.truncate(sentence.floor_char_boundary(STORY_NOW_BYTES_MAX)));
        Story { schema: schema::STORY.into(), message_id: id.to_string(), moments, now: sentences, ..Story::default() }
    }

    /// Where a message stands at this node, a sentence for each of its parts that is here.
    fn standing(&self, known: &Known, now: Now) -> Vec<String> {
        let id = known.id;
        let mut said = Vec::new();
        for pair in &known.owned {
            let Some((place, owned)) = self.owned(*pair, id) else { continue };
            let Some((state, why)) = self.why_owned(*pair, place, now) else { continue };
            let since = ago(owned.letter.timestamp, now.wall);
            let what = what_of(*pair);
            said.push(format!("{what} is in the outbox for {since} ({state}): {why}"));
        }
        for pair in &known.held {
            let item = self.mailboxes.place(*pair, id).and_then(|place| self.mailboxes.item(place));
            if let Some(item) = item {
                said.push(self.standing_in_mailbox(*pair, item, now));
            }
        }
        for pair in &known.awaited {
            if !known.held.contains(&Pair::answers(pair.destination, pair.source)) {
                said.push(format!("{} waits to hear of its end", self.called(pair.source)));
            }
        }
        for (since, corpse) in &known.dead {
            let (what, code) = (what_of(pair_of(&corpse.letter)), corpse.code.get());
            let (since, why) = (ago(*since, now.wall), end_in_words(corpse.code));
            said.push(format!("{what} is a dead letter for {since}: {why} (AICP-{code})"));
        }
        if said.is_empty()
            && let Some(last) = known.moments.last()
        {
            said.push(format!(
                "nothing of it waits here; the last was `{}`, {} ago",
                last.what.word(),
                ago(last.wall.0, now.wall)
            ));
        }
        said
    }

    fn standing_in_mailbox(&self, pair: Pair, item: &Item, now: Now) -> String {
        let (what, agent) = (what_of(pair), self.called(pair.destination));
        let since = ago(item.received.received, now.wall);
        let tries = match item.tries {
            0 => String::from("never delivered in this run"),
            1 => String::from("delivered once"),
            tries => format!("delivered {tries} times"),
        };
        match item.state {
            State::Out { .. } => {
                format!("{what} lies with {agent}, who has not settled it; {tries}, taken {since} ago")
            }
            State::Resting => {
                format!("{what} failed and is delivered again to {agent} soon; {tries}, taken {since} ago")
            }
            State::Ready if self.locals.client_of(pair.destination).is_none() => {
                format!("{what} is in the mailbox of {agent} for {since}, who is not attached; {tries}")
            }
            State::Ready => format!("{what} is in the mailbox of {agent} for {since}; {tries}"),
        }
    }

    fn called(&self, agent: AgentId) -> String {
        let name = self.name_of(agent);
        if name.is_empty() { agent.short() } else { name }
    }
}

impl Stories {
    /// So many a second for each peer.
    fn may_tell(&mut self, peer: NodeId, now: Mono) -> bool {
        let second = now.0 / SECOND;
        let (of, told) = self.told.entry(peer).or_default();
        if *of != second {
            (*of, *told) = (second, 0);
        }
        *told = told.saturating_add(1);
        *told <= STORIES_PER_SECOND
    }
}

/// What a node has of one message.
struct Known {
    id: MessageId,
    moments: Vec<Moment>,
    owned: Vec<Pair>,
    held: Vec<Pair>,
    awaited: Vec<Pair>,
    /// Since when, and what.
    dead: Vec<(u64, Corpse)>,
}

impl Known {
    fn pairs(&self) -> BTreeSet<Pair> {
        let moments = self.moments.iter().map(|moment| Pair::messages(moment.source, moment.destination));
        let dead = self.dead.iter().map(|(_, corpse)| pair_of(&corpse.letter));
        let kept = self.owned.iter().chain(&self.held).chain(&self.awaited).copied();
        moments.chain(kept).chain(dead).collect()
    }

    fn keep(&mut self, is_theirs: impl Fn(Pair) -> bool) {
        self.moments.retain(|moment| is_theirs(Pair::messages(moment.source, moment.destination)));
        self.owned.retain(|pair| is_theirs(*pair));
        self.held.retain(|pair| is_theirs(*pair));
        self.awaited.retain(|pair| is_theirs(*pair));
        self.dead.retain(|(_, corpse)| is_theirs(pair_of(&corpse.letter)));
    }
}

const fn pair_of(letter: &Letter) -> Pair {
    Pair { source: letter.source, destination: letter.destination, kind: kind_of(letter) }
}

const fn what_of(pair: Pair) -> &'static str {
    match pair.kind {
        FlowKind::Messages => "the message",
        FlowKind::Answers => "its outcome",
    }
}

/// One line of text, at most that long.
fn is_plain(text: &str, bytes: usize) -> bool {
    !text.is_empty() && text.len() <= bytes && !text.chars().any(is_active)
}
