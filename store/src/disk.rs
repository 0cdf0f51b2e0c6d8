//! What the store asks of a disk: a folder of numbered files of fixed length.

use std::io;

/// The number of a segment; newer segments have greater ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SegmentNumber(u64);

impl SegmentNumber {
    /// The segment of that number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl core::fmt::Display for SegmentNumber {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// A disk. What was written but not synced may be lost in a crash, any part of it, in any order; what lies beside it
/// in the same 512 bytes may not.
pub trait Disk {
    /// The segments that are there, in any order.
    fn list(&self) -> io::Result<Vec<SegmentNumber>>;

    /// Makes a segment of `bytes` zeros, in place of one that is there already. When it returns, the zeros, the
    /// length and the name are durable. After a crash inside it, a shorter file may be there.
    fn create(&mut self, segment: SegmentNumber, bytes: usize) -> io::Result<()>;

    /// Prepares a segment that is there for reading and writing, and says how long it is.
    fn open(&mut self, segment: SegmentNumber) -> io::Result<usize>;

    /// Fills `into` from place `at`, and says how much there was: less only at the end of the file.
    fn read_at(&self, segment: SegmentNumber, at: usize, into: &mut [u8]) -> io::Result<usize>;

    /// Writes at place `at` and says how much was written. The store takes less than all as a failure.
    fn write_at(&mut self, segment: SegmentNumber, at: usize, bytes: &[u8]) -> io::Result<usize>;

    /// Makes all that was written to the segment durable.
    fn sync_data(&mut self, segment: SegmentNumber) -> io::Result<()>;

    /// Takes a segment away. Durable after [`Disk::sync_dir`].
    fn remove(&mut self, segment: SegmentNumber) -> io::Result<()>;

    /// Makes names durable.
    fn sync_dir(&mut self) -> io::Result<()>;

    /// Keeps `count` spare segments of `bytes` zeros, durable, for when there is no room to make one. An error for want of
    /// room leaves those that are there. A disk that knows no spares has none.
    fn keep_spares(&mut self, _count: usize, _bytes: usize) -> io::Result<()> {
        Ok(())
    }

    /// Like [`Disk::create`], out of a spare segment: it takes no room. `false` if there is none.
    fn create_from_spare(&mut self, _segment: SegmentNumber, _bytes: usize) -> io::Result<bool> {
        Ok(false)
    }

    /// Takes a spare segment away, so that something small finds room. `false` if there is none.
    fn remove_spare(&mut self) -> io::Result<bool> {
        Ok(false)
    }
}
