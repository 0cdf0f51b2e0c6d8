//! What lies on one node's disk, as the model counts it: once as it was asked for, once as it was synced. It reads
//! the same entries as the node and decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use mesh::Change;
use proto::entry::{Entry, EntryNumber, Letter, Mark, Place, Stub};
use proto::{AgentId, FlowId, FlowKind, MessageId, MessageType};

/// One direction between two agents, and the kind of what goes there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PairKey {
    /// Who speaks.
    pub source: AgentId,
    /// To whom.
    pub destination: AgentId,
    /// Answers rather than messages.
    pub answers: bool,
}

/// Which durable message or answer: its identity in the contract.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Key {
    /// Who speaks to whom.
    pub pair: PairKey,
    /// Its id, or that of the message it answers.
    pub id: MessageId,
}

impl Key {
    /// A message.
    #[must_use]
    pub const fn message(source: AgentId, destination: AgentId, id: MessageId) -> Self {
        Self { pair: PairKey { source, destination, answers: false }, id }
    }

    /// That of a letter.
    #[must_use]
    pub const fn of(letter: &Letter) -> Self {
        let answers = is_answer(letter.message_type);
        Self { pair: PairKey { source: letter.source, destination: letter.destination, answers }, id: letter.id }
    }

    /// The other one of message and answer.
    #[must_use]
    pub const fn reverse(self) -> Self {
        let PairKey { source, destination, answers } = self.pair;
        Self { pair: PairKey { source: destination, destination: source, answers: !answers }, id: self.id }
    }
}

/// Whether a type belongs to the flow of answers.
#[must_use]
pub(crate) const fn is_answer(message_type: MessageType) -> bool {
    match message_type {
        MessageType::Response | MessageType::Ack | MessageType::Error => true,
        MessageType::Request | MessageType::Broadcast | MessageType::Ping => false,
    }
}

/// Entries and what can be asked about them.
#[derive(Clone, Default, Debug)]
pub(crate) struct View {
    pub(crate) entries: BTreeMap<EntryNumber, Entry>,
    /// Of an answer there may be two: its message was said again and handled again.
    pub(crate) owned: BTreeMap<Key, BTreeMap<EntryNumber, Place>>,
    pub(crate) received: BTreeMap<Key, EntryNumber>,
    pub(crate) stubs: BTreeMap<Key, EntryNumber>,
    pub(crate) marks: BTreeMap<PairKey, Place>,
    /// By the entry, those that say that its message is a dead letter.
    pub(crate) died: BTreeMap<EntryNumber, EntryNumber>,
    places: BTreeSet<(PairKey, FlowId, u32)>,
    /// By what is owned, the entry that gave it another place.
    moved: BTreeMap<EntryNumber, EntryNumber>,
}

impl View {
    /// What was there already under the key of an entry that is put, if that contradicts it.
    pub(crate) fn put(&mut self, number: EntryNumber, entry: Entry) -> Option<&'static str> {
        let mut doubled = None;
        if let Entry::Owned { letter, place, .. } = &entry {
            let key = Key::of(letter);
            self.places.insert((key.pair, place.flow, place.sequence));
            self.owned.entry(key).or_default().insert(number, *place);
        } else if let Entry::Received { received, .. } = &entry {
            doubled = self.received.insert(Key::of(&received.letter), number).map(|_| "received");
        } else if let Entry::Stub(stub) = &entry {
            self.stubs.insert(key_of_stub(stub), number);
        } else if let Entry::Mark(mark) = &entry {
            self.marks.insert(pair_of_mark(mark), mark.place);
        } else if let Entry::Moved(owned, place) = &entry {
            self.moved.insert(*owned, number);
            self.move_to(*owned, *place);
        } else if let Entry::Died { entry: dead, .. } = &entry {
            self.died.insert(*dead, number);
            if let Some(letter) = self.entries.get(dead).cloned() {
                self.leave(*dead, &letter);
            }
        }
        self.entries.insert(number, entry);
        doubled
    }

    /// A message is no longer owned, and waits for no agent.
    fn leave(&mut self, number: EntryNumber, entry: &Entry) {
        if let Entry::Owned { letter, .. } = entry {
            let key = Key::of(letter);
            let numbers = self.owned.entry(key).or_default();
            if let Some(place) = numbers.remove(&number) {
                self.places.remove(&(key.pair, place.flow, place.sequence));
            }
            if numbers.is_empty() {
                self.owned.remove(&key);
            }
        } else if let Entry::Received { received, .. } = entry {
            forget_if(&mut self.received, Key::of(&received.letter), number);
        }
    }

    /// Dead letters.
    pub(crate) fn dead(&self) -> usize {
        let whole = self.entries.values().filter(|entry| matches!(entry, Entry::Dead { .. })).count();
        whole + self.died.keys().filter(|dead| self.entries.contains_key(dead)).count()
    }

    pub(crate) fn forget(&mut self, number: EntryNumber) -> Option<Entry> {
        let entry = self.entries.remove(&number)?;
        self.leave(number, &entry);
        if let Entry::Died { entry: dead, .. } = &entry {
            self.died.remove(dead);
            // Put back where it lay, unless it went with its note.
            if let Some(letter) = self.entries.remove(dead) {
                self.put(*dead, letter);
            }
        } else if let Entry::Stub(stub) = &entry {
            forget_if(&mut self.stubs, key_of_stub(stub), number);
        } else if let Entry::Moved(owned, _) = &entry
            && self.moved.get(owned) == Some(&number)
        {
            self.moved.remove(owned);
            let first = self.entries.get(owned).and_then(place_of);
            if let Some(first) = first {
                self.move_to(*owned, first);
            }
        }
        // A mark is forgotten when a newer one is put, or when it is dropped; which one it was does not matter to
        // whoever asks how far a pair was ever settled.
        Some(entry)
    }

    /// A message has a new place.
    fn move_to(&mut self, owned: EntryNumber, place: Place) {
        let Some(Entry::Owned { letter, .. }) = self.entries.get(&owned) else { return };
        let key = Key::of(letter);
        if let Some(before) = self.owned.entry(key).or_default().insert(owned, place) {
            self.places.remove(&(key.pair, before.flow, before.sequence));
        }
        self.places.insert((key.pair, place.flow, place.sequence));
    }

    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(number, bytes) => {
                if let Ok(entry) = Entry::read(bytes.clone()) {
                    self.put(*number, entry);
                }
            }
            Change::Forget(number) => {
                self.forget(*number);
            }
        }
    }

    /// What is owned under a key, and its place: that one, if there are two.
    pub(crate) fn letter(&self, key: &Key, wanted: Place) -> Option<(&Letter, Place)> {
        let numbers = self.owned.get(key)?;
        let found = numbers.iter().find(|(_, place)| **place == wanted).or(numbers.first_key_value());
        let (number, place) = found?;
        let Some(Entry::Owned { letter, .. }) = self.entries.get(number) else { return None };
        Some((letter, *place))
    }

    /// The message that an entry speaks of, if it is of one.
    pub(crate) fn key_of(&self, entry: &Entry) -> Option<Key> {
        if let Entry::Moved(owned, _) = entry {
            let Some(Entry::Owned { letter, .. }) = self.entries.get(owned) else { return None };
            return Some(Key::of(letter));
        }
        if let Entry::Died { entry, .. } | Entry::Revived { entry, .. } = entry {
            return self.entries.get(entry).and_then(letter_of).map(Key::of);
        }
        letter_of(entry).map(Key::of)
    }
}

/// What an entry holds of a message.
pub(crate) fn letter_of(entry: &Entry) -> Option<&Letter> {
    if let Entry::Owned { letter, .. } = entry {
        Some(letter)
    } else if let Entry::Received { received, .. } = entry {
        Some(&received.letter)
    } else if let Entry::Dead { dead, .. } = entry {
        Some(&dead.letter)
    } else {
        None
    }
}

fn place_of(entry: &Entry) -> Option<Place> {
    if let Entry::Owned { place, .. } = entry { Some(*place) } else { None }
}

pub(crate) fn pair_of_mark(mark: &Mark) -> PairKey {
    let answers = mark.place.flow.kind() == FlowKind::Answers;
    PairKey { source: mark.source, destination: mark.destination, answers }
}

fn forget_if(index: &mut BTreeMap<Key, EntryNumber>, key: Key, number: EntryNumber) {
    if index.get(&key) == Some(&number) {
        index.remove(&key);
    }
}

pub(crate) const fn key_of_stub(stub: &Stub) -> Key {
    Key::message(stub.source, stub.destination, stub.id)
}

/// One node's disk.
#[derive(Clone, Default, Debug)]
pub(crate) struct Account {
    /// As it was asked for.
    pub(crate) asked: View,
    /// As it was synced.
    pub(crate) synced: View,
    /// Places that are on disk and were not given up since.
    pub(crate) starts: u32,
    /// The last start that found no clean stop.
    pub(crate) unclean_start: u32,
    /// Its disk lied or went back unseen: what depends on it is not judged.
    pub(crate) is_forgiven: bool,
    /// A byte of its disk changed while it ran: it may miss entries.
    pub(crate) rots: bool,
    /// Bytes of its disk have changed at some time.
    pub(crate) has_rotted: bool,
    /// When its store was born, by its wall clock.
    pub(crate) birth: Option<u64>,
    /// Its wall clock has gone back, or it dropped marks.
    pub(crate) clock_moved: bool,
    /// Until then its clock is not to be trusted, and nothing may expire there.
    pub(crate) suspended_until: u64,
}

impl Account {
    /// The lowest place that is owned, on disk, and not given up.
    pub(crate) fn floor_at_most(&self, pair: PairKey, flow: FlowId) -> Option<u32> {
        // The asked view leaves out what was given up; the synced one what is not there yet. What is in both counts.
        let mut from = 0;
        loop {
            let next = self
                .asked
                .places
                .range((pair, flow, from)..=(pair, flow, u32::MAX))
                .next()
                .map(|(_, _, sequence)| *sequence)?;
            if self.synced.places.contains(&(pair, flow, next)) {
                return Some(next);
            }
            from = next.checked_add(1)?;
        }
    }
}
