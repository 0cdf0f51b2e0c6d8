//! The real disk: one folder that only its owner can enter, one file a segment, one process at a time.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use proto::limits;
use rustix::fs::{FlockOperation, flock};

use crate::{Disk, SegmentNumber, StoreError};

pub(crate) const LOCK_NAME: &str = "lock";
const SUFFIX: &str = ".segment";

/// A folder of segments, locked until it is dropped.
#[derive(Debug)]
pub struct FileDisk {
    folder: PathBuf,
    handle: File,
    files: BTreeMap<SegmentNumber, File>,
    /// Held for its lock, which the operating system takes back when the process ends, however it ends.
    _lock: File,
}

impl FileDisk {
    /// Opens the folder, making it if it is not there; its parent must be.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        make_folder(folder).map_err(|source| StoreError::Folder { source })?;
        let handle = File::open(folder).map_err(|source| StoreError::Folder { source })?;
        let lock = new_file(&folder.join(LOCK_NAME)).map_err(|source| StoreError::Folder { source })?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { folder: folder.into(), handle, files: BTreeMap::new(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Locked),
            Err(source) => Err(StoreError::Folder { source: source.into() }),
        }
    }

    fn path(&self, segment: SegmentNumber) -> PathBuf {
        path_of(&self.folder, segment)
    }

    fn file(&self, segment: SegmentNumber) -> io::Result<&File> {
        self.files.get(&segment).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl Disk for FileDisk {
    fn list(&self) -> io::Result<Vec<SegmentNumber>> {
        list(&self.folder)
    }

    fn create(&mut self, segment: SegmentNumber, bytes: usize) -> io::Result<()> {
        let mut file = new_file(&self.path(segment))?;
        // Also when one is there: what a failed attempt left behind must not shine through.
        file.set_len(0)?;
        let zeros = vec![0; limits::JOURNAL_BUFFER_BYTES.min(bytes)];
        let mut left = bytes;
        while let Some(part) = zeros.get(..left.min(zeros.len())).filter(|part| !part.is_empty()) {
            file.write_all(part)?;
            left -= part.len();
        }
        file.sync_all()?;
        self.handle.sync_all()?;
        self.files.insert(segment, file);
        Ok(())
    }

    fn open(&mut self, segment: SegmentNumber) -> io::Result<usize> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(segment))?;
        let length = usize::try_from(file.metadata()?.len()).map_err(|_| ErrorKind::FileTooLarge)?;
        self.files.insert(segment, file);
        Ok(length)
    }

    fn read_at(&self, segment: SegmentNumber, at: usize, into: &mut [u8]) -> io::Result<usize> {
        read_at(self.file(segment)?, at, into)
    }

    fn write_at(&mut self, segment: SegmentNumber, at: usize, bytes: &[u8]) -> io::Result<usize> {
        self.file(segment)?.write_at(bytes, place(at, 0))
    }

    fn sync_data(&mut self, segment: SegmentNumber) -> io::Result<()> {
        self.file(segment)?.sync_data()
    }

    fn remove(&mut self, segment: SegmentNumber) -> io::Result<()> {
        self.files.remove(&segment);
        std::fs::remove_file(self.path(segment))
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

/// Where a segment lies.
pub(crate) fn path_of(folder: &Path, segment: SegmentNumber) -> PathBuf {
    folder.join(format!("{:016x}{SUFFIX}", segment.get()))
}

/// The segments that lie in a folder.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<SegmentNumber>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        found.extend(name.to_str().and_then(number_of));
    }
    Ok(found)
}

/// Fills `into`, or as much of it as there is.
pub(crate) fn read_at(file: &File, at: usize, into: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, place(at, done)) {
            Ok(0) => break,
            Ok(more) => done += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// The name alone must lead back to the number, so that no two names stand for one segment.
fn number_of(name: &str) -> Option<SegmentNumber> {
    let digits = name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 16)?;
    let is_ours = digits.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit));
    if !is_ours {
        return None;
    }
    u64::from_str_radix(digits, 16).ok().map(SegmentNumber::new)
}

fn place(at: usize, done: usize) -> u64 {
    at as u64 + done as u64
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Makes it for its owner alone, and closes one that others could enter.
fn make_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {
            let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
            return File::open(parent.unwrap_or(Path::new(".")))?.sync_all();
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let mode = std::fs::metadata(folder)?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o700))
}
