//! A folder of segments that is looked at and never changed. What recovery would write over it is kept in memory and
//! forgotten with it, so that a store can be opened as at a start, and nothing has happened.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::file_disk::{LOCK_NAME, list, path_of, read_at};
use crate::{Disk, SegmentNumber, StoreError};

/// A folder of segments, open for reading alone. No daemon can start on it meanwhile.
#[derive(Debug)]
pub struct LookDisk {
    folder: PathBuf,
    segments: BTreeMap<SegmentNumber, Segment>,
    /// What would be gone.
    removed: Vec<SegmentNumber>,
    /// Held for its lock. A folder that was copied may lack the file; then nobody has it open.
    _lock: Option<File>,
}

/// The file as it lies there, if it does, and what would stand over it, the latest last.
#[derive(Debug)]
struct Segment {
    file: Option<File>,
    bytes: usize,
    written: Vec<(usize, Vec<u8>)>,
}

impl LookDisk {
    /// Opens a folder that is there.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        std::fs::read_dir(folder).map_err(|source| StoreError::Folder { source })?;
        let lock = match File::open(folder.join(LOCK_NAME)) {
            Ok(lock) => Some(lock),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(source) => return Err(StoreError::Folder { source }),
        };
        match lock.as_ref().map_or(Ok(()), |lock| flock(lock, FlockOperation::NonBlockingLockShared)) {
            Ok(()) => Ok(Self { folder: folder.into(), segments: BTreeMap::new(), removed: Vec::new(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Locked),
            Err(source) => Err(StoreError::Folder { source: source.into() }),
        }
    }

    fn segment(&self, segment: SegmentNumber) -> io::Result<&Segment> {
        self.segments.get(&segment).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Disk for LookDisk {
    fn list(&self) -> io::Result<Vec<SegmentNumber>> {
        let mut found = list(&self.folder)?;
        found.retain(|segment| !self.removed.contains(segment));
        Ok(found)
    }

    fn create(&mut self, segment: SegmentNumber, bytes: usize) -> io::Result<()> {
        self.segments.insert(segment, Segment { file: None, bytes, written: Vec::new() });
        Ok(())
    }

    fn open(&mut self, segment: SegmentNumber) -> io::Result<usize> {
        let file = File::open(path_of(&self.folder, segment))?;
        let bytes = usize::try_from(file.metadata()?.len()).map_err(|_| ErrorKind::FileTooLarge)?;
        self.segments.insert(segment, Segment { file: Some(file), bytes, written: Vec::new() });
        Ok(bytes)
    }

    fn read_at(&self, segment: SegmentNumber, at: usize, into: &mut [u8]) -> io::Result<usize> {
        let segment = self.segment(segment)?;
        let length = into.len().min(segment.bytes.saturating_sub(at));
        let Some(into) = into.get_mut(..length) else { return Ok(0) };
        into.fill(0);
        if let Some(file) = &segment.file {
            read_at(file, at, into)?;
        }
        for (from, bytes) in &segment.written {
            let (start, end) = (at.max(*from), (at + length).min(from + bytes.len()));
            let over = bytes.get(start.saturating_sub(*from)..end.saturating_sub(*from));
            let under = into.get_mut(start.saturating_sub(at)..end.saturating_sub(at));
            if let (Some(over), Some(under)) = (over, under) {
                under.copy_from_slice(over);
            }
        }
        Ok(length)
    }

    fn write_at(&mut self, segment: SegmentNumber, at: usize, bytes: &[u8]) -> io::Result<usize> {
        let segment = self.segments.get_mut(&segment).ok_or(ErrorKind::NotFound)?;
        segment.bytes = segment.bytes.max(at + bytes.len());
        segment.written.push((at, bytes.to_vec()));
        Ok(bytes.len())
    }

    fn sync_data(&mut self, segment: SegmentNumber) -> io::Result<()> {
        self.segment(segment).map(drop)
    }

    fn remove(&mut self, segment: SegmentNumber) -> io::Result<()> {
        self.segments.remove(&segment);
        self.removed.push(segment);
        Ok(())
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        Ok(())
    }
}
