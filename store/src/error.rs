//! What can go wrong, and what became of the store.

use std::io;

use crate::{RecordNumber, SegmentNumber};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room for this within the limit. Nothing was appended and the store is usable: forget what can be forgotten,
    /// or call `tidy` until it finds nothing, and try again. Forgets have room that puts cannot take.
    #[error("the store has reached its limit of {limit} bytes")]
    Full {
        /// The limit that holds.
        limit: u64,
    },
    /// The disk has no room for another segment. Nothing was appended and the store is usable.
    #[error("the disk has no room for another segment: {source}")]
    NoSpace {
        /// What the disk said.
        source: io::Error,
    },
    /// No segment can hold so large a transaction. Nothing was appended and the store is usable.
    #[error("a transaction of {bytes} bytes on disk, where {most} is the most")]
    TooLarge {
        /// What it would take.
        bytes: usize,
        /// What a segment holds.
        most: usize,
    },
    /// A put under a number that is not greater than all before. Nothing was appended and the store is usable.
    #[error("record {number} was to be put after {highest}; numbers grow")]
    NotGrowing {
        /// The number of the put.
        number: RecordNumber,
        /// The highest that was put before it.
        highest: RecordNumber,
    },
    /// There is no record of this number. The store is untouched.
    #[error("there is no record {number}")]
    Unknown {
        /// The number asked for.
        number: RecordNumber,
    },
    /// The record's bytes changed where they lie. They are not shown; the store and all other records are usable.
    #[error("record {number} was damaged on disk")]
    Damaged {
        /// The number asked for.
        number: RecordNumber,
    },
    /// Bytes could not be read. The store is untouched and usable.
    #[error("reading segment {segment}: {source}")]
    Read {
        /// The segment.
        segment: SegmentNumber,
        /// What the disk said.
        source: io::Error,
    },
    /// A write, a sync, a create or a remove failed. The store is poisoned: what lies on disk since the last sync
    /// is unknown, and only a new start can tell. Nothing was retried.
    #[error("{doing}: {source}")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// What the disk said.
        source: io::Error,
    },
    /// An earlier failure poisoned the store. Nothing is promised any more; what was synced can still be loaded.
    #[error("the store was poisoned by an earlier failure")]
    Poisoned,
    /// The folder could not be opened, made or listed. Nothing was changed.
    #[error("the folder of the store: {source}")]
    Folder {
        /// What the disk said.
        source: io::Error,
    },
    /// Another process has this store open. Nothing was changed.
    #[error("another process has this store open")]
    Locked,
    /// A segment was written by a newer version. Nothing was changed.
    #[error("segment {segment} has format {found}, and this version reads up to {known}; use the newer version")]
    NewerFormat {
        /// The segment.
        segment: SegmentNumber,
        /// Its format.
        found: u32,
        /// The newest that is read here.
        known: u32,
    },
    /// A segment of another store lies in the folder. Nothing was changed.
    #[error("segment {segment} belongs to another store; move it away")]
    Foreign {
        /// The segment.
        segment: SegmentNumber,
    },
    /// There are segments, and not one has a readable header. Nothing was changed.
    #[error("no segment has a readable header; restore the store from a backup, or move it away")]
    Unreadable,
    /// The limit leaves too few segments to work with. Nothing was changed.
    #[error("a limit of {limit} bytes holds fewer than {segments} segments of {segment_bytes} bytes")]
    LimitTooSmall {
        /// The limit asked for.
        limit: u64,
        /// Segments that are needed at least.
        segments: usize,
        /// Bytes of each.
        segment_bytes: usize,
    },
    /// Segments of this length cannot be made. Nothing was changed.
    #[error("{bytes} bytes is no length for a segment")]
    SegmentLength {
        /// The length asked for.
        bytes: usize,
    },
}
