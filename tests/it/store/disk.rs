//! A disk that keeps what was synced and what was not apart, and forgets as a power cut does.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use store::{Disk, SegmentNumber};

const SECTOR_BYTES: usize = 512;

/// Shared with whoever runs the test; the store's half goes away with the store.
#[derive(Clone, Debug)]
pub(super) struct FakeDisk(Rc<RefCell<State>>);

#[derive(Default, Debug)]
struct State {
    files: BTreeMap<SegmentNumber, FakeFile>,
    /// Removed, and the folder not synced since.
    removed: BTreeMap<SegmentNumber, FakeFile>,
    operations: u64,
    fault: Option<Fault>,
    fired: bool,
    spares: usize,
}

#[derive(Clone, Default, PartialEq, Debug)]
struct FakeFile {
    now: Vec<u8>,
    /// Sectors written since the last sync: what was durable, and what each write made of it.
    dirty: BTreeMap<usize, Vec<Vec<u8>>>,
}

/// What goes wrong, counted in operations of its kind from now; 0 is the next.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Fault {
    Write(u64),
    ShortWrite(u64),
    Sync(u64),
    /// No room for a segment, from now until it is mended.
    NoSpace,
    /// The operation stops half way, and all that follow fail.
    Death(u64),
}

impl FakeDisk {
    pub(super) fn new() -> Self {
        Self(Rc::default())
    }

    /// The power fails: of each sector that was not synced, any version may be on disk.
    pub(super) fn crash(&self, seed: u64) {
        let mut chance = Chance::new(seed);
        let mut state = self.state();
        for (segment, file) in std::mem::take(&mut state.removed) {
            if chance.below(2) == 0 {
                state.files.entry(segment).or_insert(file);
            }
        }
        // Sometimes nothing arrives, sometimes nearly all of it.
        let luck = chance.below(5);
        for file in state.files.values_mut() {
            for (sector, versions) in std::mem::take(&mut file.dirty) {
                let version = if chance.below(4) < luck { versions.len() - 1 } else { chance.index(versions.len()) };
                file.sector(sector).copy_from_slice(&versions[version]);
            }
        }
        state.fault = None;
        state.fired = false;
    }

    pub(super) fn fail(&self, fault: Fault) {
        let mut state = self.state();
        state.fault = Some(fault);
        state.fired = false;
    }

    pub(super) fn mend(&self) {
        let mut state = self.state();
        state.fault = None;
        state.fired = false;
    }

    pub(super) fn fired(&self) -> bool {
        self.state().fired
    }

    /// Writes, syncs, makings and removals so far.
    pub(super) fn operations(&self) -> u64 {
        self.state().operations
    }

    pub(super) fn segments(&self) -> Vec<SegmentNumber> {
        self.state().files.keys().copied().collect()
    }

    pub(super) fn bytes(&self, segment: SegmentNumber) -> Vec<u8> {
        self.state().files[&segment].now.clone()
    }

    pub(super) fn everything(&self) -> Vec<(SegmentNumber, Vec<u8>)> {
        self.state().files.iter().map(|(segment, file)| (*segment, file.now.clone())).collect()
    }

    pub(super) fn change(&self, segment: SegmentNumber, at: usize, change: impl FnOnce(&mut u8)) {
        change(&mut self.state().files.get_mut(&segment).expect("a segment").now[at]);
    }

    pub(super) fn truncate(&self, segment: SegmentNumber, length: usize) {
        let mut state = self.state();
        let file = state.files.get_mut(&segment).expect("a segment");
        file.now.truncate(length);
        file.dirty.clear();
    }

    pub(super) fn take_segment(&self, other: &Self, segment: SegmentNumber) {
        let file = other.state().files[&segment].clone();
        self.state().files.insert(segment, file);
    }

    /// Another disk with the same bytes.
    pub(super) fn copy(&self) -> Self {
        let state = State { files: self.state().files.clone(), ..State::default() };
        Self(Rc::new(RefCell::new(state)))
    }

    fn state(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }
}

impl State {
    /// Counts an operation. Whether it dies half way.
    fn begin(&mut self) -> io::Result<bool> {
        self.operations += 1;
        match &mut self.fault {
            Some(Fault::Death(_)) if self.fired => Err(io::Error::other("dead")),
            Some(Fault::Death(0)) => {
                self.fired = true;
                Ok(true)
            }
            Some(Fault::Death(left)) => {
                *left -= 1;
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    fn file(&mut self, segment: SegmentNumber) -> io::Result<&mut FakeFile> {
        self.files.get_mut(&segment).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl FakeFile {
    fn sector(&mut self, sector: usize) -> &mut [u8] {
        let end = self.now.len().min((sector + 1) * SECTOR_BYTES);
        &mut self.now[sector * SECTOR_BYTES..end]
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.now.len() < at + bytes.len() {
            // Growing is only done to mend what was cut; it is taken as durable.
            self.now.resize(at + bytes.len(), 0);
        }
        let sectors = at / SECTOR_BYTES..=(at + bytes.len() - 1) / SECTOR_BYTES;
        for sector in sectors.clone() {
            let before = self.sector(sector).to_vec();
            self.dirty.entry(sector).or_insert_with(|| vec![before]);
        }
        self.now[at..at + bytes.len()].copy_from_slice(bytes);
        for sector in sectors {
            let after = self.sector(sector).to_vec();
            self.dirty.get_mut(&sector).expect("just made").push(after);
        }
    }
}

impl Disk for FakeDisk {
    fn list(&self) -> io::Result<Vec<SegmentNumber>> {
        Ok(self.segments())
    }

    fn create(&mut self, segment: SegmentNumber, bytes: usize) -> io::Result<()> {
        let mut state = self.state();
        let dies = state.begin()?;
        if state.fault == Some(Fault::NoSpace) {
            state.fired = true;
            state.files.insert(segment, FakeFile { now: vec![0; bytes / 3], ..FakeFile::default() });
            return Err(ErrorKind::StorageFull.into());
        }
        let bytes = if dies { bytes / 3 } else { bytes };
        state.files.insert(segment, FakeFile { now: vec![0; bytes], ..FakeFile::default() });
        if dies { Err(io::Error::other("died")) } else { Ok(()) }
    }

    fn keep_spares(&mut self, count: usize, _: usize) -> io::Result<()> {
        let mut state = self.state();
        if state.fault == Some(Fault::NoSpace) && state.spares < count {
            return Err(ErrorKind::StorageFull.into());
        }
        state.spares = count;
        Ok(())
    }

    fn create_from_spare(&mut self, segment: SegmentNumber, bytes: usize) -> io::Result<bool> {
        let mut state = self.state();
        let Some(left) = state.spares.checked_sub(1) else { return Ok(false) };
        state.spares = left;
        state.files.insert(segment, FakeFile { now: vec![0; bytes], ..FakeFile::default() });
        Ok(true)
    }

    fn open(&mut self, segment: SegmentNumber) -> io::Result<usize> {
        Ok(self.state().file(segment)?.now.len())
    }

    fn read_at(&self, segment: SegmentNumber, at: usize, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        let file = state.file(segment)?;
        let there = file.now.get(at..).unwrap_or_default();
        let length = there.len().min(into.len());
        into[..length].copy_from_slice(&there[..length]);
        Ok(length)
    }

    fn write_at(&mut self, segment: SegmentNumber, at: usize, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        let dies = state.begin()?;
        let mut result = Ok(bytes.len());
        match &mut state.fault {
            Some(Fault::Write(0)) => result = Err(io::Error::other("write failed")),
            Some(Fault::ShortWrite(0)) => result = Ok(bytes.len() / 2),
            Some(Fault::Write(left) | Fault::ShortWrite(left)) => *left -= 1,
            _ => {}
        }
        if dies {
            result = Err(io::Error::other("died"));
        }
        let is_whole = matches!(&result, Ok(written) if *written == bytes.len());
        state.fired |= !is_whole;
        let written = if is_whole { bytes.len() } else { bytes.len() / 2 };
        state.file(segment)?.write(at, &bytes[..written]);
        result
    }

    fn sync_data(&mut self, segment: SegmentNumber) -> io::Result<()> {
        let mut state = self.state();
        let dies = state.begin()?;
        if dies || state.fault == Some(Fault::Sync(0)) {
            state.fired = true;
            return Err(io::Error::other("sync failed"));
        }
        if let Some(Fault::Sync(left)) = &mut state.fault {
            *left -= 1;
        }
        state.file(segment)?.dirty.clear();
        Ok(())
    }

    fn remove(&mut self, segment: SegmentNumber) -> io::Result<()> {
        let mut state = self.state();
        let dies = state.begin()?;
        if !dies {
            let file = state.files.remove(&segment).ok_or(ErrorKind::NotFound)?;
            state.removed.insert(segment, file);
        }
        if dies { Err(io::Error::other("died")) } else { Ok(()) }
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        let mut state = self.state();
        if state.begin()? {
            return Err(io::Error::other("died"));
        }
        state.removed.clear();
        Ok(())
    }
}

/// Numbers that a seed decides.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        chance.next();
        chance
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 8
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("below a length")
    }
}
