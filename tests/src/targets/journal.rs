//! What lies on disk, as the fuzzer sees it: entries, and segments whose bytes rot.

use bytes::Bytes;
use proto::entry::Entry;
use proto::limits::{JOURNAL_ALIGN_BYTES, JOURNAL_SEGMENT_HEADER_BYTES};
use store::record::{self, Binding, Kind, Numbers};
use store::scan::{self, Found, Judged};
use store::segment::{self, SegmentHeader};
use store::transaction::Item;
use store::{RecordNumber, SegmentNumber};

use super::choices::Choices;

/// Longest segment that is built: scanning goes through all of it.
const SEGMENT_BYTES: usize = 32 << 10;

/// What is read as an entry is written in as many bytes, and then says the same.
pub fn entry(bytes: &[u8]) {
    let Ok(entry) = Entry::read(Bytes::copy_from_slice(bytes)) else { return };
    let written = entry.write();
    // Flags may have bits that nobody reads; all else is written again as it stood.
    assert_eq!(written.len(), bytes.len());
    let again = Entry::read(written.clone()).expect("what was written can be read");
    assert_eq!(format!("{again:?}"), format!("{entry:?}"));
    assert_eq!(parts(&again), parts(&entry));
    assert_eq!(again.write(), written);
}

/// What an entry says beyond what its `Debug` shows.
fn parts(entry: &Entry) -> Option<(&Bytes, &Bytes)> {
    match entry {
        Entry::Owned { parts, .. } | Entry::Received { parts, .. } | Entry::Dead { parts, .. } => {
            Some((parts.metadata.as_bytes(), &parts.body))
        }
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

/// The first half of the choices builds a segment, the rest spoils it; and the bytes themselves are read as one.
pub fn scan(bytes: &[u8]) {
    let binding = Binding { store: [7; 16], segment: SegmentNumber::new(3) };
    judge(bytes, &binding, None);
    let mut choices = Choices::new(bytes);
    let first_sequence = u64::from(choices.byte());
    let mut segment = build(&mut choices, &binding, first_sequence);
    for _ in 0..choices.below(12) {
        let at = choices.wide() % segment.len();
        let how = choices.byte();
        match how % 4 {
            0 => segment[at] ^= 1 << (how / 4 % 8),
            1 => segment[at] = how,
            2 => segment[at..].fill(0),
            _ => {
                let from = choices.wide() % segment.len();
                let length = JOURNAL_ALIGN_BYTES.min(segment.len() - at.max(from));
                segment.copy_within(from..from + length, at);
            }
        }
    }
    judge(&segment, &binding, Some(first_sequence).filter(|_| choices.byte().is_multiple_of(2)));
}

fn build(choices: &mut Choices<'_>, binding: &Binding, first_sequence: u64) -> Vec<u8> {
    let header = SegmentHeader { store: binding.store, segment: binding.segment, bytes: SEGMENT_BYTES, first_sequence };
    let mut out = segment::encode(&header);
    let (mut sequence, mut highest) = (first_sequence, 0);
    while out.len() < SEGMENT_BYTES / 2 {
        let at = out.len();
        let synced = sequence.saturating_sub(u64::from(choices.below(4)));
        let numbers = Numbers { sequence, synced, highest };
        match choices.below(8) {
            0 => break,
            1 => out.extend(record::encode_note(binding, at, Kind::Mark, numbers)),
            2 => out.extend(record::encode_note(binding, at, Kind::Seal, numbers)),
            3 => out.extend(record::encode_note(binding, at, Kind::Clean, numbers)),
            // A record that does not follow.
            4 => sequence = sequence.wrapping_add(u64::from(choices.byte())),
            _ => {
                let items = items(choices, &mut highest);
                record::encode(&mut out, binding, at, Numbers { highest, ..numbers }, &items);
                sequence = sequence.wrapping_add(1);
            }
        }
    }
    out.resize(SEGMENT_BYTES, 0);
    out
}

fn items(choices: &mut Choices<'_>, highest: &mut u64) -> Vec<Item> {
    let mut items = Vec::new();
    for _ in 0..1 + choices.below(4) {
        if choices.below(3) == 0 {
            items.push(Item::Forget(RecordNumber::new(u64::from(choices.byte()))));
        } else {
            *highest += 1;
            let body = vec![choices.byte(); usize::from(choices.byte()) * 4];
            items.push(Item::Put(RecordNumber::new(*highest), body.into()));
        }
    }
    items
}

/// Records lie within the segment, one behind another, and what counts of them is in order.
fn judge(bytes: &[u8], binding: &Binding, first_sequence: Option<u64>) {
    let _header = segment::decode(bytes, binding.segment);
    let found = scan::scan(bytes, binding);
    let mut end = JOURNAL_SEGMENT_HEADER_BYTES;
    for record in &found {
        assert!(record.at >= end && record.end > record.at && record.end <= bytes.len(), "{record:?}");
        assert!(record.at.is_multiple_of(JOURNAL_ALIGN_BYTES));
        end = record.end;
    }
    for newest in [false, true] {
        judged(bytes, &found, &scan::judge(bytes, found.clone(), first_sequence, newest));
    }
}

fn judged(bytes: &[u8], found: &[Found], judged: &Judged) {
    let mut last = None;
    for kept in &judged.kept {
        assert!(kept.header.kind == Kind::Transaction && found.iter().any(|record| record.at == kept.at));
        assert!(last < Some(kept.header.sequence), "{judged:?}");
        last = Some(kept.header.sequence);
        let entries = kept.entries.iter().flatten();
        let puts = entries.filter_map(|entry| match entry {
            record::Entry::Put(number, place) => Some((number, place)),
            record::Entry::Forget(_) => None,
        });
        for (number, place) in puts {
            assert!(!kept.bad.contains(number), "a bad body is kept");
            assert!(place.holds(&bytes[place.at..place.at + place.length]), "what is kept is what was put");
        }
    }
    // A segment that ends in a record has its tail at its end.
    assert!(judged.tail <= bytes.len().max(JOURNAL_SEGMENT_HEADER_BYTES), "{judged:?}");
    assert!(judged.torn.is_none_or(|torn| torn <= bytes.len()));
    assert!(last.is_none_or(|last| judged.next_sequence > last || last == u64::MAX));
}
