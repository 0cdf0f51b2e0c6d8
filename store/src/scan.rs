//! From bytes to good records, and to where damage lies. Pure.
//!
//! [`scan`] finds whatever record is good for its place, also behind damage. [`judge`] says what of it counts. A hole
//! is damage if what it held had been synced, and otherwise the place where a crash tore the tail. Records and the
//! marks after each sync say what had been synced when they were written; in all segments but the newest it is
//! everything. Behind a tear nothing counts, so that what a crash leaves is a prefix of what was appended.

use proto::limits::{JOURNAL_ALIGN_BYTES, JOURNAL_SEGMENT_HEADER_BYTES};

use crate::RecordNumber;
use crate::record::{self, Binding, Entry, Kind, RecordHeader};

/// A record whose header is good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Where it begins.
    pub at: usize,
    /// Where the next one begins.
    pub end: usize,
    /// What it says.
    pub header: RecordHeader,
    /// What happens in it; nothing if the table is bad.
    pub entries: Option<Vec<Entry>>,
    /// Puts whose bodies are bad.
    pub bad: Vec<RecordNumber>,
}

impl Found {
    fn is_whole(&self) -> bool {
        self.entries.is_some() && self.bad.is_empty()
    }
}

/// A stretch whose records were synced and cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hole {
    /// Where it begins.
    pub at: usize,
    /// Where it ends.
    pub end: usize,
    /// Transactions of which something is lost; nothing if that cannot be known.
    pub transactions: Option<u64>,
    /// Lost records whose numbers could still be read.
    pub lost: Vec<RecordNumber>,
}

/// What counts in a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judged {
    /// Transactions in order; bad bodies are no longer among their entries.
    pub kept: Vec<Found>,
    /// What was synced and is lost.
    pub holes: Vec<Hole>,
    /// Where the next record goes.
    pub tail: usize,
    /// From the tail up to here lie bytes that do not count, of transactions that were never synced.
    pub torn: Option<usize>,
    /// Whole transactions behind the tear.
    pub dropped: u64,
    /// The last record, if it is not a transaction.
    pub note: Option<Kind>,
    /// The sequence of the next record.
    pub next_sequence: u64,
    /// The highest number that was put.
    pub highest: u64,
}

/// All records that are good for their place, in order. `bytes` is a whole segment, its header included.
#[must_use]
pub fn scan(bytes: &[u8], binding: &Binding) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = JOURNAL_SEGMENT_HEADER_BYTES;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        match read(rest, binding, at) {
            Some(record) => {
                at = record.end;
                found.push(record);
            }
            None => at += JOURNAL_ALIGN_BYTES,
        }
    }
    found
}

fn read(rest: &[u8], binding: &Binding, at: usize) -> Option<Found> {
    let header = record::decode_header(binding, at, rest)?;
    let framed = record::framed_bytes(header.items, header.body_bytes);
    let bytes = rest.get(..framed)?;
    let entries = record::decode_table(&header, at, bytes);
    let mut bad = Vec::new();
    for entry in entries.iter().flatten() {
        let Entry::Put(number, place) = entry else { continue };
        let body = bytes.get(place.at - at..).and_then(|rest| rest.get(..place.length));
        if !body.is_some_and(|body| place.holds(body)) {
            bad.push(*number);
        }
    }
    Some(Found { at, end: at + framed, header, entries, bad })
}

/// Says what counts. `first_sequence` is what the segment's header says, if it can be read; what is `newest` may end
/// in a tear.
#[must_use]
pub fn judge(bytes: &[u8], found: Vec<Found>, first_sequence: Option<u64>, newest: bool) -> Judged {
    let mut walk = Walk::new(&found, first_sequence, newest);
    let mut dropped = 0;
    for record in found {
        if walk.is_torn || !walk.take(&record) {
            walk.is_torn = true;
            dropped += u64::from(record.header.kind == Kind::Transaction && record.is_whole());
        }
    }
    walk.finish(bytes, dropped)
}

struct Walk {
    newest: bool,
    /// All up to this sequence had been synced.
    proven: u64,
    expected: u64,
    is_torn: bool,
    judged: Judged,
}

impl Walk {
    fn new(found: &[Found], first_sequence: Option<u64>, newest: bool) -> Self {
        let expected = first_sequence.or(found.first().map(|record| record.header.sequence)).unwrap_or(1);
        let synced = found.iter().map(|record| record.header.synced).max().unwrap_or(0);
        let proven = if newest { synced.max(expected.saturating_sub(1)) } else { u64::MAX };
        let judged = Judged {
            kept: Vec::new(),
            holes: Vec::new(),
            tail: JOURNAL_SEGMENT_HEADER_BYTES,
            torn: None,
            dropped: 0,
            note: None,
            next_sequence: expected,
            highest: 0,
        };
        Self { newest, proven, expected, is_torn: false, judged }
    }

    /// Whether it counts.
    fn take(&mut self, record: &Found) -> bool {
        let sequence = record.header.sequence;
        let Some(missing) = sequence.checked_sub(self.expected) else { return false };
        if missing > 0 && sequence - 1 > self.proven {
            return false;
        }
        let is_transaction = record.header.kind == Kind::Transaction;
        if is_transaction && !record.is_whole() && sequence > self.proven {
            return false;
        }
        if missing > 0 {
            self.lose(record.at, Some(missing), Vec::new());
        }
        self.judged.tail = record.at;
        self.judged.highest = self.judged.highest.max(record.header.highest);
        if !is_transaction {
            self.expected = sequence;
            self.judged.note = Some(record.header.kind);
            return true;
        }
        if !record.is_whole() {
            self.lose(record.end, Some(1), record.bad.clone());
        }
        self.expected = sequence.saturating_add(1);
        self.judged.tail = record.end;
        self.judged.note = None;
        let mut kept = record.clone();
        if let Some(entries) = &mut kept.entries {
            entries.retain(|entry| !matches!(entry, Entry::Put(number, _) if record.bad.contains(number)));
        }
        self.judged.kept.push(kept);
        true
    }

    fn lose(&mut self, end: usize, transactions: Option<u64>, lost: Vec<RecordNumber>) {
        self.judged.holes.push(Hole { at: self.judged.tail, end, transactions, lost });
    }

    fn finish(mut self, bytes: &[u8], dropped: u64) -> Judged {
        if !self.newest {
            if self.judged.note != Some(Kind::Seal) {
                self.lose(bytes.len(), None, Vec::new());
            }
            self.judged.next_sequence = self.expected;
            return self.judged;
        }
        let lost = self.proven.saturating_add(1).saturating_sub(self.expected);
        let note_bytes = if self.judged.note.is_some() { record::framed_bytes(0, 0) } else { 0 };
        let behind = bytes.get(self.judged.tail + note_bytes..).unwrap_or_default();
        let last = behind.iter().rposition(|byte| *byte != 0);
        let end = last.map(|last| self.judged.tail + note_bytes + last + 1);
        if lost > 0 {
            self.lose(end.unwrap_or(bytes.len()), Some(lost), Vec::new());
        }
        self.judged.torn = end;
        self.judged.dropped = dropped;
        self.judged.next_sequence = self.expected.max(self.proven.saturating_add(1));
        self.judged
    }
}
