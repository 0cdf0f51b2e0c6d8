//! What an operator may ask of a node: lists of what it owns and of what was given up, and what happens. Envelopes alone: no body, no subject
//! and no metadata of anybody's mail. Nothing is changed by a question.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proto::control::{
    DeadLetter, DeadLetters, Moment as SaidMoment, Outbox, OutboxMessage, Select, Tap, TapReply, schema,
};
use proto::entry::{Letter, Place};
use proto::limits::{SECOND, SELECTED_MAX, TAP_MOMENTS_MAX};
use proto::{AgentId, ErrorCode, MessageId, MessageType, Name, NodeId};

use crate::dead::{Corpse, Grave};
use crate::history::{Moment, What};
use crate::input::ClientId;
use crate::node::Node;
use crate::outbox::Owned;
use crate::pair::Pair;
use crate::say::Failure;
use crate::submission::end_in_words;
use crate::summary::PeerState;
use crate::time::{Now, Wall};

/// Why a question has no answer, in a few words for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unanswered {
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub words: Cow<'static, str>,
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self { code: failure.code, words: failure.words }
    }
}

/// Which messages are meant.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) id: Option<MessageId>,
    agent: Option<AgentId>,
    node: Option<NodeId>,
    /// Nothing was said that would leave any out.
    pub(crate) is_open: bool,
    /// So many at most, the oldest first.
    pub(crate) limit: usize,
}

/// A list, and what it was taken from.
pub(crate) struct Selected<T> {
    /// The oldest of them, the oldest first.
    pub(crate) oldest: Vec<T>,
    total: u64,
    bytes: u64,
}

impl Selection {
    pub(crate) fn fits(&self, node: &Node, letter: &Letter) -> bool {
        self.id.is_none_or(|id| id == letter.id) && self.fits_pair(node, letter.source, letter.destination)
    }

    fn fits_pair(&self, node: &Node, source: AgentId, destination: AgentId) -> bool {
        self.agent.is_none_or(|agent| agent == source || agent == destination)
            && self.node.is_none_or(|host| node.directory.host(destination) == Some(host))
    }
}

impl Node {
    /// Whether a client may give orders, and see what happens to everybody.
    #[must_use]
    pub fn is_admin(&self, client: ClientId) -> bool {
        self.clients.is_admin(client)
    }

    /// What this node owns.
    pub fn outbox(&self, asked: &Select, now: Now) -> Result<Outbox, Unanswered> {
        let selected = self.select_owned(&self.selection(asked)?);
        let messages = selected.oldest.iter().filter_map(|(pair, place)| self.outbox_message(*pair, *place, now));
        Ok(Outbox {
            schema: schema::OUTBOX.into(),
            total: selected.total,
            bytes: selected.bytes,
            messages: messages.collect(),
            time: now.wall.0,
        })
    }

    /// What was given up.
    pub fn dead_letters(&self, asked: &Select, now: Now) -> Result<DeadLetters, Unanswered> {
        let selected = self.select_dead(&self.selection(asked)?, |_| true);
        let found = selected.oldest.iter().filter_map(|grave| Some((grave.0, self.dead.all.get(grave)?)));
        let letters = found.map(|(since, buried)| self.dead_letter(&buried.corpse, since)).collect();
        let (total, bytes) = (selected.total, selected.bytes);
        Ok(DeadLetters { schema: schema::DEAD.into(), total, bytes, letters, time: now.wall.0 })
    }

    /// What happened since the last answer. Whoever asks is an administrator.
    pub fn tap(&self, asked: &Tap) -> Result<TapReply, Unanswered> {
        let agent = if asked.agent.is_empty() { None } else { Some(self.find_agent(&asked.agent)?) };
        // What clients hold is one above ours, so that 0 is free to mean now.
        let Some(cursor) = asked.cursor.checked_sub(1) else {
            let cursor = self.history.cursor() + 1;
            return Ok(TapReply { schema: schema::TAP.into(), cursor, ..TapReply::default() });
        };
        let fits = |moment: &Moment| agent.is_none_or(|agent| agent == moment.source || agent == moment.destination);
        let since = self.history.since(cursor, bounded(asked.limit, TAP_MOMENTS_MAX), fits);
        Ok(TapReply {
            schema: schema::TAP.into(),
            cursor: since.cursor + 1,
            missed: since.missed,
            moments: since.moments.iter().map(|moment| self.said_moment(moment)).collect(),
        })
    }

    /// What was asked for, once it makes sense.
    pub(crate) fn selection(&self, asked: &Select) -> Result<Selection, Failure> {
        let id = match asked.message_id.as_str() {
            "" => None,
            text => Some(parse_id(text)?),
        };
        let agent = match asked.agent.as_str() {
            "" => None,
            text => Some(self.find_agent(text)?),
        };
        let node = match asked.node.as_str() {
            "" => None,
            text => Some(self.find_node(text)?),
        };
        let is_open = id.is_none() && agent.is_none() && node.is_none();
        Ok(Selection { id, agent, node, is_open, limit: bounded(asked.limit, SELECTED_MAX) })
    }

    /// An agent by its address. An id need not be known any more.
    fn find_agent(&self, address: &str) -> Result<AgentId, Failure> {
        address.parse().or_else(|_| self.find_name(address))
    }

    fn find_node(&self, text: &str) -> Result<NodeId, Failure> {
        let unknown = |_| Failure::new(ErrorCode::OFFLINE, "no node of this name is known here");
        let name: Name = text.parse().map_err(unknown)?;
        self.node_named(&name)
    }

    /// The pairs that have something of what is meant.
    pub(crate) fn pairs_of(&self, selection: &Selection) -> Vec<Pair> {
        let pairs = self.outbox.pairs.iter().filter(|(pair, out)| {
            let has_id = selection.id.is_none_or(|id| self.outbox.place(**pair, id).is_some());
            has_id && !out.is_empty() && selection.fits_pair(self, pair.source, pair.destination)
        });
        pairs.map(|(pair, _)| *pair).collect()
    }

    pub(crate) fn select_owned(&self, selection: &Selection) -> Selected<(Pair, Place)> {
        let mut chosen = Chosen::new(selection.limit);
        for (pair, out) in &self.outbox.pairs {
            if !selection.fits_pair(self, pair.source, pair.destination) {
                continue;
            }
            if let Some(id) = selection.id {
                if let Some((place, owned)) = self.owned(*pair, id) {
                    chosen.add(owned.letter.timestamp, (*pair, place), owned.bytes);
                }
                continue;
            }
            for flow in &out.flows {
                for (sequence, owned) in &flow.owned {
                    let place = Place { flow: flow.id, sequence: *sequence };
                    chosen.add(owned.letter.timestamp, (*pair, place), owned.bytes);
                }
            }
        }
        chosen.into_selected()
    }

    pub(crate) fn select_dead(&self, selection: &Selection, may: impl Fn(&Corpse) -> bool) -> Selected<Grave> {
        let mut chosen = Chosen::new(selection.limit);
        for (grave, buried) in &self.dead.all {
            if selection.fits(self, &buried.corpse.letter) && may(&buried.corpse) {
                chosen.add(grave.0, *grave, buried.corpse.bytes);
            }
        }
        chosen.into_selected()
    }

    fn dead_letter(&self, corpse: &Corpse, since: u64) -> DeadLetter {
        let letter = &corpse.letter;
        DeadLetter {
            message_id: letter.id.to_string(),
            message_type: type_word(letter.message_type).into(),
            source: letter.source.to_string(),
            source_name: self.name_of(letter.source),
            destination: letter.destination.to_string(),
            destination_name: self.name_of(letter.destination),
            bytes: corpse.bytes as u64,
            timestamp: letter.timestamp,
            since,
            code: corpse.code.get().into(),
            why: end_in_words(corpse.code).into(),
            requeues: corpse.requeues(),
        }
    }

    /// The message of a pair that is owned, and its place.
    pub(crate) fn owned(&self, pair: Pair, id: MessageId) -> Option<(Place, &Owned)> {
        let place = self.outbox.place(pair, id)?;
        Some((place, self.owned_at(pair, place)?))
    }

    pub(crate) fn owned_at(&self, pair: Pair, place: Place) -> Option<&Owned> {
        let out = self.outbox.pairs.get(&pair)?;
        out.flows.iter().find(|flow| flow.id == place.flow)?.owned.get(&place.sequence)
    }

    fn outbox_message(&self, pair: Pair, place: Place, now: Now) -> Option<OutboxMessage> {
        let owned = self.owned_at(pair, place)?;
        let letter = &owned.letter;
        let (state, why) = self.why_owned(pair, place, now)?;
        let node = self.directory.host(pair.destination);
        Some(OutboxMessage {
            message_id: letter.id.to_string(),
            message_type: type_word(letter.message_type).into(),
            source: letter.source.to_string(),
            source_name: self.name_of(letter.source),
            destination: letter.destination.to_string(),
            destination_name: self.name_of(letter.destination),
            node_name: self.name_of_node(node),
            bytes: owned.bytes as u64,
            timestamp: letter.timestamp,
            expiry: letter.expiry,
            state: state.into(),
            attempts: owned.attempts.into(),
            why,
        })
    }

    /// How far a message that is owned has come, and what it waits for.
    pub(crate) fn why_owned(&self, pair: Pair, place: Place, now: Now) -> Option<(&'static str, String)> {
        let out = self.outbox.pairs.get(&pair)?;
        let owned = self.owned_at(pair, place)?;
        let first = out.flows.iter().find(|flow| !flow.owned.is_empty())?;
        let state = if owned.sent.is_some() { "sent" } else { "waiting" };
        let peer = self.directory.host(pair.destination).and_then(|host| self.links.peers.get(&host));
        let Some(peer) = peer else { return Some((state, "its destination's node is not a peer of this one".into())) };
        let name = &peer.pinned.name;
        if !owned.is_synced {
            return Some((state, "it is being written to disk".into()));
        }
        if let Some(held) = out.held.filter(|held| *held > now.mono) {
            let left = age(held.since(now.mono));
            return Some(("held", format!("its destination is full, and is tried again in {left}")));
        }
        let since = age(now.mono.since(peer.since));
        let why = match peer.state {
            PeerState::Down if peer.pinned.can_dial => format!("node {name} cannot be reached for {since}"),
            PeerState::Down => format!("node {name} has not come for {since}, and has no address to dial"),
            PeerState::Dialing => format!("node {name} is being dialed"),
            PeerState::Up if self.prekey_of(pair.destination).is_none() => {
                "the record of its destination is awaited".into()
            }
            PeerState::Up if out.refused.is_some() => "its destination's new prekey is awaited".into(),
            PeerState::Up if first.id != place.flow => "it waits behind an earlier flow".into(),
            PeerState::Up if owned.sent.is_some() => format!("node {name} has not said that it is stored"),
            PeerState::Up => "it waits behind others of its flow".into(),
        };
        Some((state, why))
    }

    fn prekey_of(&self, agent: AgentId) -> Option<()> {
        self.directory.record(agent)?.prekey.map(|_| ())
    }

    /// A moment as it is told.
    pub(crate) fn said_moment(&self, moment: &Moment) -> SaidMoment {
        SaidMoment {
            time: moment.wall.0,
            node_name: self.me.name.to_string(),
            what: What::word(moment.what).into(),
            message_id: moment.id.to_string(),
            message_type: type_word(moment.message_type).into(),
            source: moment.source.to_string(),
            source_name: self.name_of(moment.source),
            destination: moment.destination.to_string(),
            destination_name: self.name_of(moment.destination),
            code: moment.code.map_or(0, |code| code.get().into()),
            attempt: moment.attempt.into(),
            bytes: moment.bytes.into(),
        }
    }

    /// What an agent is called, as far as it is known.
    pub(crate) fn name_of(&self, agent: AgentId) -> String {
        if agent == self.me.id {
            return self.me.name.to_string();
        }
        self.directory.record(agent).map_or_else(String::new, |record| record.name.to_string())
    }

    pub(crate) fn name_of_node(&self, node: Option<NodeId>) -> String {
        node.and_then(|node| self.node_name(node)).map_or_else(String::new, |name| name.to_string())
    }
}

/// The oldest so many of what is added.
pub(crate) struct Chosen<T> {
    limit: usize,
    oldest: BTreeSet<(u64, T)>,
    total: u64,
    bytes: u64,
}

impl<T: Ord> Chosen<T> {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit, oldest: BTreeSet::new(), total: 0, bytes: 0 }
    }

    pub(crate) fn add(&mut self, timestamp: u64, one: T, bytes: usize) {
        self.total += 1;
        self.bytes += bytes as u64;
        self.oldest.insert((timestamp, one));
        if self.oldest.len() > self.limit {
            self.oldest.pop_last();
        }
    }

    pub(crate) fn into_selected(self) -> Selected<T> {
        let oldest = self.oldest.into_iter().map(|(_, one)| one).collect();
        Selected { oldest, total: self.total, bytes: self.bytes }
    }
}

pub(crate) fn parse_id(text: &str) -> Result<MessageId, Failure> {
    MessageId::parse(text).ok_or_else(|| Failure::new(ErrorCode::MALFORMED, "a message id is 16 lowercase hex digits"))
}

/// 0 is as many as there may be.
fn bounded(asked: u64, most: usize) -> usize {
    usize::try_from(asked).ok().filter(|asked| (1..=most).contains(asked)).unwrap_or(most)
}

/// The word of a message's type, as it stands in answers.
pub(crate) const fn type_word(message_type: MessageType) -> &'static str {
    match message_type {
        MessageType::Request => "request",
        MessageType::Response => "response",
        MessageType::Ack => "ack",
        MessageType::Error => "error",
        MessageType::Ping => "ping",
        MessageType::Broadcast => "broadcast",
    }
}

/// A span of time in its two largest units.
pub(crate) fn age(nanoseconds: u64) -> String {
    let seconds = nanoseconds / SECOND;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {}h", seconds / 86400, seconds % 86400 / 3600),
    }
}

/// How long ago a moment of the wall clock was.
pub(crate) fn ago(wall: u64, now: Wall) -> String {
    age(now.0.saturating_sub(wall))
}
