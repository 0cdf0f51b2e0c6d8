//! Ends that are awaited: from Accepted until the agent has acknowledged the outcome.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use proto::entry::{EntryNumber, Stub};
use proto::limits::STUBS_MAX;
use proto::{AgentId, MessageId};

use crate::pair::Pair;
use crate::time::Mono;

/// One stub.
#[derive(Debug)]
pub(crate) struct Awaited {
    pub(crate) stub: Stub,
    pub(crate) entry: EntryNumber,
    /// The outcome lies in the mailbox of the one who asked.
    pub(crate) has_outcome: bool,
    /// It is on disk, so the message was accepted.
    pub(crate) is_synced: bool,
    /// It was there when this run began.
    pub(crate) is_past: bool,
    /// When its end is looked at.
    pub(crate) ends: Mono,
}

/// All stubs.
#[derive(Debug, Default)]
pub(crate) struct Stubs {
    all: BTreeMap<(AgentId, AgentId, MessageId), Awaited>,
    counts: BTreeMap<AgentId, usize>,
}

impl Stubs {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn has_room(&self, source: AgentId) -> bool {
        self.counts.get(&source).is_none_or(|count| *count < STUBS_MAX)
    }

    pub(crate) fn insert(&mut self, stub: Stub, entry: EntryNumber, ends: Mono) {
        let key = (stub.source, stub.destination, stub.id);
        if self
            .all
            .insert(key, Awaited { stub, entry, has_outcome: false, is_synced: false, is_past: false, ends })
            .is_none()
        {
            *self.counts.entry(stub.source).or_default() += 1;
        }
    }

    pub(crate) fn find(&mut self, source: AgentId, destination: AgentId, id: MessageId) -> Option<&mut Awaited> {
        self.all.get_mut(&(source, destination, id))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Awaited> {
        self.all.values_mut()
    }

    /// The pairs that await the end of this id. Looks through all of them: only for people who ask.
    pub(crate) fn pairs_with(&self, id: MessageId) -> Vec<Pair> {
        let found = self.all.keys().filter(|(_, _, known)| *known == id);
        found.map(|(source, destination, _)| Pair::messages(*source, *destination)).collect()
    }

    pub(crate) fn remove(&mut self, source: AgentId, destination: AgentId, id: MessageId) -> Option<Awaited> {
        let gone = self.all.remove(&(source, destination, id))?;
        if let Some(count) = self.counts.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&source);
            }
        }
        Some(gone)
    }
}
