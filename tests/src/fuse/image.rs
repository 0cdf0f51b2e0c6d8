//! What lies on the disk: folders and files, each as it is now and as it would be after a cut. It knows no kernel.
//!
//! The model is harsher than ext4, and no harsher than what POSIX promises:
//! - A file's bytes are durable once the file was synced. Until then each sector is, after a cut, any of the versions
//!   that were written since, or torn between two of them; the length is any that the file had since.
//! - A name is durable once its folder was synced, and by nothing else. Until then a folder holds, after a cut, what it
//!   held at some moment since: its changes survive in order, and a rename within it is one change.
//! - A sync that fails has written nothing, and what it should have written is not written by a later one either, unless
//!   it is changed again.
//! - A mode is as durable as its file.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::chance::Chance;

/// A sector is on disk whole or not at all, but for what was written to it: that may be torn.
pub(super) const SECTOR_BYTES: usize = 512;
/// Room is given in these.
const BLOCK_BYTES: usize = 4096;
/// The folder that everything lies in.
pub(super) const ROOT: u64 = 1;

type Sector = [u8; SECTOR_BYTES];
type Names = BTreeMap<OsString, u64>;

/// Everything on one disk.
#[derive(Clone, Debug)]
pub struct Image {
    nodes: BTreeMap<u64, Node>,
    next: u64,
}

/// A file or a folder.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) mode: u16,
    /// Handles that are open.
    pub(super) open: u32,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    File(Contents),
    Folder(Folder),
}

/// What a folder held since it was synced: first what is durable, last what is there now.
#[derive(Clone, Debug)]
pub(super) struct Folder(Vec<Names>);

/// A file's bytes, and what they were since it was synced.
#[derive(Clone, Default, Debug)]
pub(super) struct Contents {
    pub(super) bytes: Vec<u8>,
    /// Up to where it has its room. A hole before that has room too, which is simpler than the truth.
    allocated: usize,
    /// Lengths since the last sync: first the durable one, last that of now.
    lengths: Vec<usize>,
    /// Versions of each changed sector, first the durable one.
    dirty: BTreeMap<usize, Vec<Sector>>,
    /// Likewise, of those that a failed sync has given up.
    lost: BTreeMap<usize, Vec<Sector>>,
}

impl Image {
    /// An empty disk.
    #[must_use]
    pub fn blank() -> Self {
        let root = Node { mode: 0o700, open: 0, kind: Kind::Folder(Folder(vec![Names::new()])) };
        Self { nodes: BTreeMap::from([(ROOT, root)]), next: ROOT + 1 }
    }

    /// The files below a folder, with their lengths.
    ///
    /// # Panics
    /// If there is no such folder.
    #[must_use]
    pub fn files(&self, folder: &str) -> Vec<(String, usize)> {
        let Kind::Folder(names) = &self.nodes[&self.find(folder)].kind else { panic!("{folder} is no folder") };
        let mut files = Vec::new();
        for (name, node) in names.now() {
            if let Kind::File(contents) = &self.nodes[node].kind {
                files.push((format!("{folder}/{}", name.to_str().expect("text")), contents.bytes.len()));
            }
        }
        files
    }

    /// The bytes of a file.
    ///
    /// # Panics
    /// If there is no such file.
    #[must_use]
    pub fn bytes(&self, file: &str) -> &[u8] {
        let Kind::File(contents) = &self.nodes[&self.find(file)].kind else { panic!("{file} is no file") };
        &contents.bytes
    }

    /// Changes what lies in a file, as rot does.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn rot(&mut self, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let node = self.find(file);
        let Kind::File(contents) = &mut self.nodes.get_mut(&node).expect("just found").kind else {
            panic!("{file} is no file")
        };
        let mut bytes = std::mem::take(&mut contents.bytes);
        change(&mut bytes);
        *contents = Contents::settled(bytes);
    }

    fn find(&self, path: &str) -> u64 {
        let mut at = ROOT;
        for part in Path::new(path) {
            let Kind::Folder(folder) = &self.nodes[&at].kind else { panic!("{path} is not there") };
            at = *folder.now().get(part).unwrap_or_else(|| panic!("{path} is not there"));
        }
        at
    }

    /// What a power cut leaves of it.
    pub(super) fn after_a_cut(&self, chance: &mut Chance) -> Self {
        // Sometimes nothing arrives, sometimes nearly all of it.
        let luck = chance.below(5);
        let mut survived = self.clone();
        for node in survived.nodes.values_mut() {
            node.open = 0;
            match &mut node.kind {
                Kind::File(contents) => *contents = contents.after_a_cut(luck, chance),
                Kind::Folder(folder) => *folder = Folder(vec![chance.pick(luck, &folder.0).clone()]),
            }
        }
        survived.drop_unreachable();
        survived
    }

    /// Sectors and changes of names that a cut could take away.
    pub(super) fn unsynced(&self) -> usize {
        let of = |node: &Node| match &node.kind {
            Kind::File(contents) => contents.dirty.len() + contents.lost.len(),
            Kind::Folder(folder) => folder.0.len() - 1,
        };
        self.nodes.values().map(of).sum()
    }

    /// What an orderly end leaves of it: all.
    pub(super) fn settled(&self) -> Self {
        let mut settled = self.clone();
        for node in settled.nodes.values_mut() {
            node.open = 0;
            match &mut node.kind {
                Kind::File(contents) => *contents = Contents::settled(std::mem::take(&mut contents.bytes)),
                Kind::Folder(folder) => folder.sync(),
            }
        }
        settled.drop_unreachable();
        settled
    }

    pub(super) fn node(&self, number: u64) -> Option<&Node> {
        self.nodes.get(&number)
    }

    pub(super) fn node_mut(&mut self, number: u64) -> Option<&mut Node> {
        self.nodes.get_mut(&number)
    }

    pub(super) fn file_mut(&mut self, number: u64) -> Option<&mut Contents> {
        match &mut self.nodes.get_mut(&number)?.kind {
            Kind::File(contents) => Some(contents),
            Kind::Folder(_) => None,
        }
    }

    pub(super) fn folder(&self, number: u64) -> Option<&Folder> {
        match &self.nodes.get(&number)?.kind {
            Kind::Folder(folder) => Some(folder),
            Kind::File(_) => None,
        }
    }

    pub(super) fn folder_mut(&mut self, number: u64) -> Option<&mut Folder> {
        match &mut self.nodes.get_mut(&number)?.kind {
            Kind::Folder(folder) => Some(folder),
            Kind::File(_) => None,
        }
    }

    /// A new node, which no name leads to yet.
    pub(super) fn make(&mut self, mode: u16, is_folder: bool) -> u64 {
        let kind = if is_folder {
            Kind::Folder(Folder(vec![Names::new()]))
        } else {
            Kind::File(Contents::settled(Vec::new()))
        };
        let number = self.next;
        self.next += 1;
        self.nodes.insert(number, Node { mode, open: 0, kind });
        number
    }

    /// Names that lead to it now.
    pub(super) fn links(&self, number: u64) -> usize {
        let folders = self.nodes.values().filter_map(|node| match &node.kind {
            Kind::Folder(folder) => Some(folder.now()),
            Kind::File(_) => None,
        });
        folders.flat_map(Names::values).filter(|named| **named == number).count()
    }

    /// Forgets what no name can lead to any more, whatever happens, and nobody has open.
    pub(super) fn drop_unreachable(&mut self) {
        let mut reached = BTreeSet::from([ROOT]);
        for node in self.nodes.values() {
            if let Kind::Folder(folder) = &node.kind {
                reached.extend(folder.0.iter().flat_map(Names::values).copied());
            }
        }
        self.nodes.retain(|number, node| reached.contains(number) || node.open > 0);
    }
}

impl Folder {
    pub(super) fn now(&self) -> &Names {
        self.0.last().expect("never empty")
    }

    pub(super) fn find(&self, name: &OsStr) -> Option<u64> {
        self.now().get(name).copied()
    }

    /// One change, there whole or not at all after a cut.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Names)) {
        let mut names = self.now().clone();
        change(&mut names);
        self.0.push(names);
    }

    pub(super) fn sync(&mut self) {
        self.0.drain(..self.0.len() - 1);
    }
}

impl Contents {
    fn settled(bytes: Vec<u8>) -> Self {
        let allocated = bytes.len().next_multiple_of(BLOCK_BYTES);
        Self { lengths: vec![bytes.len()], allocated, bytes, ..Self::default() }
    }

    /// Bytes of room that it would take more than it has.
    pub(super) fn wants(&self, end: usize) -> usize {
        end.next_multiple_of(BLOCK_BYTES).saturating_sub(self.allocated)
    }

    pub(super) fn allocated(&self) -> usize {
        self.allocated
    }

    pub(super) fn allocate(&mut self, end: usize) {
        self.allocated = self.allocated.max(end.next_multiple_of(BLOCK_BYTES));
    }

    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = at + bytes.len();
        let sectors = at / SECTOR_BYTES..=(end - 1) / SECTOR_BYTES;
        let before: Vec<Sector> = sectors.clone().map(|sector| self.sector(sector)).collect();
        if end > self.bytes.len() {
            self.set_length(end);
        }
        self.allocate(end);
        self.bytes[at..end].copy_from_slice(bytes);
        for (sector, before) in sectors.zip(before) {
            let after = self.sector(sector);
            if after != before {
                self.dirty.entry(sector).or_insert_with(|| vec![before]).push(after);
            }
        }
    }

    pub(super) fn set_length(&mut self, length: usize) {
        let cut = length / SECTOR_BYTES..self.bytes.len().div_ceil(SECTOR_BYTES);
        let before: Vec<Sector> = cut.clone().map(|sector| self.sector(sector)).collect();
        self.allocated = self.allocated.min(length.next_multiple_of(BLOCK_BYTES));
        self.bytes.resize(length, 0);
        for (sector, before) in cut.zip(before) {
            let after = self.sector(sector);
            if after != before {
                self.dirty.entry(sector).or_insert_with(|| vec![before]).push(after);
            }
        }
        self.lengths.push(length);
    }

    pub(super) fn sync(&mut self) {
        for sector in std::mem::take(&mut self.dirty).keys() {
            self.lost.remove(sector);
        }
        self.lengths = vec![self.bytes.len()];
    }

    /// As Linux does it: what was not written is taken for clean.
    pub(super) fn fail_to_sync(&mut self) {
        for (sector, versions) in std::mem::take(&mut self.dirty) {
            self.lost.entry(sector).or_default().extend(versions);
        }
    }

    fn sector(&self, sector: usize) -> Sector {
        let mut bytes = [0; SECTOR_BYTES];
        let there = self.bytes.get(sector * SECTOR_BYTES..).unwrap_or_default();
        let length = there.len().min(SECTOR_BYTES);
        bytes[..length].copy_from_slice(&there[..length]);
        bytes
    }

    fn after_a_cut(&self, luck: u64, chance: &mut Chance) -> Self {
        let mut bytes = self.bytes.clone();
        // Long enough for whatever a sector was; cut to a length that the file had.
        let longest = self.lengths.iter().copied().max().unwrap_or(0);
        bytes.resize(longest.next_multiple_of(SECTOR_BYTES), 0);
        let mut changed: BTreeMap<usize, Vec<Sector>> = self.lost.clone();
        for (sector, versions) in &self.dirty {
            changed.entry(*sector).or_default().extend(versions);
        }
        for (sector, versions) in changed {
            let kept = chance.version(luck, &versions);
            bytes[sector * SECTOR_BYTES..][..SECTOR_BYTES].copy_from_slice(&kept);
        }
        bytes.truncate(*chance.pick(luck, &self.lengths));
        Self::settled(bytes)
    }
}
