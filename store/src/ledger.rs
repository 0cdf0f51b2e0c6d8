//! Which record lives where, and what each segment still holds that is needed. Pure.
//!
//! A forget is needed for as long as another segment holds a put of its number, dead as that put may be: without the
//! forget, the next start would find the put and believe it. Once the last such segment has gone, so may the forget.
//! A put and its forget in one segment go together.

use std::collections::{BTreeMap, BTreeSet};

use proto::limits::JOURNAL_SEGMENT_HEADER_BYTES;

use crate::record::{self, Entry, Place};
use crate::{RecordNumber, SegmentNumber};

#[derive(Default, Debug)]
pub(crate) struct Ledger {
    homes: BTreeMap<RecordNumber, Home>,
    graves: BTreeMap<RecordNumber, Grave>,
    segments: BTreeMap<SegmentNumber, Account>,
}

/// Where a living record is read from.
#[derive(Debug)]
struct Home {
    segment: SegmentNumber,
    record: usize,
    /// Other segments that hold a copy of it.
    stale: Vec<SegmentNumber>,
}

/// A forget that is needed.
#[derive(Debug)]
struct Grave {
    segment: SegmentNumber,
    record: usize,
    /// Segments that hold a put of it.
    puts: Vec<SegmentNumber>,
}

#[derive(Default, Debug)]
struct Account {
    bytes: usize,
    is_hurt: bool,
    /// By place, the records of which something is needed.
    records: BTreeMap<usize, Kept>,
    live_bytes: usize,
    /// What was put here and lives elsewhere or nowhere.
    dead_puts: BTreeSet<RecordNumber>,
}

/// What is needed of one record on disk.
#[derive(Clone, Default, Debug)]
pub(crate) struct Kept {
    pub(crate) puts: Vec<(RecordNumber, Place)>,
    pub(crate) forgets: Vec<RecordNumber>,
    body_bytes: usize,
}

impl Kept {
    /// What it would take on disk without its dead.
    pub(crate) fn framed_bytes(&self) -> usize {
        match self.puts.len() + self.forgets.len() {
            0 => 0,
            items => record::framed_bytes(items, self.body_bytes),
        }
    }
}

impl Ledger {
    pub(crate) fn add_segment(&mut self, segment: SegmentNumber, bytes: usize) {
        self.segments.insert(segment, Account { bytes, ..Account::default() });
    }

    /// A segment in which damage was found is emptied before others.
    pub(crate) fn mark_hurt(&mut self, segment: SegmentNumber) {
        if let Some(account) = self.segments.get_mut(&segment) {
            account.is_hurt = true;
        }
    }

    pub(crate) fn segments(&self) -> usize {
        self.segments.len()
    }

    pub(crate) fn is_live(&self, number: RecordNumber) -> bool {
        self.homes.contains_key(&number)
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = RecordNumber> + '_ {
        self.homes.keys().copied()
    }

    pub(crate) fn live_bytes(&self) -> usize {
        self.segments.values().map(|account| account.live_bytes).sum()
    }

    pub(crate) fn find(&self, number: RecordNumber) -> Option<(SegmentNumber, Place)> {
        let home = self.homes.get(&number)?;
        let kept = self.segments.get(&home.segment)?.records.get(&home.record)?;
        let (_, place) = kept.puts.iter().find(|(put, _)| *put == number)?;
        Some((home.segment, *place))
    }

    /// Takes note of a record that stands after all that were noted before.
    pub(crate) fn apply(&mut self, segment: SegmentNumber, record: usize, entries: &[Entry]) {
        for entry in entries {
            match entry {
                Entry::Put(number, place) => self.put(segment, record, *number, *place),
                Entry::Forget(number) => self.forget(segment, record, *number),
            }
        }
    }

    fn put(&mut self, segment: SegmentNumber, record: usize, number: RecordNumber, place: Place) {
        let mut stale = Vec::new();
        if let Some(old) = self.homes.remove(&number) {
            self.bury(&old, number);
            stale = old.stale;
            stale.push(old.segment);
        }
        self.homes.insert(number, Home { segment, record, stale });
        self.change(segment, record, |kept| {
            // Most hold one, and a journal holds millions.
            if kept.puts.is_empty() {
                kept.puts.reserve_exact(1);
            }
            kept.puts.push((number, place));
            kept.body_bytes += place.length;
        });
    }

    fn forget(&mut self, segment: SegmentNumber, record: usize, number: RecordNumber) {
        let puts = if let Some(old) = self.homes.remove(&number) {
            self.bury(&old, number);
            let mut puts = old.stale;
            puts.push(old.segment);
            puts
        } else if let Some(old) = self.graves.remove(&number) {
            self.change(old.segment, old.record, |kept| kept.forgets.retain(|forget| *forget != number));
            old.puts
        } else {
            return;
        };
        if puts.iter().any(|put| *put != segment) {
            self.graves.insert(number, Grave { segment, record, puts });
            self.change(segment, record, |kept| kept.forgets.push(number));
        }
    }

    /// The record is no longer read from there, and the put still lies there.
    fn bury(&mut self, home: &Home, number: RecordNumber) {
        self.change(home.segment, home.record, |kept| {
            let bodies = kept.puts.extract_if(.., |(put, _)| *put == number);
            kept.body_bytes -= bodies.map(|(_, place)| place.length).sum::<usize>();
        });
        if let Some(account) = self.segments.get_mut(&home.segment) {
            account.dead_puts.insert(number);
        }
    }

    fn change(&mut self, segment: SegmentNumber, record: usize, change: impl FnOnce(&mut Kept)) {
        let Some(account) = self.segments.get_mut(&segment) else { return };
        let kept = account.records.entry(record).or_default();
        account.live_bytes -= kept.framed_bytes();
        change(kept);
        account.live_bytes += kept.framed_bytes();
        if kept.framed_bytes() == 0 {
            account.records.remove(&record);
        }
    }

    /// A record whose bytes cannot be read is given up.
    pub(crate) fn lose(&mut self, number: RecordNumber) {
        if let Some(home) = self.homes.remove(&number) {
            self.bury(&home, number);
        }
    }

    /// Which segment to empty: a damaged one if `may_be_full`, or the one with most room to win, if that is at least
    /// `worth`.
    pub(crate) fn victim(
        &self,
        active: SegmentNumber,
        may_be_full: bool,
        worth: impl Fn(usize) -> usize,
    ) -> Option<SegmentNumber> {
        let sealed = || self.segments.iter().filter(|(segment, _)| **segment != active);
        let hurt = sealed().find(|(_, account)| may_be_full && account.is_hurt);
        let emptiest = || {
            let most = sealed().max_by_key(|(_, account)| account.dead_bytes());
            most.filter(|(_, account)| account.dead_bytes() >= worth(account.capacity()))
        };
        hurt.or_else(emptiest).map(|(segment, _)| *segment)
    }

    /// The first record of the segment of which something is needed.
    pub(crate) fn first_kept(&self, segment: SegmentNumber) -> Option<Kept> {
        self.segments.get(&segment)?.records.values().next().cloned()
    }

    /// The segment has gone, durably. Forgets that were only needed because of it are needed no more.
    pub(crate) fn remove_segment(&mut self, segment: SegmentNumber) {
        let Some(account) = self.segments.remove(&segment) else { return };
        for number in account.dead_puts {
            if let Some(home) = self.homes.get_mut(&number) {
                home.stale.retain(|stale| *stale != segment);
            }
            let Some(mut grave) = self.graves.remove(&number) else { continue };
            grave.puts.retain(|put| *put != segment);
            if grave.puts.iter().any(|put| *put != grave.segment) {
                self.graves.insert(number, grave);
            } else {
                self.change(grave.segment, grave.record, |kept| kept.forgets.retain(|forget| *forget != number));
            }
        }
    }
}

impl Account {
    fn capacity(&self) -> usize {
        self.bytes.saturating_sub(JOURNAL_SEGMENT_HEADER_BYTES)
    }

    fn dead_bytes(&self) -> usize {
        self.capacity().saturating_sub(self.live_bytes)
    }
}
