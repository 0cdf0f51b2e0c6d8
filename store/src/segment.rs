//! A segment's header: what the file is, twice, so that one bad byte in it costs nothing. Pure.

use bytes::{Buf, BufMut};
use proto::limits::{
    JOURNAL_ALIGN_BYTES, JOURNAL_SEGMENT_BYTES_MAX, JOURNAL_SEGMENT_BYTES_MIN, JOURNAL_SEGMENT_HEADER_BYTES,
};

use crate::SegmentNumber;

/// The format that is written, and the newest that is read.
pub const FORMAT_VERSION: u32 = 1;

/// Magic and version stand first in every version to come.
const MAGIC: &[u8; 8] = b"AICPJRNL";
const COPY_BYTES: usize = 64;
/// In sectors of their own, which records never touch.
const COPIES_AT: [usize; 2] = [0, JOURNAL_SEGMENT_HEADER_BYTES / 2];
const CHECKED_BYTES: usize = COPY_BYTES - 4;

/// What a segment says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// Random, the same in all segments of a store.
    pub store: [u8; 16],
    /// The number that is also in its name.
    pub segment: SegmentNumber,
    /// Bytes of the whole segment.
    pub bytes: usize,
    /// The sequence of its first record; all before it was synced before the segment was made.
    pub first_sequence: u64,
}

/// What was found where a header should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderFound {
    /// At least one copy holds.
    Good {
        /// What it says.
        header: SegmentHeader,
        /// Both copies hold and agree.
        is_whole: bool,
    },
    /// Written by a newer version.
    Newer {
        /// Its format.
        version: u32,
    },
    /// Nothing that could be read.
    Bad,
}

/// The first bytes of a segment.
#[must_use]
pub fn encode(header: &SegmentHeader) -> Vec<u8> {
    let mut copy = Vec::with_capacity(COPY_BYTES);
    copy.put_slice(MAGIC);
    copy.put_u32(FORMAT_VERSION);
    copy.put_u32(u32::try_from(header.bytes).unwrap_or(0));
    copy.put_slice(&header.store);
    copy.put_u64(header.segment.get());
    copy.put_u64(header.first_sequence);
    copy.resize(CHECKED_BYTES, 0);
    copy.put_u32(crc32fast::hash(&copy));

    let mut block = copy.clone();
    block.resize(JOURNAL_SEGMENT_HEADER_BYTES / 2, 0);
    block.extend_from_slice(&copy);
    block.resize(JOURNAL_SEGMENT_HEADER_BYTES, 0);
    block
}

/// Reads the header of the segment that the file's name says it is.
#[must_use]
pub fn decode(block: &[u8], segment: SegmentNumber) -> HeaderFound {
    let copies = COPIES_AT.map(|at| block.get(at..).and_then(|rest| rest.first_chunk()));
    let headers = copies.map(|copy| copy.and_then(|copy| decode_copy(copy, segment)));
    match headers {
        [Some(header), other] | [other @ None, Some(header)] => {
            HeaderFound::Good { header, is_whole: other == Some(header) }
        }
        [None, None] => {
            let versions = copies.iter().flatten().filter_map(|copy| version_of(copy));
            let newer = versions.filter(|version| *version > FORMAT_VERSION).max();
            newer.map_or(HeaderFound::Bad, |version| HeaderFound::Newer { version })
        }
    }
}

/// Whether segments of this length can be made.
#[must_use]
pub fn is_length(bytes: usize) -> bool {
    (JOURNAL_SEGMENT_BYTES_MIN..=JOURNAL_SEGMENT_BYTES_MAX).contains(&bytes)
        && bytes.is_multiple_of(JOURNAL_ALIGN_BYTES)
}

fn version_of(copy: &[u8; COPY_BYTES]) -> Option<u32> {
    let mut rest = copy.strip_prefix(MAGIC)?;
    Some(rest.get_u32())
}

fn decode_copy(copy: &[u8; COPY_BYTES], segment: SegmentNumber) -> Option<SegmentHeader> {
    if version_of(copy)? != FORMAT_VERSION {
        return None;
    }
    let (checked, mut checksum) = copy.split_at_checked(CHECKED_BYTES)?;
    if checksum.get_u32() != crc32fast::hash(checked) {
        return None;
    }
    let mut rest = checked.get(MAGIC.len() + 4..)?;
    let bytes = rest.get_u32() as usize;
    let mut store = [0; 16];
    rest.copy_to_slice(&mut store);
    let header =
        SegmentHeader { store, segment: SegmentNumber::new(rest.get_u64()), bytes, first_sequence: rest.get_u64() };
    (header.segment == segment && is_length(bytes)).then_some(header)
}
