//! The journal: its segments as recovery finds them, its entries as a start opens them, its past as the core takes it.

use std::collections::{BTreeMap, BTreeSet};

use keys::NodeKey;
use keys::store_key::{Credential, StoreKey};
use mesh::{HostedAgent, Node, Options, Past, PastEntry, PastError};
use proto::entry::Entry;
use proto::limits;
use store::{Harm, LookDisk, Recovery, Store, StoreError};

use super::{DayKey, DaySeen, FsckError, JournalSeen, Look, NextStart};
use crate::clock::Clock;
use crate::journal::{Days, Known, Lost, Reading};
use crate::vault::{KeptAgent, store_options};

/// What could be read of the entries.
#[derive(Default)]
struct Entries {
    kinds: BTreeMap<&'static str, u64>,
    lost: BTreeMap<String, u64>,
    reading: Reading,
}

impl Look {
    pub(super) fn journal(
        &mut self,
        disk: LookDisk,
        credential: Option<Credential>,
        keys: BTreeMap<u64, StoreKey>,
        node: Option<NodeKey>,
        agents: Vec<KeptAgent>,
    ) -> Result<(), FsckError> {
        let Some((store, recovery)) = self.open(disk)? else { return Ok(()) };
        let entries = credential.map(|credential| {
            let mut days = Days::of(self.state.clone(), credential, keys);
            let entries = read(&store, &recovery, &mut days);
            self.count_days(&days);
            entries
        });
        let Entries { kinds, lost, reading } = entries.unwrap_or_default();
        self.tell(&recovery, &lost);
        let known = Known { was_there: true, is_restored: self.state.is_marked_restored() };
        let past = node.as_ref().map(|node| reading.past(&recovery, store.highest().get(), known, (node, None)).0);
        let birth = past.as_ref().and_then(birth_of);
        self.report.next = match &past {
            Some(past) if !past.is_reborn && past.is_clean => NextStart::Clean,
            Some(past) if !past.is_reborn => NextStart::Unclean,
            Some(_) | None => NextStart::Born,
        };
        let contradiction = node.zip(past).and_then(|(node, past)| self.judge(&node, agents, past));
        if known.is_restored {
            self.note("the state folder was put back from a backup; the next start marks mail, and removes that note");
        }
        self.report.journal = Some(JournalSeen {
            segments: recovery.segments,
            damaged: recovery.damaged,
            torn: recovery.torn_tail,
            is_clean: recovery.clean,
            kinds: kinds.into_iter().collect(),
            lost: lost.into_iter().collect(),
            live_bytes: store.live_bytes() as u64,
            disk_bytes: store.disk_bytes(),
            birth,
            contradiction,
        });
        Ok(())
    }

    /// As a start opens it, over a disk that keeps nothing.
    fn open(&mut self, disk: LookDisk) -> Result<Option<(Store<LookDisk>, Recovery)>, FsckError> {
        let path = self.state.store();
        // Nothing is written, so any limit will do.
        let options = store_options(limits::JOURNAL_LIMIT_BYTES)
            .map_err(|error| FsckError::Unreadable { path: self.state.root().into(), why: error.to_string() })?;
        match Store::open(disk, &options) {
            Ok(opened) => Ok(Some(opened)),
            Err(source @ StoreError::NewerFormat { .. }) => Err(FsckError::Newer { path, source }),
            Err(error @ (StoreError::Unreadable | StoreError::Foreign { .. })) => {
                self.refuses = true;
                self.fault(
                    format!("the journal in {} cannot be opened", path.display()),
                    error.to_string(),
                    "the daemon does not start; what lies in it is untouched",
                    "restore store/ from a backup, or move it away, and run aicpd mark-restored",
                );
                Ok(None)
            }
            Err(error) => Err(FsckError::Unreadable { path, why: error.to_string() }),
        }
    }

    fn count_days(&mut self, days: &Days) {
        for seen in &mut self.report.days {
            seen.entries = Some(days.living().get(&seen.day).copied().unwrap_or(0));
        }
        for (day, entries) in days.living() {
            if self.report.days.iter().any(|seen| seen.day == *day) {
                continue;
            }
            self.report.days.push(DaySeen { day: *day, key: DayKey::Missing, entries: Some(*entries) });
            self.refuses = true;
            let path = self.state.day_key(*day);
            self.fault(
                format!("{} is missing, and {entries} entries need it", path.display()),
                "it was removed, or the folder was copied in part",
                "the daemon does not start",
                "restore store-keys/ from the backup that store/ belongs to, or move store/ away and lose what waits in it",
            );
        }
        self.report.days.sort_by_key(|seen| seen.day);
        let unneeded = self.report.days.iter().filter(|seen| seen.entries == Some(0)).count();
        if unneeded > 0 {
            self.note(format!(
                "keys of {unneeded} days are needed by no entry; a running daemon erases them when their day is over"
            ));
        }
    }

    fn tell(&mut self, recovery: &Recovery, lost: &BTreeMap<String, u64>) {
        let segments = self.state.store();
        for damage in &recovery.damaged {
            let (segment, at, bytes) = (damage.segment, damage.at, damage.bytes);
            let (what, now) = match &damage.harm {
                Harm::Header => ("the header of a segment, or a copy of it, is damaged", "nothing is lost by it"),
                Harm::Truncated => ("a segment is shorter than it was made", "what lay in the rest is told apart"),
                Harm::Transactions { .. } => (
                    "synced records are damaged",
                    "what stood there is lost: mail that waited here, or what is known of mail; the next start marks mail",
                ),
            };
            let count = match &damage.harm {
                Harm::Transactions { count: Some(count), .. } => format!(", {count} transactions"),
                Harm::Transactions { count: None, .. } => ", nobody knows how many transactions".into(),
                Harm::Header | Harm::Truncated => String::new(),
            };
            self.fault(
                format!("{what}: segment {segment} of {}, byte {at}, {bytes} bytes{count}", segments.display()),
                "the disk changed what was written, or somebody else did",
                now,
                "look at the disk; the daemon starts and goes on with all else",
            );
        }
        for (why, count) in lost.iter().filter(|(why, _)| !why.starts_with(NO_KEY)) {
            self.fault(
                format!("{count} entries of the journal are lost"),
                why.clone(),
                "the daemon starts without them; the next start marks mail",
                "restore the whole state folder from a backup, or go on without them",
            );
        }
        if let Some(torn) = recovery.torn_tail {
            self.note(format!(
                "a crash tore what was being written: segment {}, byte {}, {} bytes; it was promised to nobody",
                torn.segment, torn.at, torn.bytes
            ));
        }
        if !recovery.clean && !recovery.born {
            self.note("the last stop was not a clean one");
        }
    }

    /// The core is the judge: what it refuses at a start, it refuses here.
    fn judge(&mut self, node: &NodeKey, agents: Vec<KeptAgent>, past: Past) -> Option<PastError> {
        let us = HostedAgent {
            id: node.id().agent(),
            public_key: *node.public().as_bytes(),
            name: self.report.name.clone().or_else(|| "node".parse().ok())?,
            uid: 0,
        };
        let hosted = agents.into_iter().map(|agent| {
            let (id, public_key) = (agent.key.id(), *agent.key.public().as_bytes());
            HostedAgent { id, public_key, name: agent.name, uid: agent.uid }
        });
        let options = Options {
            node: us,
            addresses: Vec::new(),
            trust: mesh::Trust::Pinned(Vec::new()),
            blocked: BTreeSet::new(),
            agents: hosted.collect(),
            hops: limits::HOPS_MAX,
            rules: mesh::Rules::default(),
            bounds: mesh::Bounds::default(),
        };
        let refused = Node::new(options, [0; 32], past, Clock::start().now(), &mut Vec::new()).err()?;
        self.refuses = true;
        self.fault(
            "the journal contradicts itself",
            refused.to_string(),
            "the daemon does not start",
            "restore the whole state folder from a backup, or move store/ away and lose what waits in it",
        );
        Some(refused)
    }
}

/// Told once for each day, and not again for each entry.
const NO_KEY: &str = "the key of its day";

fn read(store: &Store<LookDisk>, recovery: &Recovery, days: &mut Days) -> Entries {
    let mut entries = Entries::default();
    for number in &recovery.records {
        match entries.reading.take(store, days, *number) {
            Ok(name) => *entries.kinds.entry(name).or_default() += 1,
            Err(lost @ (Lost::NoKey(_) | Lost::Damaged | Lost::Sealed | Lost::Layout(_))) => {
                *entries.lost.entry(lost.to_string()).or_default() += 1;
            }
        }
    }
    entries
}

fn birth_of(past: &Past) -> Option<u64> {
    let births = past.entries.iter().filter_map(|(_, entry)| match entry {
        PastEntry::Entry(Entry::Birth(wall), _) => Some(*wall),
        PastEntry::Entry(..) | PastEntry::Agent(_) | PastEntry::Node(_) => None,
    });
    births.max()
}
