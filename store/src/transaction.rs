//! What is appended: puts and forgets that hold together or not at all.

use bytes::Bytes;

/// What the caller calls a record. Each is greater than all before it and is never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RecordNumber(u64);

impl RecordNumber {
    /// The record of that number. The first that can be put is 1.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl core::fmt::Display for RecordNumber {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a transaction stands among all that were appended. A sync answers with the last that it covers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AppendNumber(u64);

impl AppendNumber {
    pub(crate) const fn new(sequence: u64) -> Self {
        Self(sequence)
    }

    /// The number. It grows by one from append to append, and over restarts.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Puts and forgets, in the order in which they are to happen.
#[derive(Clone, Default, Debug)]
pub struct Transaction {
    items: Vec<Item>,
}

/// One step of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// Keep these bytes under that number.
    Put(RecordNumber, Bytes),
    /// The record is needed no more.
    Forget(RecordNumber),
}

impl Transaction {
    /// One in which nothing happens.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps `body` under `number`, which must be greater than every number put before it.
    #[must_use]
    pub fn put(mut self, number: RecordNumber, body: impl Into<Bytes>) -> Self {
        self.items.push(Item::Put(number, body.into()));
        self
    }

    /// Gives a record up. One that is not there is no fault.
    #[must_use]
    pub fn forget(mut self, number: RecordNumber) -> Self {
        self.items.push(Item::Forget(number));
        self
    }

    /// What happens in it.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    pub(crate) fn into_items(self) -> Vec<Item> {
        self.items
    }
}
