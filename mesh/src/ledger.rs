//! What waits for the disk. All that one input changes is one transaction; what follows from it is held until the
//! transaction is synced.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use proto::entry::{Entry, EntryNumber, Place};
use proto::{AgentId, FlowId, MessageId};

use crate::effect::{Change, Effect, Effects};
use crate::input::TransactionNumber;
use crate::pair::Pair;
use crate::say::Asked;

/// What happens once a transaction is synced.
#[derive(Debug)]
pub(crate) enum Then {
    /// A message may be sent.
    Sendable(Pair, FlowId, u32),
    /// A message may be delivered.
    Deliverable(AgentId, u64),
    /// An end is awaited, and the disk knows it.
    Awaited(AgentId, AgentId, MessageId),
    /// STORED may be said up to there.
    MarkStored(Pair, Place),
    /// An order is carried out, and how many messages it touched.
    Obeyed(Asked, u64),
}

/// The journal as the core sees it.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next_entry: u64,
    transaction: u64,
    open: Vec<Change>,
    open_bytes: usize,
    open_then: Vec<Then>,
    waiting: BTreeMap<TransactionNumber, Vec<Then>>,
    /// Marks that have moved since they were last written.
    pub(crate) marks: BTreeSet<Pair>,
}

impl Ledger {
    pub(crate) fn new(highest: u64) -> Self {
        Self { next_entry: highest.saturating_add(1), ..Self::default() }
    }

    /// Keeps an entry, in the transaction that is open.
    pub(crate) fn put(&mut self, entry: &Entry) -> EntryNumber {
        let number = EntryNumber::new(self.next_entry);
        self.next_entry += 1;
        let bytes = entry.write();
        self.open_bytes += bytes.len();
        self.open.push(Change::Put(number, bytes));
        number
    }

    /// Gives an entry up, in the transaction that is open.
    pub(crate) fn forget(&mut self, entry: EntryNumber) {
        self.open.push(Change::Forget(entry));
    }

    /// Holds what follows until the open transaction is synced.
    pub(crate) fn then(&mut self, then: Then) {
        self.open_then.push(then);
    }

    /// Bytes that the open transaction holds.
    pub(crate) const fn open_bytes(&self) -> usize {
        self.open_bytes
    }

    /// Closes the open transaction, if anything happens in it.
    pub(crate) fn close(&mut self, effects: &mut Effects) {
        self.open_bytes = 0;
        let changes = core::mem::take(&mut self.open);
        let then = core::mem::take(&mut self.open_then);
        if !changes.is_empty() {
            self.transaction += 1;
            effects.push(Effect::Store { transaction: TransactionNumber(self.transaction), changes });
        }
        if !then.is_empty() {
            self.waiting.entry(TransactionNumber(self.transaction)).or_default().extend(then);
        }
    }

    /// What was held for transactions up to `upto`.
    pub(crate) fn release(&mut self, upto: TransactionNumber) -> Vec<Then> {
        let later = self.waiting.split_off(&TransactionNumber(upto.0.saturating_add(1)));
        let released = core::mem::replace(&mut self.waiting, later);
        released.into_values().flatten().collect()
    }
}
