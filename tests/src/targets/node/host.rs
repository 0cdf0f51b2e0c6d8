//! The fuzzer as a host of the core: it carries out what the core asks for, and stops where that could not be done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use mesh::{
    Change, ClientId, Control, Effect, Effects, HostedAgent, Input, LinkId, Load, Mono, Node, Now, Options, Outgoing,
    Past, PastEntry, PinnedPeer, TransactionNumber, Wall,
};
use proto::entry::{Entry, EntryNumber, Parts};
use proto::limits::{CLIENT_ROOM_BYTES, CLIENT_ROOM_DELIVERIES, LINK_ROOM_BYTES, LINK_ROOM_FRAMES, PAYLOAD_BYTES_MAX};
use proto::record::{AgentRecord, NodeRecord};
use proto::{AgentId, Boundary, MessageId, Name, Protection};

use super::cast::{self, Record, cast};

/// A host that is called at one moment more often than this will never sleep.
const CALLS_AT_ONCE_MAX: usize = 100;
/// What one fact leads to at most: a few effects for each message, and the world here is small.
const EFFECTS_MAX: usize = 20_000;

/// What the core asked for and has not heard of.
pub(super) enum Asked {
    Agent(Name, u32),
    Prekey(AgentId, u64),
    AgentRecord(Box<AgentRecord>),
    NodeRecord(Box<NodeRecord>),
    Dial(usize),
    HangUp(LinkId),
    Disconnect(ClientId),
}

/// A delivery that some client was given.
#[derive(Clone, Copy)]
pub(super) struct Given {
    pub(super) number: u64,
    pub(super) id: MessageId,
    pub(super) source: AgentId,
    pub(super) destination: AgentId,
}

/// A process of the daemon, and what outlives it.
pub(super) struct Host {
    node: Node,
    pub(super) now: Now,
    effects: Effects,
    /// Frames, and their bytes, that were handed over and not written yet.
    pub(super) clients: BTreeMap<ClientId, (u32, u64)>,
    pub(super) links: BTreeMap<LinkId, (u32, u64)>,
    pub(super) asked: VecDeque<Asked>,
    pub(super) given: Vec<Given>,
    hosted: Vec<HostedAgent>,
    /// As the core believes it to be, and as it is on disk.
    written: BTreeMap<EntryNumber, Bytes>,
    synced: BTreeMap<EntryNumber, Bytes>,
    waiting: VecDeque<(TransactionNumber, Vec<Change>)>,
    last: TransactionNumber,
    highest: u64,
    /// Entries that nobody wrote, or that rotted: the past may contradict itself.
    pub(super) is_spoilt: bool,
    pub(super) has_stopped: bool,
}

impl Host {
    pub(super) fn new(now: Now) -> Self {
        let cast = cast();
        let hosted: Vec<HostedAgent> = cast
            .locals
            .iter()
            .take(2)
            .zip(["ann", "bob"])
            .zip([1000, 1001])
            .map(|((key, name), uid)| HostedAgent {
                id: key.id(),
                public_key: *key.public().as_bytes(),
                name: name.parse().expect("a name"),
                uid,
            })
            .collect();
        let mut effects = Effects::new();
        let node = Node::new(options(&hosted), [0; 32], Past::default(), now, &mut effects).expect("no past");
        let mut host = Self {
            node,
            now,
            effects,
            clients: BTreeMap::new(),
            links: BTreeMap::new(),
            asked: VecDeque::new(),
            given: Vec::new(),
            hosted,
            written: BTreeMap::new(),
            synced: BTreeMap::new(),
            waiting: VecDeque::new(),
            last: TransactionNumber(0),
            highest: 0,
            is_spoilt: false,
            has_stopped: false,
        };
        host.carry_out();
        host
    }

    /// Tells the core something, and does what it asks for.
    pub(super) fn tell(&mut self, input: Input) {
        self.node.handle(input, self.now, &mut self.effects);
        self.carry_out();
        for calls in 0.. {
            // A host that was told that the core has stopped asks it for no more.
            let due = self.node.next_deadline().filter(|due| due.at <= self.now.mono && !self.has_stopped);
            let Some(due) = due else { break };
            assert!(calls < CALLS_AT_ONCE_MAX, "it is called for {} again and again", due.why);
            self.node.handle(Input::Tick, self.now, &mut self.effects);
            self.carry_out();
        }
    }

    /// Time passes, and the wall clock may do as it likes.
    pub(super) fn pass(&mut self, nanoseconds: u64, wall: u64) {
        self.now = Now { mono: self.now.mono.after(nanoseconds), wall: Wall(wall) };
        self.tell(Input::Tick);
    }

    /// Some of what was written is synced.
    pub(super) fn sync(&mut self, most: usize) {
        let mut upto = None;
        for _ in 0..most {
            let Some((number, changes)) = self.waiting.pop_front() else { break };
            apply(&mut self.synced, changes);
            upto = Some(number);
        }
        if let Some(upto) = upto {
            self.tell(Input::Stored { upto });
        }
    }

    pub(super) fn is_synced(&self) -> bool {
        self.waiting.is_empty()
    }

    /// One entry cannot be read any more.
    pub(super) fn rot(&mut self, at: usize) {
        let Some(entry) = self.written.keys().nth(at % self.written.len().max(1)).copied() else { return };
        self.written.remove(&entry);
        self.synced.remove(&entry);
        self.is_spoilt = true;
        self.tell(Input::Unreadable { entry });
    }

    /// An entry that this process did not write.
    pub(super) fn plant(&mut self, bytes: &[u8]) {
        let bytes = Bytes::copy_from_slice(bytes);
        if Entry::read(bytes.clone()).is_ok() {
            self.highest += 1;
            self.synced.insert(EntryNumber::new(self.highest), bytes);
            self.is_spoilt = true;
        }
    }

    /// The process ends, and another one begins where the disk is. Says whether it could.
    pub(super) fn restart(&mut self, is_reborn: bool) -> bool {
        let is_clean = self.has_stopped && self.waiting.is_empty();
        self.waiting.clear();
        self.written.clone_from(&self.synced);
        let entries = self.synced.iter().filter_map(|(number, bytes)| Some((*number, past_entry(bytes)?))).collect();
        let past = Past { entries, highest: self.highest, is_clean, is_reborn };
        let seed = [u8::try_from(self.highest % 251).unwrap_or(0); 32];
        self.effects.clear();
        self.clients.clear();
        self.links.clear();
        self.asked.clear();
        self.given.clear();
        self.last = TransactionNumber(0);
        self.has_stopped = false;
        self.now.mono = Mono(0);
        match Node::new(options(&self.hosted), seed, past, self.now, &mut self.effects) {
            Ok(node) => self.node = node,
            Err(error) => {
                assert!(self.is_spoilt, "its own past is refused: {error}");
                return false;
            }
        }
        self.carry_out();
        true
    }

    /// Bounds that can be seen from outside.
    pub(super) fn check(&self) {
        let summary = self.node.summary();
        assert!(summary.outbox_messages <= summary.stats.accepted + self.highest, "{summary:?}");
        let waiting: u64 = summary.agents.iter().filter(|agent| agent.is_local).map(|agent| agent.waiting).sum();
        assert!(waiting <= summary.mailbox_messages, "{summary:?}");
    }

    fn carry_out(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        assert!(effects.len() <= EFFECTS_MAX, "{} effects of one fact", effects.len());
        // What one step writes is there when the frames of that step are made.
        for effect in &effects {
            if let Effect::Store { transaction, changes } = effect {
                self.store(*transaction, changes);
            }
        }
        for effect in effects.drain(..) {
            self.perform(effect);
        }
        self.effects = effects;
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Store { .. }
            | Effect::ErasePrekey { .. }
            | Effect::LearnAgent(_)
            | Effect::LearnNode(_)
            | Effect::Report(_) => {}
            Effect::Send { link, outgoing, seal_to } => {
                let out = self.links.get_mut(&link).expect("a link that is there");
                out.0 += 1;
                out.1 += outgoing.bytes as u64;
                assert!(out.0 <= LINK_ROOM_FRAMES, "{out:?} on a link");
                assert!(out.1 <= LINK_ROOM_BYTES + PAYLOAD_BYTES_MAX as u64, "{out:?} on a link");
                let is_sealed = outgoing.draft.shape.protection(Boundary::Wire) == Protection::SealedSigned;
                assert_eq!(is_sealed, seal_to.is_some(), "{:?}", outgoing.draft);
                assert!(cast().ours(outgoing.draft.source).is_some(), "we sign for {:?}", outgoing.draft.source);
                self.can_be_made(&outgoing, Boundary::Wire);
            }
            Effect::Tell { client, outgoing, is_delivery } => {
                self.can_be_made(&outgoing, Boundary::Down);
                // One that has left hears nothing.
                let Some(out) = self.clients.get_mut(&client) else { return };
                if is_delivery {
                    out.0 += 1;
                    out.1 += outgoing.bytes as u64;
                }
                assert!(out.0 <= CLIENT_ROOM_DELIVERIES, "{out:?} to a client");
                assert!(out.1 <= CLIENT_ROOM_BYTES + PAYLOAD_BYTES_MAX as u64, "{out:?} to a client");
                self.note_given(&outgoing);
            }
            Effect::Control { link, said } => {
                assert!(self.links.contains_key(&link), "a link that is there");
                if let Control::Notice(notice) = said {
                    assert!((4000..6000).contains(&notice.code.get()));
                }
            }
            Effect::Dial { peer } => {
                let at = cast().peers.iter().position(|key| key.id() == peer).expect("a peer");
                self.asked.push_back(Asked::Dial(at));
            }
            Effect::HangUp { link, .. } => self.asked.push_back(Asked::HangUp(link)),
            Effect::Disconnect { client } => self.asked.push_back(Asked::Disconnect(client)),
            Effect::MakeAgent { name, uid } => self.asked.push_back(Asked::Agent(name, uid)),
            Effect::MakePrekey { agent, not_after } => self.asked.push_back(Asked::Prekey(agent, not_after)),
            Effect::SignAgent(record) => self.asked.push_back(Asked::AgentRecord(record)),
            Effect::SignNode(record) => self.asked.push_back(Asked::NodeRecord(record)),
            Effect::ForgetNode(_) | Effect::KeepRevoked(_) | Effect::Renew => panic!("pinned peers do not come and go"),
            Effect::Stopped => self.has_stopped = true,
        }
    }

    fn store(&mut self, transaction: TransactionNumber, changes: &[Change]) {
        assert_eq!(transaction.0, self.last.0 + 1, "transactions follow one another");
        self.last = transaction;
        let mut numbers = BTreeSet::new();
        for change in changes {
            match change {
                Change::Put(number, bytes) => {
                    assert!(number.get() > self.highest && numbers.insert(*number), "{number:?} was used before");
                    assert!(Entry::read(bytes.clone()).is_ok(), "{number:?} can be read again");
                }
                Change::Forget(number) => assert!(number.get() <= self.highest || numbers.contains(number)),
            }
        }
        self.highest = numbers.last().map_or(self.highest, |number| number.get());
        apply(&mut self.written, changes.to_vec());
        self.waiting.push_back((transaction, changes.to_vec()));
    }

    fn can_be_made(&self, outgoing: &Outgoing, boundary: Boundary) {
        let parts = match &outgoing.load {
            Load::Here(parts) => parts.clone(),
            Load::Entry(number) => {
                // What is forgotten in this very step was still there when the frame was asked for.
                let bytes = self.synced.get(number);
                let Some(bytes) = bytes else {
                    assert!(self.is_spoilt, "{number:?} is not on disk: {:?}", outgoing.draft);
                    return;
                };
                parts_of(bytes).expect("an entry that holds what was said")
            }
        };
        let mut application = Vec::new();
        let metadata = outgoing.notes.draft(&parts, &mut application);
        let is_readable = cast::is_readable(&outgoing.draft, &metadata, &parts.body, boundary);
        assert!(is_readable || self.is_spoilt, "nobody would read {:?} {:?}", outgoing.draft, outgoing.notes);
    }

    fn note_given(&mut self, outgoing: &Outgoing) {
        let (Some(number), draft) = (outgoing.notes.delivery_number, &outgoing.draft) else { return };
        self.given.push(Given { number, id: draft.id, source: draft.source, destination: draft.destination });
    }

    pub(super) fn host_agent(&mut self, hosted: HostedAgent) {
        self.hosted.push(hosted);
    }

    /// The key that the next new agent gets.
    pub(super) fn next_local(&self) -> Option<&'static keys::AgentKey> {
        cast().locals.get(self.hosted.len())
    }
}

fn options(hosted: &[HostedAgent]) -> Options {
    let cast = cast();
    let named = |key: &keys::NodeKey, name: &str| HostedAgent {
        id: key.id().agent(),
        public_key: *key.public().as_bytes(),
        name: name.parse().expect("a name"),
        uid: 0,
    };
    let peers = cast.peers.iter().zip(["peer-a", "peer-b"]).map(|(key, name)| PinnedPeer {
        name: name.parse().expect("a name"),
        node: key.id(),
        can_dial: true,
    });
    Options {
        node: named(&cast.us, "us"),
        addresses: vec!["127.0.0.1:1".into()],
        trust: mesh::Trust::Pinned(peers.collect()),
        blocked: std::collections::BTreeSet::new(),
        agents: hosted.to_vec(),
        hops: 8,
        bounds: mesh::Bounds::default(),
        rules: mesh::Rules::default(),
    }
}

fn apply(entries: &mut BTreeMap<EntryNumber, Bytes>, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Put(number, bytes) => drop(entries.insert(number, bytes)),
            Change::Forget(number) => drop(entries.remove(&number)),
        }
    }
}

fn parts_of(bytes: &Bytes) -> Option<Parts> {
    match Entry::read(bytes.clone()).ok()? {
        Entry::Owned { parts, .. } | Entry::Received { parts, .. } | Entry::Dead { parts, .. } => Some(parts),
        Entry::Moved(..)
        | Entry::Stub(_)
        | Entry::Died { .. }
        | Entry::Revived { .. }
        | Entry::Clock(_)
        | Entry::Mark(_)
        | Entry::Record(_)
        | Entry::Birth(_)
        | Entry::MarksDropped(_)
        | Entry::Delivered(_)
        | Entry::ClockSuspended(_) => None,
    }
}

fn past_entry(bytes: &Bytes) -> Option<PastEntry> {
    let mut entry = Entry::read(bytes.clone()).ok()?;
    let parts = match &mut entry {
        Entry::Record(carried) => {
            return Some(match cast::read_record(carried)? {
                Record::Agent(known) => PastEntry::Agent(known),
                Record::Node(known) => PastEntry::Node(known),
            });
        }
        Entry::Owned { parts, .. } | Entry::Received { parts, .. } | Entry::Dead { parts, .. } => std::mem::take(parts),
        Entry::Moved(..)
        | Entry::Stub(_)
        | Entry::Died { .. }
        | Entry::Revived { .. }
        | Entry::Clock(_)
        | Entry::Mark(_)
        | Entry::Birth(_)
        | Entry::MarksDropped(_)
        | Entry::Delivered(_)
        | Entry::ClockSuspended(_) => Parts::default(),
    };
    Some(PastEntry::Entry(entry, parts.bytes()))
}
