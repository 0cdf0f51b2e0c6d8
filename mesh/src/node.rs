//! A node: all its parts, and which of them a fact goes to.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use proto::entry::{EntryNumber, Letter, Parts};
use proto::{AgentId, Content, Header, Name, NodeId, Shape, Verified};

use alloc::boxed::Box;

use crate::bounds::Bounds;
use crate::chance::Chance;
use crate::clients::{Clients, Locals};
use crate::clock::WallClock;
use crate::dead::Dead;
use crate::directory::Directory;
use crate::effect::{Effect, Effects, Event};
use crate::explain::Stories;
use crate::history::{History, Moment, What};
use crate::inbox::Inbox;
use crate::input::{HostedAgent, Input, LinkId, Options, Past, PastError, PeerSaid, Trust};
use crate::ledger::{Ledger, Then};
use crate::link::{Hello, Links};
use crate::mailbox::{ItemPlace, Mailboxes};
use crate::members::Members;
use crate::once;
use crate::outbox::Outbox;
use crate::pair::Pair;
use crate::policy::Policy;
use crate::recent::{Asked, Recent};
use crate::rules::Rules;
use crate::say::Teller;
use crate::step::Step;
use crate::stubs::Stubs;
use crate::summary::{AgentSummary, PeerSummary, Stats, Summary};
use crate::time::{Deadline, Mono, Now};
use crate::timers::{Timers, Why};

/// The core of one node. One task owns it; nothing guards it.
#[derive(Debug)]
pub struct Node {
    pub(crate) me: HostedAgent,
    pub(crate) addresses: Vec<Box<str>>,
    pub(crate) hops: u8,
    pub(crate) rules: Rules,
    pub(crate) chance: Chance,
    pub(crate) timers: Timers,
    pub(crate) ledger: Ledger,
    pub(crate) directory: Directory,
    pub(crate) links: Links,
    pub(crate) members: Members,
    pub(crate) clients: Clients,
    pub(crate) locals: Locals,
    pub(crate) outbox: Outbox,
    pub(crate) stubs: Stubs,
    pub(crate) inbox: Inbox,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) dead: Dead,
    pub(crate) clock: WallClock,
    pub(crate) history: History,
    pub(crate) bounds: Bounds,
    pub(crate) policy: Policy,
    /// The journal's disk has room for what is new.
    pub(crate) has_disk_room: bool,
    /// What came at most once, by the node that it came from.
    pub(crate) recent: BTreeMap<NodeId, Recent>,
    /// What left at most once, and may be answered by an ERROR.
    pub(crate) asked: Asked,
    pub(crate) stats: Stats,
    pub(crate) stories: Stories,
    /// When this store was made for an identity that was there before it.
    pub(crate) birth: Option<u64>,
    pub(crate) marks_dropped: u64,
    pub(crate) marks_dropped_entry: Option<EntryNumber>,
    pub(crate) node_sequence: u64,
    is_stopping: bool,
    /// Pairs with something new to send, mailboxes with something new to deliver, pairs whose floor has passed a place,
    /// and pairs whose STORED is due: worked off at the end of a step.
    pub(crate) touched: BTreeSet<Pair>,
    pub(crate) filled: BTreeSet<AgentId>,
    pub(crate) refloored: BTreeSet<Pair>,
    pub(crate) due: BTreeSet<Pair>,
    /// Answers that wait for the next step, where a test leaves out that they must not.
    pub(crate) postponed: Vec<(Letter, Parts, Option<Teller>)>,
}

impl Node {
    /// A node that goes on where its journal ended. `seed` is all the chance that it will ever have.
    pub fn new(
        options: Options,
        seed: [u8; 32],
        past: Past,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Self, PastError> {
        let mut chance = Chance::new(seed);
        let (peers, membership) = match options.trust {
            Trust::Pinned(peers) => (peers, None),
            Trust::Members(membership) => (membership.seeds.clone(), Some(membership)),
        };
        let mut node = Self {
            me: options.node,
            addresses: options.addresses,
            hops: options.hops,
            rules: options.rules,
            timers: Timers::default(),
            ledger: Ledger::new(past.highest),
            directory: Directory::default(),
            links: Links::new(peers, now.mono),
            members: Members::new(membership, options.blocked),
            clients: Clients::default(),
            locals: Locals::new(options.agents),
            outbox: Outbox::default(),
            stubs: Stubs::default(),
            inbox: Inbox::default(),
            mailboxes: Mailboxes::default(),
            dead: Dead::default(),
            clock: WallClock::new(now),
            history: History::default(),
            bounds: options.bounds,
            policy: Policy::default(),
            has_disk_room: true,
            recent: BTreeMap::new(),
            asked: Asked::new(&mut chance),
            chance,
            stats: Stats::default(),
            stories: Stories::default(),
            birth: None,
            marks_dropped: 0,
            marks_dropped_entry: None,
            node_sequence: 0,
            is_stopping: false,
            touched: BTreeSet::new(),
            filled: BTreeSet::new(),
            refloored: BTreeSet::new(),
            due: BTreeSet::new(),
            postponed: Vec::new(),
        };
        let mut step = Step { now, effects };
        node.recover(past, &mut step)?;
        node.begin(&mut step);
        node.finish(&mut step);
        Ok(node)
    }

    fn begin(&mut self, step: &mut Step<'_>) {
        self.node_sequence = self.directory.nodes.get(&self.me.id).map_or(0, |held| held.record().sequence);
        self.judge_clock(step);
        self.begin_members(step);
        self.sign_node(step);
        let agents: Vec<AgentId> = self.locals.agents.keys().copied().collect();
        for agent in agents {
            self.next_prekey(agent, step);
        }
        let peers: Vec<NodeId> = self.links.peers.keys().copied().collect();
        for peer in peers {
            self.dial(peer, step);
        }
    }

    /// Takes a fact. Work to do is appended to `effects`.
    pub fn handle(&mut self, input: Input, now: Now, effects: &mut Effects) {
        let mut step = Step { now, effects };
        if self.is_stopping {
            if let Input::Stored { upto } = input {
                self.stored(upto, &mut step);
                self.finish(&mut step);
            }
            return;
        }
        self.watch_clock(&mut step);
        for (letter, parts, teller) in core::mem::take(&mut self.postponed) {
            let _numbered: Option<()> = self.own(letter, parts, teller, &mut step);
        }
        self.dispatch(input, &mut step);
        while let Some((at, why)) = self.timers.due(now.mono) {
            self.wake(at, why, &mut step);
        }
        self.finish(&mut step);
    }

    fn dispatch(&mut self, input: Input, step: &mut Step<'_>) {
        match input {
            Input::ClientCame { client, uid, is_admin } => self.client_came(client, uid, is_admin),
            Input::ClientSaid { client, content } => self.client_said(client, content, step),
            Input::ClientLeft { client } => self.client_left(client, step),
            Input::ClientRoom { client, deliveries, bytes } => self.client_room(client, deliveries, bytes, step),
            Input::LinkUp { link, peer, dialed, record, wall } => {
                self.link_up(Hello { link, peer, dialed, record, wall }, step);
            }
            Input::LinkDown { link } => self.link_down(link, step),
            Input::DialFailed { peer } => self.dial_failed(peer, step),
            Input::LinkRoom { link, frames, bytes } => self.link_room(link, frames, bytes, step),
            Input::LinkSilent { link } => self.link_silent(link, true, step),
            Input::LinkHeard { link } => self.link_silent(link, false, step),
            Input::PeerSaid { link, said } => self.peer_said(link, said, step),
            Input::AgentMade(hosted) => self.agent_made(hosted, step),
            Input::AgentNotMade { name } => self.agent_not_made(&name, step),
            Input::PrekeyMade { agent, id, public, not_after } => self.prekey_made(agent, id, public, not_after, step),
            Input::AgentSigned(known) => self.learn_agent(known, None, step),
            Input::NodeSigned(known) => self.learn_node(known, None, step),
            Input::Stored { upto } => self.stored(upto, step),
            Input::Disk { has_room } => self.has_disk_room = has_room,
            Input::Unreadable { entry } => self.unreadable(entry, step),
            Input::Policy(policy) => self.take_policy(policy),
            Input::Bounds(bounds) => self.bounds = bounds,
            Input::Addresses(addresses) => self.take_addresses(addresses, step),
            Input::Certified(certificate) => self.certified(certificate, step),
            Input::Revoked(list) => self.learn_revoked(list, None, step),
            Input::Block { peer, is_blocked } => self.block(peer, is_blocked, step),
            Input::Forget { peer } => self.forget_peer(peer, step),
            Input::Leave => self.leave(step),
            Input::Tick => {}
            Input::Stop => self.stop(step),
        }
    }

    fn peer_said(&mut self, link: LinkId, said: PeerSaid, step: &mut Step<'_>) {
        if self.links.peer_of(link).is_none() {
            return;
        }
        if let Some(stranger) = source_of(&said).filter(|source| self.is_stranger(*source)) {
            self.stats.ignored += 1;
            self.fetch(link, stranger, step);
            return;
        }
        match said {
            PeerSaid::Frame(content) => self.peer_frame(link, content, step),
            PeerSaid::Unfit(content, _) => self.receive(content, false, step),
            PeerSaid::OldPrekey(header) => self.old_prekey(header.get(), step),
            PeerSaid::UnknownSource(agent) => self.fetch(link, agent, step),
            PeerSaid::Agent(known) => self.learn_agent(known, Some(link), step),
            PeerSaid::Node(known) => self.learn_node(known, Some(link), step),
            PeerSaid::Revoked(list) => self.learn_revoked(list, Some(link), step),
            PeerSaid::Want(agent) => self.wanted(link, agent, step),
            PeerSaid::Explain(id) => self.story_wanted(link, id, step),
            PeerSaid::Story(story) => self.story_told(link, &story, step),
            // A notice is the peer's word alone: what is durable comes again in its time, whatever it says.
            PeerSaid::Notice(_) => self.stats.ignored += 1,
        }
    }

    fn peer_frame(&mut self, link: LinkId, content: Verified<Box<Content>>, step: &mut Step<'_>) {
        let header = content.get().header;
        match header.shape() {
            Shape::Durable(_) => self.receive(content, true, step),
            Shape::Stored => self.take_stored(content.get(), step),
            Shape::Once => self.receive_once(content, step),
            Shape::Notice => self.take_notice(link, &content, step),
            Shape::Ping => self.receive_ping(link, &header, step),
            Shape::Pong => self.receive_pong(&header, step),
            Shape::Opener
            | Shape::Chunk
            | Shape::ChunkAck
            | Shape::StreamEnd
            | Shape::StreamAbort
            | Shape::Handled
            | Shape::Told => self.stats.ignored += 1,
        }
    }

    fn wake(&mut self, at: Mono, why: Why, step: &mut Step<'_>) {
        match why {
            Why::Repeat(pair) => self.repeat_due(pair, at, step),
            Why::HoldEnds(pair) => self.hold_ends(pair, at, step),
            Why::SayStored(pair) => self.say_stored(pair, step),
            Why::OwnedExpires(pair, id) => self.owned_expires(pair, id, step),
            Why::ReceivedExpires(agent, order) => self.received_expires(ItemPlace { agent, order }, step),
            Why::LeaseEnds(agent, order) => self.lease_ends(ItemPlace { agent, order }, step),
            Why::Redeliver(agent, order) => self.redeliver(ItemPlace { agent, order }, step),
            Why::StubEnds(source, destination, id) => self.stub_ends(source, destination, id, step),
            Why::MarkEnds(pair) => self.mark_ends(pair, step),
            Why::OnceForgotten => self.forget_once(step),
            Why::Dial(peer) => self.dial(peer, step),
            Why::NextPrekey(agent) => self.next_prekey(agent, step),
            Why::ErasePrekey(agent, prekey) => self.erase_prekey(agent, prekey, step),
            Why::NextNodeRecord => self.node_record_due(at, step),
            Why::NodeEnds(node) => self.node_ends(node, at, step),
            Why::AgentsEnd => self.agents_end(step),
            Why::PassOn => self.pass_on_rest(step),
            Why::Renew => self.renew(at, step),
            Why::ClockSteady => self.clock_steady(at, step),
            Why::NoteClock => self.note_clock(step),
            Why::DeadEnd => self.dead_end(step),
            Why::StoryEnds(number) => self.story_ends(number, step),
        }
    }

    fn stored(&mut self, upto: crate::TransactionNumber, step: &mut Step<'_>) {
        for then in self.ledger.release(upto) {
            match then {
                Then::Sendable(pair, flow, sequence) => self.sendable(pair, flow, sequence, step),
                Then::Deliverable(agent, order) => self.deliverable(agent, order, step),
                Then::Awaited(source, destination, id) => {
                    if let Some(awaited) = self.stubs.find(source, destination, id) {
                        awaited.is_synced = true;
                    }
                }
                Then::MarkStored(pair, place) => self.mark_stored(pair, place),
                Then::Obeyed(asked, count) => self.answer_count(asked, count, step),
            }
        }
    }

    /// Works off what the step has touched, and closes its transaction.
    fn finish(&mut self, step: &mut Step<'_>) {
        for pair in core::mem::take(&mut self.refloored) {
            self.send_floor(pair, step);
            self.pump(pair, step);
        }
        for pair in core::mem::take(&mut self.touched) {
            self.pump(pair, step);
        }
        for agent in core::mem::take(&mut self.filled) {
            self.pump_mailbox(agent, step);
            self.mailboxes.drop_waiting_parts(agent);
        }
        for pair in core::mem::take(&mut self.due) {
            self.say_stored(pair, step);
        }
        self.close_transaction(step);
    }

    pub(crate) fn close_transaction(&mut self, step: &mut Step<'_>) {
        if self.rules.hold(crate::Rule::MarkWithMessage) {
            self.write_marks();
            self.ledger.close(step.effects);
        } else {
            self.ledger.close(step.effects);
            self.write_marks();
        }
    }

    fn stop(&mut self, step: &mut Step<'_>) {
        self.note_delivered(step);
        if !self.clock.is_suspended() {
            self.write_clock(step);
        }
        self.is_stopping = true;
        self.close_transaction(step);
        step.ask(Effect::Stopped);
    }

    /// What the journal cannot give back is lost; whoever waits for its end hears so.
    fn unreadable(&mut self, entry: EntryNumber, step: &mut Step<'_>) {
        if let Some((pair, place)) = self.outbox.place_of(entry) {
            step.ask(Effect::Report(Event::Lost { entry }));
            self.owned_lost(pair, place, step);
        } else if let Some(place) = self.mailboxes.place_of(entry) {
            step.ask(Effect::Report(Event::Lost { entry }));
            if let Some(item) = self.mailboxes.item(place) {
                self.history.note(Moment::of(What::Lost, &item.received.letter), step);
            }
            self.end_item(place, proto::ErrorCode::STORAGE, step);
        } else if let Some(grave) = self.dead.grave_of(entry) {
            self.dead_unreadable(grave);
        }
        // Otherwise it was settled while somebody was about to read it, and nothing is lost.
    }

    /// When to call again with [`Input::Tick`], if nothing happens before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Deadline> {
        self.timers.next()
    }

    /// Whether a frame from the wire is young enough to be looked at, before any cipher runs. Only what is sent at
    /// most once ages.
    #[must_use]
    pub fn is_timely(header: &Header, now: Now) -> bool {
        once::is_timely(header, now)
    }

    /// Whether what is kept stays within what this node may keep, with that much more.
    pub(crate) fn fits_node(&self, bytes: usize) -> bool {
        let kept = self.outbox.total().bytes + self.mailboxes.total().bytes + self.dead.total.bytes;
        kept.saturating_add(self.bounds.door_bytes).saturating_add(bytes as u64) <= self.bounds.node_bytes
    }

    pub(crate) const fn node_id(&self) -> NodeId {
        NodeId::new(self.me.id)
    }

    pub(crate) fn node_name(&self, node: NodeId) -> Option<Name> {
        if node == self.node_id() {
            return Some(self.me.name.clone());
        }
        self.links.peers.get(&node).map(|peer| peer.pinned.name.clone())
    }

    /// What it can tell about itself.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let peers = self.links.peers.values().map(|peer| PeerSummary {
            node: peer.pinned.node,
            name: peer.pinned.name.clone(),
            state: peer.state,
            since: peer.since,
            is_blocked: self.members.blocked.contains(&peer.pinned.node),
        });
        let mut agents: Vec<AgentSummary> =
            self.directory.agents.keys().filter_map(|id| self.agent_summary(*id)).collect();
        agents.sort_by_key(|agent| !agent.is_local);
        let (owned, waiting) = (self.outbox.total(), self.mailboxes.total());
        Summary {
            peers: peers.collect(),
            outbox_messages: owned.messages as u64,
            outbox_bytes: owned.bytes,
            outbox_oldest: self.outbox.oldest(),
            awaiting: self.stubs.len() as u64,
            mailbox_messages: waiting.messages as u64,
            mailbox_bytes: waiting.bytes,
            mailbox_oldest: agents.iter().filter_map(|agent| agent.oldest).min(),
            dead_messages: self.dead.total.messages as u64,
            dead_bytes: self.dead.total.bytes,
            dead_oldest: self.dead.all.first_key_value().map(|((since, _), _)| *since),
            is_suspended: self.clock.is_suspended(),
            is_disk_full: !self.has_disk_room,
            stats: self.stats,
            agents,
        }
    }

    fn agent_summary(&self, id: AgentId) -> Option<AgentSummary> {
        let record = self.directory.record(id)?;
        let share = self.mailboxes.share(id);
        let local = self.locals.agents.get(&id);
        let counts = local.map(|local| local.counts).unwrap_or_default();
        Some(AgentSummary {
            id,
            name: record.name.clone(),
            node: record.host,
            node_name: self.node_name(record.host),
            is_local: local.is_some(),
            is_attached: local.is_some_and(|local| local.client.is_some()),
            waiting: share.messages as u64,
            waiting_bytes: share.bytes,
            oldest: self.mailboxes.oldest(id),
            sent: counts.sent,
            received: counts.received,
            capabilities: record.capabilities.clone(),
            topics: record.topics.clone(),
        })
    }
}

/// Whose frame it is, if it is one.
fn source_of(said: &PeerSaid) -> Option<AgentId> {
    match said {
        PeerSaid::Frame(content) | PeerSaid::Unfit(content, _) => Some(content.get().header.source()),
        PeerSaid::OldPrekey(header) => Some(header.get().source()),
        PeerSaid::UnknownSource(_)
        | PeerSaid::Agent(_)
        | PeerSaid::Node(_)
        | PeerSaid::Revoked(_)
        | PeerSaid::Want(_)
        | PeerSaid::Notice(_)
        | PeerSaid::Explain(_)
        | PeerSaid::Story(_) => None,
    }
}
