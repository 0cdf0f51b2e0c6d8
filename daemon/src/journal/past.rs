//! Opening the journal: every entry that lives is read, opened and judged before the core sees it. Nothing is
//! changed but what the store itself repairs.

use std::collections::BTreeMap;

use keys::{AuthorityTrust, NodeKey, PublicKey, verify};
use mesh::{Past, PastEntry};
use proto::NodeId;
use proto::entry::{Entry, EntryError, EntryNumber, Parts};
use proto::record::{CarriedRecord, NodeRecord, RecordKind};
use store::{Disk, FileDisk, RecordNumber, Recovery, Store};

use super::days::Days;
use super::worker::Worker;
use crate::vault::{Identity, store_options};
use crate::{StartError, StateDir};

/// What opening gives.
#[derive(Debug)]
pub(crate) struct Opened {
    /// For the thread.
    pub(crate) worker: Worker,
    /// For the core.
    pub(crate) past: Past,
    /// Keys of agents and nodes whose records lie in the journal.
    pub(crate) keys: Vec<PublicKey>,
    /// The note that it was put back is there.
    pub(crate) is_restored: bool,
}

/// Opens the journal, or makes it.
pub(crate) fn open(
    state: &StateDir,
    disk: FileDisk,
    identity: Identity,
    limit_bytes: u64,
    trust: Option<&AuthorityTrust>,
) -> Result<Opened, StartError> {
    let journal = |source| StartError::Journal { path: state.store(), source };
    let (store, recovery) = Store::open(disk, &store_options(limit_bytes)?).map_err(journal)?;
    let mut days = Days::open(state.clone(), identity.credential)?;
    let mut reading = Reading::default();
    for number in &recovery.records {
        match reading.take(&store, &mut days, *number) {
            Ok(_) => {}
            Err(Lost::NoKey(day)) => {
                return Err(StartError::DayKey { path: state.day_key(day), why: "is missing" });
            }
            Err(lost) => tracing::error!(entry = number.get(), %lost, "an entry of the journal is lost"),
        }
    }
    report(&recovery, reading.lost);
    let known = Known { was_there: !identity.is_new, is_restored: state.is_marked_restored() };
    let (past, keys) = reading.past(&recovery, store.highest().get(), known, (&identity.node, trust));
    if past.is_reborn {
        tracing::warn!("the journal has forgotten something: what may have been delivered before is marked");
    }
    Ok(Opened { worker: Worker::new(store, days), past, keys, is_restored: known.is_restored })
}

/// What is known of the journal beside what lies in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// The identity is older than this start.
    pub(crate) was_there: bool,
    /// An operator says that it was put back.
    pub(crate) is_restored: bool,
}

/// Why an entry that lives cannot be shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Lost {
    /// Its bytes changed where they lie, or cannot be read.
    #[error("its bytes are damaged")]
    Damaged,
    /// The key of its day is not there.
    #[error("the key of its day, {0}, is not there")]
    NoKey(u64),
    /// It was sealed with another key, or under another number.
    #[error("its seal does not open")]
    Sealed,
    /// No version so far wrote it.
    #[error("{0}")]
    Layout(EntryError),
}

/// Entries as they are read, one by one.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    entries: Vec<(EntryNumber, PastEntry)>,
    records: Vec<(EntryNumber, CarriedRecord)>,
    lost: usize,
}

impl Reading {
    /// Reads one more, and says what it is.
    pub(crate) fn take<D: Disk>(
        &mut self,
        store: &Store<D>,
        days: &mut Days,
        number: RecordNumber,
    ) -> Result<&'static str, Lost> {
        let read = read(store, days, number).inspect_err(|_| self.lost += 1)?;
        let name = read.name();
        let number = EntryNumber::new(number.get());
        if let Entry::Record(carried) = read {
            self.records.push((number, carried));
        } else {
            let (entry, bytes) = without_parts(read);
            self.entries.push((number, PastEntry::Entry(entry, bytes)));
        }
        Ok(name)
    }

    /// All that was read, as the core takes it, and the keys of agents and nodes in it.
    pub(crate) fn past(
        mut self,
        recovery: &Recovery,
        highest: u64,
        known: Known,
        us: (&NodeKey, Option<&AuthorityTrust>),
    ) -> (Past, Vec<PublicKey>) {
        // A journal that was made for a known identity, by a run that ended before it could write that down.
        let is_unsaid = highest == 0 && !recovery.clean;
        let is_damaged = !recovery.damaged.is_empty() || self.lost > 0;
        let is_reborn = (known.was_there && (recovery.born || is_unsaid)) || is_damaged || known.is_restored;
        let keys = self.judge_records(us);
        (Past { entries: self.entries, highest, is_clean: recovery.clean, is_reborn }, keys)
    }

    /// Records prove themselves anew; those of agents by the key of the node that hosts them. In a mesh, those of other
    /// nodes are left out that are not its members': they were kept before this node joined it.
    fn judge_records(&mut self, (us, trust): (&NodeKey, Option<&AuthorityTrust>)) -> Vec<PublicKey> {
        let mut hosts: BTreeMap<NodeId, PublicKey> = BTreeMap::from([(us.id(), *us.public())]);
        let mut keys = vec![*us.public()];
        let (nodes, agents): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.records).into_iter().partition(|(_, carried)| carried.kind() == RecordKind::Node);
        for (number, carried) in nodes {
            let is_own =
                NodeRecord::read(carried.body()).is_ok_and(|record| record.public_key == *us.public().as_bytes());
            let record = match trust.filter(|_| !is_own) {
                Some(trust) => verify::member_record(carried, trust),
                None => verify::node_record(carried),
            };
            let Ok(record) = record else { continue };
            let key = record.get().key;
            hosts.insert(key.node_id(), key);
            keys.push(key);
            self.entries.push((number, PastEntry::Node(verify::Attested::known(record).boxed())));
        }
        for (number, carried) in agents {
            let host = proto::record::AgentRecord::read(carried.body()).ok().and_then(|record| hosts.get(&record.host));
            let Some(Ok(record)) = host.map(|host| verify::agent_record(carried, host)) else {
                tracing::debug!(entry = number.get(), "a record that does not verify is left out");
                continue;
            };
            keys.push(record.get().key);
            self.entries.push((number, PastEntry::Agent(verify::Attested::known(record).boxed())));
        }
        self.entries.sort_by_key(|(number, _)| *number);
        keys
    }
}

fn read<D: Disk>(store: &Store<D>, days: &mut Days, number: RecordNumber) -> Result<Entry, Lost> {
    let record = store.load(number).map_err(|_| Lost::Damaged)?;
    days.adopt(number.get(), &record).map_err(Lost::NoKey)?;
    let plain = days.unseal(number.get(), &record).ok_or(Lost::Sealed)?;
    Entry::read(plain).map_err(Lost::Layout)
}

/// The core asks for what was said by number; until then it lies on disk alone.
fn without_parts(mut entry: Entry) -> (Entry, usize) {
    let parts = match &mut entry {
        Entry::Owned { parts, .. } | Entry::Received { parts, .. } | Entry::Dead { parts, .. } => std::mem::take(parts),
        Entry::Moved(..)
        | Entry::Stub(_)
        | Entry::Mark(_)
        | Entry::Record(_)
        | Entry::Birth(_)
        | Entry::MarksDropped(_)
        | Entry::Delivered(_)
        | Entry::ClockSuspended(_)
        | Entry::Died { .. }
        | Entry::Revived { .. }
        | Entry::Clock(_) => Parts::default(),
    };
    (entry, parts.bytes())
}

fn report(recovery: &Recovery, lost: usize) {
    for damage in &recovery.damaged {
        let (segment, at, bytes) = (damage.segment.get(), damage.at, damage.bytes);
        tracing::error!(segment, at, bytes, harm = ?damage.harm, "the journal was damaged");
    }
    if let Some(torn) = recovery.torn_tail {
        let (bytes, dropped) = (torn.bytes, torn.dropped);
        tracing::info!(bytes, dropped, "a crash tore what was being written; it was promised to nobody");
    }
    let entries = recovery.records.len();
    tracing::debug!(entries, lost, clean = recovery.clean, born = recovery.born, "the journal is open");
}
