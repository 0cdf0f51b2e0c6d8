//! A disk that keeps what was synced and what was not apart, and forgets as a power cut does. It can also lie about a
//! sync, and be exchanged for an earlier copy of itself. It never touches a real file.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use store::{Disk, SegmentNumber};

use crate::chance::Chance;

const SECTOR_BYTES: usize = 512;

/// Shared between the store that writes and the world that pulls the plug.
#[derive(Clone, Debug, Default)]
pub struct SimDisk(Rc<RefCell<State>>);

#[derive(Default, Debug)]
struct State {
    files: BTreeMap<SegmentNumber, SimFile>,
    /// Removed, and the folder not synced since.
    removed: BTreeMap<SegmentNumber, SimFile>,
    lies: bool,
}

#[derive(Clone, Default, Debug)]
struct SimFile {
    now: Vec<u8>,
    /// Sectors written since the last sync: what was durable, and what each write made of it.
    dirty: BTreeMap<usize, Vec<Vec<u8>>>,
}

/// What a backup of a disk holds.
#[derive(Clone, Default, Debug)]
pub struct Image(BTreeMap<SegmentNumber, Vec<u8>>);

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The power fails: of each sector that was not synced, any version may be on disk.
    pub fn crash(&self, chance: &mut Chance) {
        let mut state = self.state();
        for (segment, file) in std::mem::take(&mut state.removed) {
            if chance.percent(50) {
                state.files.entry(segment).or_insert(file);
            }
        }
        // Sometimes nothing arrives, sometimes nearly all of it.
        let luck = chance.below(5);
        for file in state.files.values_mut() {
            for (sector, versions) in std::mem::take(&mut file.dirty) {
                let newest = versions.len().saturating_sub(1);
                let kept = if chance.below(4) < luck { newest } else { chance.index(versions.len()) };
                if let (Some(version), Some(place)) = (versions.get(kept), file.sector(sector)) {
                    place.copy_from_slice(version);
                }
            }
        }
    }

    /// The power fails and nothing that was not synced arrives.
    pub fn crash_losing_all(&self) {
        let image = self.image();
        self.restore(&image);
    }

    /// What is synced, as a backup would hold it.
    #[must_use]
    pub fn image(&self) -> Image {
        let state = self.state();
        let synced = |file: &SimFile| {
            let mut file = file.clone();
            for (sector, versions) in std::mem::take(&mut file.dirty) {
                if let (Some(first), Some(place)) = (versions.first(), file.sector(sector)) {
                    place.copy_from_slice(first);
                }
            }
            file.now
        };
        Image(state.files.iter().map(|(segment, file)| (*segment, synced(file))).collect())
    }

    /// Puts a backup in place of all that is there. An empty one is a disk that was lost.
    pub fn restore(&self, image: &Image) {
        let mut state = self.state();
        state.removed.clear();
        state.files = image
            .0
            .iter()
            .map(|(segment, now)| (*segment, SimFile { now: now.clone(), dirty: BTreeMap::new() }))
            .collect();
    }

    /// From here on a sync says that it worked, and does nothing; or it is honest again.
    pub fn lie(&self, lies: bool) {
        self.state().lies = lies;
    }

    /// Changes one byte that is not zero. Whether there was one.
    pub fn flip(&self, chance: &mut Chance) -> bool {
        let mut state = self.state();
        let segments: Vec<_> = state.files.keys().copied().collect();
        let Some(file) = chance.pick(&segments).and_then(|segment| state.files.get_mut(segment)) else { return false };
        let written = file.now.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let at = chance.index(written);
        let Some(byte) = file.now.get_mut(at) else { return false };
        *byte ^= 1 << chance.below(8);
        true
    }

    fn state(&self) -> RefMut<'_, State> {
        self.0.borrow_mut()
    }
}

impl State {
    fn file(&mut self, segment: SegmentNumber) -> io::Result<&mut SimFile> {
        self.files.get_mut(&segment).ok_or_else(|| ErrorKind::NotFound.into())
    }
}

impl SimFile {
    fn sector(&mut self, sector: usize) -> Option<&mut [u8]> {
        let end = self.now.len().min((sector + 1) * SECTOR_BYTES);
        self.now.get_mut(sector * SECTOR_BYTES..end)
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        let Some(last) = bytes.len().checked_sub(1) else { return };
        if self.now.len() < at + bytes.len() {
            // Growing is only done to mend what was cut; it is taken as durable.
            self.now.resize(at + bytes.len(), 0);
        }
        let sectors = at / SECTOR_BYTES..=(at + last) / SECTOR_BYTES;
        for sector in sectors.clone() {
            let before = self.sector(sector).unwrap_or_default().to_vec();
            self.dirty.entry(sector).or_insert_with(|| vec![before]);
        }
        if let Some(place) = self.now.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        for sector in sectors {
            let after = self.sector(sector).unwrap_or_default().to_vec();
            self.dirty.entry(sector).or_default().push(after);
        }
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<SegmentNumber>> {
        Ok(self.state().files.keys().copied().collect())
    }

    fn create(&mut self, segment: SegmentNumber, bytes: usize) -> io::Result<()> {
        self.state().files.insert(segment, SimFile { now: vec![0; bytes], dirty: BTreeMap::new() });
        Ok(())
    }

    fn open(&mut self, segment: SegmentNumber) -> io::Result<usize> {
        Ok(self.state().file(segment)?.now.len())
    }

    fn read_at(&self, segment: SegmentNumber, at: usize, into: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state();
        let there = state.file(segment)?.now.get(at..).unwrap_or_default();
        let length = there.len().min(into.len());
        for (to, from) in into.iter_mut().zip(there) {
            *to = *from;
        }
        Ok(length)
    }

    fn write_at(&mut self, segment: SegmentNumber, at: usize, bytes: &[u8]) -> io::Result<usize> {
        self.state().file(segment)?.write(at, bytes);
        Ok(bytes.len())
    }

    fn sync_data(&mut self, segment: SegmentNumber) -> io::Result<()> {
        let mut state = self.state();
        let lies = state.lies;
        let file = state.file(segment)?;
        if !lies {
            file.dirty.clear();
        }
        Ok(())
    }

    fn remove(&mut self, segment: SegmentNumber) -> io::Result<()> {
        let mut state = self.state();
        let file = state.files.remove(&segment).ok_or(ErrorKind::NotFound)?;
        state.removed.insert(segment, file);
        Ok(())
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        self.state().removed.clear();
        Ok(())
    }
}
