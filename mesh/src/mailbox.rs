//! Messages that this node owes its agents. Data and its bookkeeping; when something is delivered, and what its end
//! means, stands in `delivering.rs`.

use alloc::collections::{BTreeMap, BTreeSet};

use proto::entry::{EntryNumber, Parts, Received};
use proto::{AgentId, FlowKind, MessageId, NodeId};

use crate::bounds::{Bounds, Full, Share};
use crate::input::ClientId;
use crate::pair::Pair;
use crate::say::Teller;
use crate::sending::kind_of;
use crate::time::Mono;

/// One message that waits for its agent.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) received: Received,
    pub(crate) entry: EntryNumber,
    /// The entry that says it was put back.
    pub(crate) revived: Option<EntryNumber>,
    pub(crate) bytes: usize,
    /// What was said, until it was delivered once or had to wait.
    pub(crate) parts: Option<Parts>,
    pub(crate) is_synced: bool,
    /// Deliveries so far, in this run.
    pub(crate) tries: u32,
    /// Those of them that failed.
    pub(crate) failures: u32,
    pub(crate) state: State,
    /// An agent may have seen it in an earlier run.
    pub(crate) may_be_seen: bool,
    /// Its sender is on this node too, and wants to hear how far it has come.
    pub(crate) teller: Option<Teller>,
    /// When its expiry is looked at.
    pub(crate) expires: Mono,
}

/// Where a delivery stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// It waits for its agent.
    Ready,
    /// The agent has it.
    Out {
        /// What it is called there.
        number: u64,
        /// By which client.
        client: ClientId,
        /// The end of the lease.
        until: Mono,
    },
    /// It was not handled, and is delivered again in a while.
    Resting,
}

/// Whose item, and which.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ItemPlace {
    pub(crate) agent: AgentId,
    pub(crate) order: u64,
}

/// What waits for one agent.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    pub(crate) items: BTreeMap<u64, Item>,
    pub(crate) ready: BTreeSet<u64>,
    pub(crate) out: usize,
    /// Messages, without the answers that the agent itself awaits.
    messages: Share,
    /// The answers.
    answers: Share,
    /// What each source has of the messages.
    sources: BTreeMap<AgentId, Share>,
}

/// What waits for all agents of this node.
#[derive(Debug, Default)]
pub(crate) struct Mailboxes {
    pub(crate) boxes: BTreeMap<AgentId, Mailbox>,
    numbers: BTreeMap<u64, ItemPlace>,
    ids: BTreeMap<(Pair, MessageId), ItemPlace>,
    next_order: u64,
    total: Share,
    /// What the agents of each other node have of all mailboxes.
    peers: BTreeMap<NodeId, Share>,
}

impl Item {
    pub(crate) fn pair(&self) -> Pair {
        let letter = &self.received.letter;
        Pair { source: letter.source, destination: letter.destination, kind: kind_of(letter) }
    }

    pub(crate) fn is_message(&self) -> bool {
        kind_of(&self.received.letter) == FlowKind::Messages
    }
}

impl Mailboxes {
    pub(crate) const fn total(&self) -> Share {
        self.total
    }

    pub(crate) fn share(&self, agent: AgentId) -> Share {
        let of = |mailbox: &Mailbox| Share {
            messages: mailbox.items.len(),
            bytes: mailbox.messages.bytes + mailbox.answers.bytes,
        };
        self.boxes.get(&agent).map_or_else(Share::default, of)
    }

    /// When the oldest message that waits for an agent was taken.
    pub(crate) fn oldest(&self, agent: AgentId) -> Option<u64> {
        let (_, item) = self.boxes.get(&agent)?.items.first_key_value()?;
        Some(item.received.received)
    }

    /// Whether a message of that length fits. `peer` is the node that it comes from, if that is another one.
    pub(crate) fn room(&self, pair: Pair, peer: Option<NodeId>, bytes: usize, bounds: &Bounds) -> Result<(), Full> {
        let mailbox = self.boxes.get(&pair.destination);
        let messages = mailbox.map_or_else(Share::default, |mailbox| mailbox.messages);
        let of_source = mailbox.and_then(|mailbox| mailbox.sources.get(&pair.source)).copied().unwrap_or_default();
        let of_peer = peer.and_then(|peer| self.peers.get(&peer)).copied().unwrap_or_default();
        if !messages.fits(bytes, bounds.mailbox) {
            Err(Full::Mailbox)
        } else if !of_source.fits(bytes, bounds.pair) {
            Err(Full::Pair)
        } else if !of_peer.fits(bytes, bounds.peer) {
            Err(Full::Peer)
        } else {
            Ok(())
        }
    }

    /// Whether what an agent is answered fits. Its length alone counts: the stubs have counted the answers.
    pub(crate) fn has_room_for_answer(&self, agent: AgentId, bytes: usize, bounds: &Bounds) -> bool {
        let answers = self.boxes.get(&agent).map_or(0, |mailbox| mailbox.answers.bytes);
        answers.saturating_add(bytes as u64) <= bounds.mailbox.bytes
    }

    pub(crate) fn holds(&self, pair: Pair, id: MessageId) -> bool {
        self.ids.contains_key(&(pair, id))
    }

    /// Where the item with this id lies.
    pub(crate) fn place(&self, pair: Pair, id: MessageId) -> Option<ItemPlace> {
        self.ids.get(&(pair, id)).copied()
    }

    /// The pairs that have an item with this id. Looks at each pair once, however much it has.
    pub(crate) fn pairs_with(&self, id: MessageId) -> alloc::vec::Vec<Pair> {
        use core::ops::Bound::{Excluded, Unbounded};
        let mut found = alloc::vec::Vec::new();
        let mut next = self.ids.first_key_value().map(|((pair, _), _)| *pair);
        while let Some(pair) = next {
            if self.holds(pair, id) {
                found.push(pair);
            }
            let rest = (Excluded((pair, MessageId::new(u64::MAX))), Unbounded);
            next = self.ids.range(rest).next().map(|((pair, _), _)| *pair);
        }
        found
    }

    /// The item with this id, if both its ends are on this node, and whether it is synced.
    pub(crate) fn local_item(&mut self, pair: Pair, id: MessageId) -> Option<(&mut Item, bool)> {
        let place = *self.ids.get(&(pair, id))?;
        let item = self.item_mut(place)?;
        let is_synced = item.is_synced;
        Some((item, is_synced))
    }

    pub(crate) fn insert(&mut self, item: Item) -> ItemPlace {
        let place = ItemPlace { agent: item.received.letter.destination, order: self.next_order };
        self.next_order += 1;
        self.total.add(item.bytes);
        self.ids.insert((item.pair(), item.received.letter.id), place);
        let mailbox = self.boxes.entry(place.agent).or_default();
        if item.is_message() {
            mailbox.messages.add(item.bytes);
            mailbox.sources.entry(item.received.letter.source).or_default().add(item.bytes);
            self.peers.entry(item.received.source_node).or_default().add(item.bytes);
        } else {
            mailbox.answers.add(item.bytes);
        }
        if item.is_synced {
            mailbox.ready.insert(place.order);
        }
        mailbox.items.insert(place.order, item);
        place
    }

    pub(crate) fn item(&self, place: ItemPlace) -> Option<&Item> {
        self.boxes.get(&place.agent)?.items.get(&place.order)
    }

    pub(crate) fn item_mut(&mut self, place: ItemPlace) -> Option<&mut Item> {
        self.boxes.get_mut(&place.agent)?.items.get_mut(&place.order)
    }

    pub(crate) fn remove(&mut self, place: ItemPlace) -> Option<Item> {
        self.take_back(place, State::Resting);
        let mailbox = self.boxes.get_mut(&place.agent)?;
        let item = mailbox.items.remove(&place.order)?;
        mailbox.ready.remove(&place.order);
        if item.is_message() {
            mailbox.messages.take(item.bytes);
            give_back(&mut mailbox.sources, item.received.letter.source, item.bytes);
            give_back(&mut self.peers, item.received.source_node, item.bytes);
        } else {
            mailbox.answers.take(item.bytes);
        }
        if mailbox.items.is_empty() {
            self.boxes.remove(&place.agent);
        }
        self.total.take(item.bytes);
        let key = (item.pair(), item.received.letter.id);
        if self.ids.get(&key) == Some(&place) {
            self.ids.remove(&key);
        }
        Some(item)
    }

    /// Notes that an item was given to a client.
    pub(crate) fn put_out(&mut self, place: ItemPlace, number: u64, client: ClientId, until: Mono) {
        let Some(mailbox) = self.boxes.get_mut(&place.agent) else { return };
        mailbox.ready.remove(&place.order);
        if let Some(item) = mailbox.items.get_mut(&place.order) {
            mailbox.out += 1;
            item.tries = item.tries.saturating_add(1);
            item.parts = None;
            item.state = State::Out { number, client, until };
            self.numbers.insert(number, place);
        }
    }

    /// Voids the number of an item that is out, if it is.
    pub(crate) fn take_back(&mut self, place: ItemPlace, state: State) {
        let Some(mailbox) = self.boxes.get_mut(&place.agent) else { return };
        let Some(item) = mailbox.items.get_mut(&place.order) else { return };
        if let State::Out { number, .. } = item.state {
            self.numbers.remove(&number);
            mailbox.out = mailbox.out.saturating_sub(1);
        }
        item.state = state;
        if state == State::Ready && item.is_synced {
            mailbox.ready.insert(place.order);
        }
    }

    /// The item that a client calls by this number.
    pub(crate) fn delivered(&self, number: u64, client: ClientId, agent: AgentId) -> Option<ItemPlace> {
        let place = self.by_number(number).filter(|place| place.agent == agent)?;
        match self.item(place)?.state {
            State::Out { client: holder, .. } if holder == client => Some(place),
            State::Out { .. } | State::Ready | State::Resting => None,
        }
    }

    pub(crate) fn by_number(&self, number: u64) -> Option<ItemPlace> {
        self.numbers.get(&number).copied()
    }

    /// What waits on disk for its agent need not be held in memory.
    pub(crate) fn drop_waiting_parts(&mut self, agent: AgentId) {
        let Some(mailbox) = self.boxes.get_mut(&agent) else { return };
        for order in mailbox.ready.iter().rev() {
            let Some(item) = mailbox.items.get_mut(order) else { continue };
            if item.parts.take().is_none() {
                break;
            }
        }
    }

    /// Where the message of an entry lies. Looks through all of them: only for what is rare.
    pub(crate) fn place_of(&self, entry: EntryNumber) -> Option<ItemPlace> {
        self.boxes.iter().find_map(|(agent, mailbox)| {
            let (order, _) = mailbox.items.iter().find(|(_, item)| item.entry == entry)?;
            Some(ItemPlace { agent: *agent, order: *order })
        })
    }

    /// What a client holds as one agent.
    pub(crate) fn out_with(&self, agent: AgentId, client: ClientId) -> alloc::vec::Vec<ItemPlace> {
        let items = self.boxes.get(&agent).map(|mailbox| mailbox.items.iter()).into_iter().flatten();
        let held =
            items.filter(|(_, item)| matches!(item.state, State::Out { client: holder, .. } if holder == client));
        held.map(|(order, _)| ItemPlace { agent, order: *order }).collect()
    }
}

/// Lowers a share, and forgets it once nothing is left of it.
pub(crate) fn give_back<K: Ord>(shares: &mut BTreeMap<K, Share>, whose: K, bytes: usize) {
    if let Some(share) = shares.get_mut(&whose) {
        share.take(bytes);
        if share.messages == 0 {
            shares.remove(&whose);
        }
    }
}
