//! Dead letters: messages that were given up, and ends that no agent could be told. They stay where an operator sees
//! them, within bounds, and can be put back or forgotten.

use alloc::collections::{BTreeMap, BTreeSet};

use proto::entry::{DeadLetter, Entry, EntryNumber, Letter, Parts, Received};
use proto::limits::{DEAD_BYTES_MAX, DEAD_LETTERS_MAX, DEAD_LETTERS_PEER_MAX, DEAD_LIFE, MESSAGE_LIFE};
use proto::{ErrorCode, FlowKind, NodeId};

use crate::bounds::{Full, Share};
use crate::effect::{Effect, Event};
use crate::history::{Moment, What};
use crate::ledger::Then;
use crate::mailbox::{Item, State};
use crate::node::Node;
use crate::outbox::Owned;
use crate::pair::Pair;
use crate::sending::kind_of;
use crate::step::Step;
use crate::time::Mono;
use crate::timers::Why;

/// Where a dead letter lay, and is put back to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Home {
    /// This node owned it.
    Outbox,
    /// An agent of this node should have handled it.
    Mailbox(Received),
    /// Nothing is left of it, or nobody waits for it.
    Nowhere,
}

/// One dead letter.
#[derive(Clone, Debug)]
pub(crate) struct Corpse {
    pub(crate) letter: Letter,
    pub(crate) code: ErrorCode,
    pub(crate) bytes: usize,
    pub(crate) home: Home,
    /// Whose share it counts against; this node's own are bounded by the whole alone.
    pub(crate) peer: Option<NodeId>,
}

/// A dead letter and where it lies.
#[derive(Debug)]
pub(crate) struct Buried {
    pub(crate) corpse: Corpse,
    /// The note that the message of the entry is dead. Without one, the entry itself says so.
    died: Option<EntryNumber>,
}

/// When it died, and which entry it is.
pub(crate) type Grave = (u64, EntryNumber);

/// All dead letters, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Dead {
    pub(crate) all: BTreeMap<Grave, Buried>,
    pub(crate) total: Share,
    peers: BTreeMap<NodeId, BTreeSet<Grave>>,
    /// When the oldest are looked at.
    ends: Option<Mono>,
}

impl Dead {
    fn insert(&mut self, grave: Grave, buried: Buried) {
        self.total.add(buried.corpse.bytes);
        if let Some(peer) = buried.corpse.peer {
            self.peers.entry(peer).or_default().insert(grave);
        }
        self.all.insert(grave, buried);
    }

    fn remove(&mut self, grave: Grave) -> Option<Buried> {
        let buried = self.all.remove(&grave)?;
        self.total.take(buried.corpse.bytes);
        if let Some(peer) = buried.corpse.peer
            && let Some(graves) = self.peers.get_mut(&peer)
        {
            graves.remove(&grave);
            if graves.is_empty() {
                self.peers.remove(&peer);
            }
        }
        Some(buried)
    }

    /// The one that has to make way, if there are too many.
    fn beyond(&self, peer: Option<NodeId>) -> Option<Grave> {
        let of_peer = peer.and_then(|peer| self.peers.get(&peer));
        if let Some(graves) = of_peer.filter(|graves| graves.len() > DEAD_LETTERS_PEER_MAX) {
            return graves.first().copied();
        }
        let is_beyond = self.total.messages > DEAD_LETTERS_MAX || self.total.bytes > DEAD_BYTES_MAX;
        self.all.first_key_value().filter(|_| is_beyond).map(|(grave, _)| *grave)
    }

    /// Where the letter of an entry lies. Looks through all of them: only for what is rare.
    pub(crate) fn grave_of(&self, entry: EntryNumber) -> Option<Grave> {
        self.all.keys().find(|(_, number)| *number == entry).copied()
    }
}

impl Corpse {
    /// Whether it can be put back.
    pub(crate) const fn requeues(&self) -> bool {
        !matches!(self.home, Home::Nowhere)
    }
}

impl Node {
    /// Keeps a dead letter, in the open transaction. With an entry, what was said lies there already.
    pub(crate) fn bury(&mut self, corpse: Corpse, entry: Option<EntryNumber>, parts: Parts, step: &mut Step<'_>) {
        let since = step.wall();
        let peer = corpse.peer;
        let moment = Moment::of(What::Dead, &corpse.letter).code(corpse.code).bytes(corpse.bytes);
        self.history.note(moment, step);
        self.stats.dead += 1;
        let letter = corpse.letter;
        step.ask(Effect::Report(Event::Untold {
            source: letter.source,
            destination: letter.destination,
            id: letter.id,
            code: corpse.code.get(),
        }));
        let code = corpse.code.get();
        let (entry, died) = if let Some(entry) = entry {
            (entry, Some(self.ledger.put(&Entry::Died { entry, code, since })))
        } else {
            let dead = DeadLetter { letter, code, since };
            (self.ledger.put(&Entry::Dead { dead, parts }), None)
        };
        self.dead.insert((since, entry), Buried { corpse, died });
        while let Some(oldest) = self.dead.beyond(peer) {
            self.stats.dead_dropped += 1;
            step.ask(Effect::Report(Event::DeadDropped));
            self.purge(oldest, step);
        }
        self.arm_dead_end(step);
    }

    /// What the journal says of a dead letter.
    pub(crate) fn recover_dead(&mut self, grave: Grave, corpse: Corpse, died: Option<EntryNumber>) {
        self.dead.insert(grave, Buried { corpse, died });
    }

    /// Forgets a dead letter. Whether it was there.
    pub(crate) fn purge(&mut self, grave: Grave, step: &Step<'_>) -> bool {
        let Some(buried) = self.dead.remove(grave) else { return false };
        self.history.note(Moment::of(What::Purged, &buried.corpse.letter), step);
        self.ledger.forget(grave.1);
        if let Some(died) = buried.died {
            self.ledger.forget(died);
        }
        true
    }

    /// Puts a dead letter back where it lay. It may have been delivered before, and says so.
    pub(crate) fn requeue(&mut self, grave: Grave, step: &mut Step<'_>) -> Result<(), Requeue> {
        let buried = self.dead.all.get(&grave).ok_or(Requeue::Gone)?;
        let (letter, bytes) = (buried.corpse.letter, buried.corpse.bytes);
        let pair = Pair { source: letter.source, destination: letter.destination, kind: kind_of(&letter) };
        match buried.corpse.home {
            Home::Nowhere => return Err(Requeue::Nothing),
            Home::Outbox => self.requeue_owned(pair, grave.1, letter, bytes, step)?,
            Home::Mailbox(received) => self.requeue_received(pair, grave.1, received, bytes, step)?,
        }
        let Some(buried) = self.dead.remove(grave) else { return Ok(()) };
        self.history.note(Moment::of(What::Requeued, &letter), step);
        if let Some(died) = buried.died {
            self.ledger.forget(died);
        }
        Ok(())
    }

    fn requeue_owned(
        &mut self,
        pair: Pair,
        entry: EntryNumber,
        letter: Letter,
        bytes: usize,
        step: &mut Step<'_>,
    ) -> Result<(), Requeue> {
        if self.members.mesh.is_some() && !self.is_addressable(letter.destination) {
            return Err(Requeue::Nothing);
        }
        if self.outbox.place(pair, letter.id).is_some() {
            return Err(Requeue::There);
        }
        self.outbox.room(pair.source, bytes, &self.bounds).map_err(Requeue::Full)?;
        let place = self.next_place(pair, step.wall()).ok_or(Requeue::Nothing)?;
        let (revived, timestamp, expiry) = self.new_life(entry, step);
        let letter = Letter { timestamp, expiry, again: true, ..letter };
        let owned = Owned {
            host: self.directory.host(letter.destination),
            moved: Some(self.ledger.put(&Entry::Moved(entry, place))),
            revived: Some(revived),
            ..Owned::of(letter, entry, bytes, step.now.when(expiry))
        };
        self.timers.set(owned.expires, Why::OwnedExpires(pair, letter.id));
        self.outbox.insert(pair, place, owned);
        self.ledger.then(Then::Sendable(pair, place.flow, place.sequence));
        Ok(())
    }

    fn requeue_received(
        &mut self,
        pair: Pair,
        entry: EntryNumber,
        received: Received,
        bytes: usize,
        step: &mut Step<'_>,
    ) -> Result<(), Requeue> {
        if self.members.is_revoked(received.source_node) {
            return Err(Requeue::Nothing);
        }
        if self.mailboxes.holds(pair, received.letter.id) {
            return Err(Requeue::There);
        }
        if pair.kind == FlowKind::Messages {
            let peer = Some(received.source_node).filter(|node| *node != self.node_id());
            self.mailboxes.room(pair, peer, bytes, &self.bounds).map_err(Requeue::Full)?;
        }
        let mut received = Received { marked: true, ..received };
        let mut revived = None;
        if received.letter.expiry <= step.wall() {
            let (entry, _, expiry) = self.new_life(entry, step);
            received.letter.expiry = expiry;
            revived = Some(entry);
        }
        let item = Item {
            received,
            entry,
            revived,
            bytes,
            parts: None,
            is_synced: false,
            tries: 0,
            failures: 0,
            state: State::Ready,
            may_be_seen: true,
            teller: None,
            expires: step.now.when(received.letter.expiry),
        };
        let place = self.mailboxes.insert(item);
        self.set_expiry(place);
        self.ledger.then(Then::Deliverable(place.agent, place.order));
        Ok(())
    }

    /// What has expired lives anew from now on.
    fn new_life(&mut self, entry: EntryNumber, step: &Step<'_>) -> (EntryNumber, u64, u64) {
        let timestamp = step.wall();
        let expiry = timestamp.saturating_add(MESSAGE_LIFE);
        let revived = self.ledger.put(&Entry::Revived { entry, timestamp, expiry });
        (revived, timestamp, expiry)
    }

    /// What one of them holds cannot be read any more; the letter itself stays.
    pub(crate) fn dead_unreadable(&mut self, grave: Grave) {
        if let Some(buried) = self.dead.all.get_mut(&grave) {
            buried.corpse.home = Home::Nowhere;
        }
    }

    pub(crate) fn arm_dead_end(&mut self, step: &Step<'_>) {
        if self.dead.ends.is_some() {
            return;
        }
        if let Some(((since, _), _)) = self.dead.all.first_key_value() {
            let ends = step.now.when(since.saturating_add(DEAD_LIFE));
            self.dead.ends = Some(ends);
            self.timers.set(ends, Why::DeadEnd);
        }
    }

    /// The clock has moved: the deadline is set anew.
    pub(crate) fn rearm_dead_end(&mut self, step: &Step<'_>) {
        if let Some(ends) = self.dead.ends.take() {
            self.timers.clear(ends, Why::DeadEnd);
        }
        self.arm_dead_end(step);
    }

    /// Forgets those that are old enough.
    pub(crate) fn dead_end(&mut self, step: &Step<'_>) {
        self.dead.ends = None;
        if self.clock.is_suspended() {
            return;
        }
        while let Some((grave, _)) = self.dead.all.first_key_value()
            && grave.0.saturating_add(DEAD_LIFE) <= step.wall()
        {
            let grave = *grave;
            self.purge(grave, step);
        }
        self.arm_dead_end(step);
    }
}

/// Why a dead letter was not put back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Requeue {
    /// It is not there.
    Gone,
    /// There is nothing to put back, or nobody to put it back to.
    Nothing,
    /// The same message is on its way again already.
    There,
    /// It finds no room.
    Full(Full),
}
