//! `aicpd fsck`: reads the state folder of a stopped daemon as the next start would read it, and says what it finds.
//! It changes nothing, repairs nothing, and has no reading of its own: keys are loaded by `keys`, the journal is opened
//! by `store` over a disk that forgets what is written, and its entries are judged as at a start.

mod files;
mod journal;
mod show;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use keys::NodeKey;
use mesh::PastError;
use proto::{AgentId, Name, NodeId};
use store::{Damage, LookDisk, SegmentFound, StoreError, TornTail};

use crate::StateDir;

pub use show::{json, text};

/// Why nothing could be said. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum FsckError {
    /// A daemon works with it.
    #[error(
        "{} is in use\n  why: a daemon runs on it and holds the lock of its journal, which changes all the time\n  \
         now: nothing was read\n  fix: stop the daemon first; for a running one, aicpctl status",
        state.display()
    )]
    InUse {
        /// The state folder.
        state: PathBuf,
    },
    /// Nobody's state lies there.
    #[error(
        "there is no node in {}\n  why: neither identity/node.key nor store/ is there\n  now: nothing was read\n  \
         fix: give --state-dir the folder that aicpd runs with",
        state.display()
    )]
    NoNode {
        /// The folder.
        state: PathBuf,
    },
    /// The journal is of a newer version.
    #[error(
        "the journal in {} cannot be read\n  why: {source}\n  now: nothing was changed\n  \
         fix: aicpd fsck of the version that runs here",
        path.display()
    )]
    Newer {
        /// Its folder.
        path: PathBuf,
        /// What was found.
        source: StoreError,
    },
    /// The operating system refused.
    #[error(
        "{} cannot be read\n  why: {why}\n  now: nothing was changed\n  fix: run it as the user whose daemon it is",
        path.display()
    )]
    Unreadable {
        /// What.
        path: PathBuf,
        /// What it said.
        why: String,
    },
}

/// Something that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What was found.
    pub what: String,
    /// How that can be.
    pub why: String,
    /// What follows from it.
    pub now: String,
    /// What to do.
    pub fix: String,
}

/// What a look at a state folder found.
#[derive(Debug)]
pub struct Report {
    /// The folder.
    pub state: PathBuf,
    /// Whose it is, if its key can be read.
    pub node: Option<NodeId>,
    /// What that node is called, if somebody said so.
    pub name: Option<Name>,
    /// Its agents, by user.
    pub agents: Vec<AgentSeen>,
    /// The days whose keys are there, or are needed.
    pub days: Vec<DaySeen>,
    /// The journal, if there is one that can be opened.
    pub journal: Option<JournalSeen>,
    /// What the next start does with mail that it finds.
    pub next: NextStart,
    /// What is damaged. Nothing, if all is sound.
    pub faults: Vec<Fault>,
    /// What an operator may want to know beside.
    pub notes: Vec<String>,
}

/// An agent whose key lies there.
#[derive(Debug)]
pub struct AgentSeen {
    /// The user whose it is.
    pub uid: u32,
    /// Its name.
    pub name: Name,
    /// Its id, if the key can be read.
    pub id: Option<AgentId>,
}

/// A day of the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DaySeen {
    /// Days since 1970.
    pub day: u64,
    /// Its key.
    pub key: DayKey,
    /// Entries that live and need it; nothing if the journal was not read.
    pub entries: Option<u64>,
}

/// How the key of a day is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DayKey {
    /// It opens.
    Opens,
    /// It is there and does not open.
    Closed,
    /// It is not there.
    Missing,
}

/// What lies in the journal.
#[derive(Debug)]
pub struct JournalSeen {
    /// Its segments.
    pub segments: Vec<SegmentFound>,
    /// What was synced and cannot be read.
    pub damaged: Vec<Damage>,
    /// What a crash tore. It was promised to nobody.
    pub torn: Option<TornTail>,
    /// The last stop was a clean one.
    pub is_clean: bool,
    /// How many entries of each kind live and can be read.
    pub kinds: Vec<(&'static str, u64)>,
    /// How many live and cannot be read, by why.
    pub lost: Vec<(String, u64)>,
    /// Bytes of what lives.
    pub live_bytes: u64,
    /// Bytes of all segments.
    pub disk_bytes: u64,
    /// When the store was born, in ns of the wall clock, if it was made for an identity that was there before it.
    pub birth: Option<u64>,
    /// How its past contradicts itself, if it does.
    pub contradiction: Option<PastError>,
}

/// What the next start marks as possibly delivered before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NextStart {
    /// What had been delivered and was not acknowledged.
    Clean,
    /// All that lies in mailboxes.
    Unclean,
    /// That, and all that was accepted before the start plus ten minutes: the journal has forgotten something.
    Born,
    /// It does not start.
    Refuses,
}

impl Report {
    /// Nothing is damaged.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }
}

/// What is gathered on the way.
struct Look {
    state: StateDir,
    report: Report,
    /// The next start would stop here.
    refuses: bool,
}

impl Look {
    fn fault(&mut self, what: impl Into<String>, why: impl Into<String>, now: &str, fix: impl Into<String>) {
        let (what, why, now, fix) = (what.into(), why.into(), now.into(), fix.into());
        self.report.faults.push(Fault { what, why, now, fix });
    }

    fn note(&mut self, note: impl Into<String>) {
        self.report.notes.push(note.into());
    }
}

/// Looks at the state folder of a stopped daemon.
pub fn run(root: &Path) -> Result<Report, FsckError> {
    let state = StateDir::look(root);
    let disk = match LookDisk::open(&state.store()) {
        Ok(disk) => Some(disk),
        Err(StoreError::Locked) => return Err(FsckError::InUse { state: root.into() }),
        Err(StoreError::Folder { source }) if source.kind() == std::io::ErrorKind::NotFound => None,
        Err(source) => return Err(FsckError::Unreadable { path: state.store(), why: source.to_string() }),
    };
    if disk.is_none() && !state.node_key().exists() {
        return Err(FsckError::NoNode { state: root.into() });
    }
    let report = Report {
        state: root.into(),
        node: None,
        name: None,
        agents: Vec::new(),
        days: Vec::new(),
        journal: None,
        next: NextStart::Born,
        faults: Vec::new(),
        notes: Vec::new(),
    };
    let mut look = Look { state, report, refuses: false };
    let node: Option<NodeKey> = look.identity();
    let credential = look.credential();
    let agents = look.agents()?;
    let keys = look.day_keys(credential.as_ref())?;
    match disk {
        Some(disk) => look.journal(disk, credential, keys, node, agents)?,
        None => {
            look.note("there is no journal; the next start makes one, and marks what may have been delivered before")
        }
    }
    if look.refuses {
        look.report.next = NextStart::Refuses;
    }
    Ok(look.report)
}
