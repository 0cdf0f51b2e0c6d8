//! One record on disk: a header, a table of what happens in it, the bodies, zeros up to the next multiple. Pure.
//!
//! The header's checksum also covers the store, the segment and the place, none of which is written in it, so that a
//! record is good where it was written and nowhere else.

use bytes::{Buf, BufMut, Bytes};
use proto::limits::{JOURNAL_ALIGN_BYTES, JOURNAL_ITEM_BYTES, JOURNAL_RECORD_HEADER_BYTES};

use crate::transaction::Item;
use crate::{RecordNumber, SegmentNumber};

const MAGIC: &[u8; 4] = b"AJRN";
const CHECKED_BYTES: usize = JOURNAL_RECORD_HEADER_BYTES - 4;
/// In a table, the length of a forget: no body is so long.
const FORGET: u32 = u32::MAX;

/// Where records belong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binding {
    /// The store's id.
    pub store: [u8; 16],
    /// The segment's number.
    pub segment: SegmentNumber,
}

/// What a record is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Something happened.
    Transaction,
    /// Written after a sync, in the place that the next record takes: what the sync covered.
    Mark,
    /// The last in a segment: the next one goes on.
    Seal,
    /// The last before a clean stop.
    Clean,
}

/// What a record says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordHeader {
    /// What it is for.
    pub kind: Kind,
    /// A transaction's place among all; for the other kinds the place of the next one.
    pub sequence: u64,
    /// All up to this sequence was durable when this was written.
    pub synced: u64,
    /// The highest number that was put up to and with this record.
    pub highest: u64,
    /// Entries of the table.
    pub items: usize,
    /// Bytes of all bodies.
    pub body_bytes: usize,
    /// Of the table.
    pub table_checksum: u32,
}

/// Where a body lies in its segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its first byte.
    pub at: usize,
    /// Its length.
    pub length: usize,
    /// Its checksum.
    pub checksum: u32,
}

impl Place {
    /// Whether these are the bytes that were put.
    #[must_use]
    pub fn holds(&self, body: &[u8]) -> bool {
        body.len() == self.length && crc32fast::hash(body) == self.checksum
    }
}

/// One entry of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A body was kept.
    Put(RecordNumber, Place),
    /// A record was given up.
    Forget(RecordNumber),
}

/// What a record takes on disk, padding and all. Too large counts as the largest number.
#[must_use]
pub fn framed_bytes(items: usize, body_bytes: usize) -> usize {
    let table = items.saturating_mul(JOURNAL_ITEM_BYTES);
    let bare = JOURNAL_RECORD_HEADER_BYTES.saturating_add(table).saturating_add(body_bytes);
    bare.checked_next_multiple_of(JOURNAL_ALIGN_BYTES).unwrap_or(usize::MAX)
}

/// What the transaction takes on disk.
#[must_use]
pub fn framed_bytes_of(items: &[Item]) -> usize {
    framed_bytes(items.len(), items.iter().map(|item| body_of(item).map_or(0, Bytes::len)).sum())
}

/// What a header of a transaction says beyond its items.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// See [`RecordHeader::sequence`].
    pub sequence: u64,
    /// See [`RecordHeader::synced`].
    pub synced: u64,
    /// See [`RecordHeader::highest`].
    pub highest: u64,
}

/// Adds a transaction's record to `out`, as it is to lie at `at`, and says where its parts will be.
pub fn encode(out: &mut Vec<u8>, binding: &Binding, at: usize, numbers: Numbers, items: &[Item]) -> Vec<Entry> {
    let mut table = Vec::with_capacity(items.len() * JOURNAL_ITEM_BYTES);
    let mut entries = Vec::with_capacity(items.len());
    let mut body_at = at + JOURNAL_RECORD_HEADER_BYTES + items.len() * JOURNAL_ITEM_BYTES;
    let mut body_bytes = 0;
    for item in items {
        let entry = match item {
            Item::Put(number, body) => {
                let place = Place { at: body_at, length: body.len(), checksum: crc32fast::hash(body) };
                body_at += body.len();
                body_bytes += body.len();
                table.put_u64(number.get());
                table.put_u32(length_field(body.len()));
                table.put_u32(place.checksum);
                Entry::Put(*number, place)
            }
            Item::Forget(number) => {
                table.put_u64(number.get());
                table.put_u32(FORGET);
                table.put_u32(0);
                Entry::Forget(*number)
            }
        };
        entries.push(entry);
    }
    let header = RecordHeader {
        kind: Kind::Transaction,
        sequence: numbers.sequence,
        synced: numbers.synced,
        highest: numbers.highest,
        items: items.len(),
        body_bytes,
        table_checksum: crc32fast::hash(&table),
    };
    let end = out.len() + framed_bytes(items.len(), body_bytes);
    out.extend_from_slice(&encode_header(binding, at, &header));
    out.extend_from_slice(&table);
    for body in items.iter().filter_map(body_of) {
        out.extend_from_slice(body);
    }
    out.resize(end, 0);
    entries
}

/// A record without a table: one of the kinds that are not a transaction.
#[must_use]
pub fn encode_note(binding: &Binding, at: usize, kind: Kind, numbers: Numbers) -> Vec<u8> {
    let Numbers { sequence, synced, highest } = numbers;
    let table_checksum = crc32fast::hash(&[]);
    encode_header(
        binding,
        at,
        &RecordHeader { kind, sequence, synced, highest, items: 0, body_bytes: 0, table_checksum },
    )
}

fn encode_header(binding: &Binding, at: usize, header: &RecordHeader) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(JOURNAL_RECORD_HEADER_BYTES);
    bytes.put_slice(MAGIC);
    bytes.put_u32(kind_code(header.kind));
    bytes.put_u64(header.sequence);
    bytes.put_u64(header.synced);
    bytes.put_u64(header.highest);
    bytes.put_u32(length_field(header.items));
    bytes.put_u32(length_field(header.body_bytes));
    bytes.put_u32(header.table_checksum);
    bytes.resize(CHECKED_BYTES, 0);
    bytes.put_u32(header_checksum(binding, at, &bytes));
    bytes
}

/// The header that starts these bytes, if it was written for this place.
#[must_use]
pub fn decode_header(binding: &Binding, at: usize, bytes: &[u8]) -> Option<RecordHeader> {
    let whole = bytes.first_chunk::<JOURNAL_RECORD_HEADER_BYTES>().filter(|whole| whole.starts_with(MAGIC))?;
    let (checked, mut checksum) = whole.split_at_checked(CHECKED_BYTES)?;
    if checksum.get_u32() != header_checksum(binding, at, checked) {
        return None;
    }
    let mut rest = checked.get(MAGIC.len()..)?;
    Some(RecordHeader {
        kind: kind_of(rest.get_u32())?,
        sequence: rest.get_u64(),
        synced: rest.get_u64(),
        highest: rest.get_u64(),
        items: rest.get_u32() as usize,
        body_bytes: rest.get_u32() as usize,
        table_checksum: rest.get_u32(),
    })
}

/// The table of a record whose header is good. `record` starts with the header, which lies at `at`.
#[must_use]
pub fn decode_table(header: &RecordHeader, at: usize, record: &[u8]) -> Option<Vec<Entry>> {
    let table_bytes = header.items.checked_mul(JOURNAL_ITEM_BYTES)?;
    let bodies_at = JOURNAL_RECORD_HEADER_BYTES.checked_add(table_bytes)?;
    let mut table = record.get(JOURNAL_RECORD_HEADER_BYTES..bodies_at)?;
    if crc32fast::hash(table) != header.table_checksum {
        return None;
    }
    let mut entries = Vec::with_capacity(header.items);
    let mut body_at = at.checked_add(bodies_at)?;
    let end = body_at.checked_add(header.body_bytes)?;
    while table.has_remaining() {
        let number = RecordNumber::new(table.get_u64());
        let length = table.get_u32();
        let checksum = table.get_u32();
        if length == FORGET {
            entries.push(Entry::Forget(number));
            continue;
        }
        let place = Place { at: body_at, length: length as usize, checksum };
        body_at = body_at.checked_add(place.length)?;
        entries.push(Entry::Put(number, place));
    }
    (body_at == end).then_some(entries)
}

fn header_checksum(binding: &Binding, at: usize, checked: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&binding.store);
    hasher.update(&binding.segment.get().to_be_bytes());
    hasher.update(&(at as u64).to_be_bytes());
    hasher.update(checked);
    hasher.finalize()
}

/// Whoever encodes has checked that the whole fits a segment, and a segment's length fits.
fn length_field(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(FORGET)
}

fn body_of(item: &Item) -> Option<&Bytes> {
    match item {
        Item::Put(_, body) => Some(body),
        Item::Forget(_) => None,
    }
}

const fn kind_code(kind: Kind) -> u32 {
    match kind {
        Kind::Transaction => 1,
        Kind::Mark => 2,
        Kind::Seal => 3,
        Kind::Clean => 4,
    }
}

const fn kind_of(code: u32) -> Option<Kind> {
    match code {
        1 => Some(Kind::Transaction),
        2 => Some(Kind::Mark),
        3 => Some(Kind::Seal),
        4 => Some(Kind::Clean),
        _ => None,
    }
}
