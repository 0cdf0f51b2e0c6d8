//! The real disk: one folder that only its owner can enter, one file a segment, one process at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use proto::limits;
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};

use crate::{Disk, SegmentNumber, StoreError};

pub(crate) const LOCK_NAME: &str = "lock";
const SUFFIX: &str = ".segment";
const SPARE_SUFFIX: &str = ".spare";

/// A folder of segments, locked until it is dropped.
#[derive(Debug)]
pub struct FileDisk {
    folder: PathBuf,
    handle: File,
    files: BTreeMap<SegmentNumber, File>,
    /// Spare segments that this run has made or looked at.
    spares: BTreeSet<usize>,
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
            Ok(()) => {
                Ok(Self { folder: folder.into(), handle, files: BTreeMap::new(), spares: BTreeSet::new(), _lock: lock })
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Locked),
            Err(source) => Err(StoreError::Folder { source: source.into() }),
        }
    }

    fn path(&self, segment: SegmentNumber) -> PathBuf {
        path_of(&self.folder, segment)
    }

    fn spare(&self, number: usize) -> PathBuf {
        self.folder.join(format!("{number}{SPARE_SUFFIX}"))
    }

    /// The spares that are there: of this run, or left by one before.
    fn find_spares(&self) -> io::Result<Vec<usize>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            found.extend(name.to_str().and_then(|name| name.strip_suffix(SPARE_SUFFIX)?.parse::<usize>().ok()));
        }
        Ok(found)
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
        write_zeros(&mut file, bytes)?;
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

    fn keep_spares(&mut self, count: usize, bytes: usize) -> io::Result<()> {
        let missing: Vec<usize> = (0..count).filter(|number| !self.spares.contains(number)).collect();
        for number in &missing {
            let path = self.spare(*number);
            if let Err(error) = make_spare(&path, bytes) {
                // Half of one is of no use, and takes what little room there is.
                drop(std::fs::remove_file(&path));
                return Err(error);
            }
            self.spares.insert(*number);
        }
        if missing.is_empty() { Ok(()) } else { self.handle.sync_all() }
    }

    fn create_from_spare(&mut self, segment: SegmentNumber, bytes: usize) -> io::Result<bool> {
        for number in self.find_spares()? {
            let file = OpenOptions::new().read(true).write(true).open(self.spare(number))?;
            self.spares.remove(&number);
            // One that a crash left unfinished.
            if file.metadata()?.len() != bytes as u64 {
                continue;
            }
            file.sync_all()?;
            std::fs::rename(self.spare(number), self.path(segment))?;
            self.handle.sync_all()?;
            self.files.insert(segment, file);
            return Ok(true);
        }
        Ok(false)
    }

    fn remove_spare(&mut self) -> io::Result<bool> {
        let Some(number) = self.find_spares()?.pop() else { return Ok(false) };
        self.spares.remove(&number);
        std::fs::remove_file(self.spare(number))?;
        Ok(true)
    }
}

/// Nothing is ever written to a spare, so one that is there holds zeros, however long it is.
fn make_spare(path: &Path, bytes: usize) -> io::Result<()> {
    let mut file = new_file(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, bytes as u64) {
        Ok(()) => {}
        Err(rustix::io::Errno::OPNOTSUPP) => write_zeros(&mut file, bytes)?,
        Err(error) => return Err(error.into()),
    }
    file.set_len(bytes as u64)?;
    file.sync_all()
}

fn write_zeros(file: &mut File, bytes: usize) -> io::Result<()> {
    let zeros = vec![0; limits::JOURNAL_BUFFER_BYTES.min(bytes)];
    let mut left = bytes;
    while let Some(part) = zeros.get(..left.min(zeros.len())).filter(|part| !part.is_empty()) {
        file.write_all(part)?;
        left -= part.len();
    }
    Ok(())
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
