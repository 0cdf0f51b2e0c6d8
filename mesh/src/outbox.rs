//! Messages that this node owns: numbered by pair and kind, in the order of acceptance. Data and its bookkeeping; when
//! something is sent, and what its end means, stands in `sending.rs`.

use alloc::collections::{BTreeMap, VecDeque};

use proto::entry::{EntryNumber, Letter, Parts, Place};
use proto::limits::{
    ANSWERS_OWED_BYTES_MAX, ANSWERS_OWED_MAX, ANSWERS_OWED_NODE_BYTES_MAX, ANSWERS_OWED_NODE_MAX, PAIRS_MAX,
};
use proto::{AgentId, FlowId, FlowKind, MessageId, NodeId};

use crate::bounds::{Bounds, Full, Share};
use crate::mailbox::give_back;
use crate::pair::Pair;
use crate::say::Teller;
use crate::time::Mono;

/// One message that is owned.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) letter: Letter,
    pub(crate) entry: EntryNumber,
    /// The entry that says it was renumbered.
    pub(crate) moved: Option<EntryNumber>,
    /// The entry that says it was put back.
    pub(crate) revived: Option<EntryNumber>,
    pub(crate) bytes: usize,
    /// What was said, until the first attempt has left or had to wait.
    pub(crate) parts: Option<Parts>,
    pub(crate) is_synced: bool,
    /// It was synced once, and so accepted. A new place makes it wait for the disk again.
    pub(crate) is_accepted: bool,
    pub(crate) has_left: bool,
    /// Attempts in this run.
    pub(crate) attempts: u32,
    pub(crate) sent: Option<Mono>,
    /// A 4009 counts once for each attempt.
    pub(crate) may_hear_full: bool,
    /// The node that hosts the destination, as it was when this was taken over.
    pub(crate) host: Option<NodeId>,
    /// The prekey that the last attempt was sealed to.
    pub(crate) sealed_to: Option<[u8; 32]>,
    pub(crate) teller: Option<Teller>,
    /// When its expiry is looked at.
    pub(crate) expires: Mono,
}

impl Owned {
    /// A message that lies on disk, and may have left before.
    pub(crate) const fn of(letter: Letter, entry: EntryNumber, bytes: usize, expires: Mono) -> Self {
        Self {
            letter,
            entry,
            moved: None,
            revived: None,
            bytes,
            parts: None,
            is_synced: false,
            is_accepted: true,
            has_left: true,
            attempts: 0,
            may_hear_full: false,
            host: None,
            sent: None,
            sealed_to: None,
            teller: None,
            expires,
        }
    }

    /// All entries that speak of it.
    pub(crate) fn entries(&self) -> impl Iterator<Item = EntryNumber> {
        core::iter::once(self.entry).chain(self.notes())
    }

    /// Those of them that go when it becomes a dead letter.
    pub(crate) fn notes(&self) -> impl Iterator<Item = EntryNumber> {
        self.moved.into_iter().chain(self.revived)
    }
}

/// One numbering.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) id: FlowId,
    /// The place that the next message gets.
    pub(crate) next: u32,
    pub(crate) owned: BTreeMap<u32, Owned>,
    /// The next place to be sent in this pass.
    pub(crate) cursor: u32,
    pub(crate) highest_sent: u32,
    /// Sent in this pass and not confirmed.
    pub(crate) in_flight: usize,
    pub(crate) bytes_in_flight: usize,
    /// Settled by STORED up to there.
    pub(crate) settled: u32,
}

impl Flow {
    pub(crate) const fn new(id: FlowId) -> Self {
        Self {
            id,
            next: 1,
            owned: BTreeMap::new(),
            cursor: 1,
            highest_sent: 0,
            in_flight: 0,
            bytes_in_flight: 0,
            settled: 0,
        }
    }

    /// The lowest place that is owned, or the next one.
    pub(crate) fn floor(&self) -> u32 {
        self.owned.first_key_value().map_or(self.next, |(sequence, _)| *sequence)
    }

    /// Begins another pass over all that is owned.
    pub(crate) fn rewind(&mut self) {
        self.cursor = self.floor();
        self.in_flight = 0;
        self.bytes_in_flight = 0;
    }

    /// Takes a message out, wherever it stands.
    pub(crate) fn remove(&mut self, sequence: u32) -> Option<Owned> {
        let owned = self.owned.remove(&sequence)?;
        if sequence < self.cursor {
            self.in_flight = self.in_flight.saturating_sub(1);
            self.bytes_in_flight = self.bytes_in_flight.saturating_sub(owned.bytes);
        }
        Some(owned)
    }
}

/// All that goes from one agent to another, of one kind.
#[derive(Debug)]
pub(crate) struct OutPair {
    /// The first is being sent; the last takes what is new.
    pub(crate) flows: VecDeque<Flow>,
    /// The newest flow that was ever used here.
    pub(crate) newest: Option<FlowId>,
    /// The last one takes new messages; one that was there before this start does not.
    pub(crate) is_open: bool,
    pub(crate) repeat: Option<Mono>,
    /// Repeats by time since something was stored last.
    pub(crate) repeats: u32,
    pub(crate) renumbered: Option<Mono>,
    /// A prekey that the destination does not keep, although its record still says so. Nothing is sealed to it until the
    /// next repeat.
    pub(crate) refused: Option<[u8; 32]>,
    /// The destination may not keep the prekey that was used last: what was sent is sent again once there is another one.
    pub(crate) doubted: bool,
    /// What STORED usually takes, in ns.
    pub(crate) usual: u64,
    /// The destination is full; until then nothing leaves.
    pub(crate) held: Option<Mono>,
    /// The destination was full for the message at that place, and advised so many ms, when others were owned before it.
    pub(crate) full_later: Option<(Place, u32)>,
}

impl OutPair {
    pub(crate) const fn new() -> Self {
        Self {
            flows: VecDeque::new(),
            newest: None,
            is_open: false,
            repeat: None,
            repeats: 0,
            renumbered: None,
            refused: None,
            doubted: false,
            usual: proto::limits::SECOND / 10,
            held: None,
            full_later: None,
        }
    }

    /// Goes to the next flow once the one that is being sent is settled.
    pub(crate) fn turn(&mut self) {
        while self.flows.len() > 1 && self.flows.front().is_some_and(|flow| flow.owned.is_empty()) {
            self.flows.pop_front();
        }
    }

    pub(crate) fn flow(&mut self, id: FlowId) -> Option<&mut Flow> {
        self.flows.iter_mut().find(|flow| flow.id == id)
    }

    /// How many messages are owned.
    pub(crate) fn len(&self) -> usize {
        self.flows.iter().map(|flow| flow.owned.len()).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.flows.iter().all(|flow| flow.owned.is_empty())
    }
}

/// All that is owned.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) pairs: BTreeMap<Pair, OutPair>,
    places: BTreeMap<(Pair, MessageId), Place>,
    /// What each agent of this node has here.
    shares: BTreeMap<AgentId, Share>,
    total: Share,
    /// Answers to each agent, and to the agents of each node.
    answers: BTreeMap<Pair, Share>,
    answers_to: BTreeMap<NodeId, Share>,
}

impl Outbox {
    pub(crate) const fn total(&self) -> Share {
        self.total
    }

    /// Whether an agent may have that much more. Answers are not held back by it.
    pub(crate) fn room(&self, agent: AgentId, bytes: usize, bounds: &Bounds) -> Result<(), Full> {
        let share = self.shares.get(&agent).copied().unwrap_or_default();
        if share.fits(bytes, bounds.outbox) { Ok(()) } else { Err(Full::Outbox) }
    }

    /// Whether so many answers to an agent, or to its node, are not stored there that it has to fetch them first.
    pub(crate) fn owes_too_much(&self, answers: Pair, node: NodeId) -> bool {
        let beyond = |share: Option<&Share>, messages: usize, bytes: usize| {
            share.is_some_and(|share| share.messages >= messages || share.bytes >= bytes as u64)
        };
        beyond(self.answers.get(&answers), ANSWERS_OWED_MAX, ANSWERS_OWED_BYTES_MAX)
            || beyond(self.answers_to.get(&node), ANSWERS_OWED_NODE_MAX, ANSWERS_OWED_NODE_BYTES_MAX)
    }

    /// Whether there is room for another pair. Settled ones make way.
    pub(crate) fn has_room_for(&mut self, pair: Pair) -> bool {
        if self.pairs.len() >= PAIRS_MAX && !self.pairs.contains_key(&pair) {
            self.pairs.retain(|_, out| !out.is_empty());
        }
        self.pairs.len() < PAIRS_MAX || self.pairs.contains_key(&pair)
    }

    /// Where a message stands.
    pub(crate) fn place(&self, pair: Pair, id: MessageId) -> Option<Place> {
        self.places.get(&(pair, id)).copied()
    }

    pub(crate) fn find(&mut self, pair: Pair, id: MessageId) -> Option<&mut Owned> {
        let place = self.place(pair, id)?;
        self.pairs.get_mut(&pair)?.flow(place.flow)?.owned.get_mut(&place.sequence)
    }

    /// Puts a message at its place. What held that place before is given back.
    pub(crate) fn insert(&mut self, pair: Pair, place: Place, owned: Owned) -> Option<Owned> {
        self.count(pair, &owned);
        self.places.insert((pair, owned.letter.id), place);
        let out = self.pairs.entry(pair).or_insert_with(OutPair::new);
        out.newest = out.newest.max(Some(place.flow));
        if out.flow(place.flow).is_none() {
            let at = out.flows.iter().position(|flow| flow.id > place.flow).unwrap_or(out.flows.len());
            out.flows.insert(at, Flow::new(place.flow));
        }
        let flow = out.flow(place.flow)?;
        flow.next = flow.next.max(place.sequence.saturating_add(1));
        flow.owned.insert(place.sequence, owned)
    }

    pub(crate) fn remove(&mut self, pair: Pair, place: Place) -> Option<Owned> {
        let owned = self.pairs.get_mut(&pair)?.flow(place.flow)?.remove(place.sequence)?;
        self.places.remove(&(pair, owned.letter.id));
        self.total.take(owned.bytes);
        match (pair.kind, owned.host) {
            (FlowKind::Messages, _) => give_back(&mut self.shares, pair.source, owned.bytes),
            (FlowKind::Answers, host) => {
                give_back(&mut self.answers, pair, owned.bytes);
                if let Some(host) = host {
                    give_back(&mut self.answers_to, host, owned.bytes);
                }
            }
        }
        Some(owned)
    }

    fn count(&mut self, pair: Pair, owned: &Owned) {
        self.total.add(owned.bytes);
        match (pair.kind, owned.host) {
            (FlowKind::Messages, _) => self.shares.entry(pair.source).or_default().add(owned.bytes),
            (FlowKind::Answers, host) => {
                self.answers.entry(pair).or_default().add(owned.bytes);
                if let Some(host) = host {
                    self.answers_to.entry(host).or_default().add(owned.bytes);
                }
            }
        }
    }

    /// The oldest timestamp of what is owned.
    pub(crate) fn oldest(&self) -> Option<u64> {
        let flows = self.pairs.values().flat_map(|out| out.flows.iter());
        flows.filter_map(|flow| flow.owned.first_key_value()).map(|(_, owned)| owned.letter.timestamp).min()
    }

    /// Where the message of an entry stands. Looks through all of them: only for what is rare.
    pub(crate) fn place_of(&self, entry: EntryNumber) -> Option<(Pair, Place)> {
        self.pairs.iter().find_map(|(pair, out)| {
            out.flows.iter().find_map(|flow| {
                let (sequence, _) = flow.owned.iter().find(|(_, owned)| owned.entry == entry)?;
                Some((*pair, Place { flow: flow.id, sequence: *sequence }))
            })
        })
    }

    /// Notes that a message has another place.
    pub(crate) fn moved(&mut self, pair: Pair, id: MessageId, place: Place) {
        self.places.insert((pair, id), place);
    }
}
