//! Opening the journal: every entry that lives is read, opened and judged before the core sees it. Nothing is
//! changed but what the store itself repairs.

use std::collections::BTreeMap;

use keys::{NodeKey, PublicKey, verify};
use mesh::{Past, PastEntry};
use proto::NodeId;
use proto::entry::{Entry, EntryNumber, Parts};
use proto::record::{CarriedRecord, RecordKind};
use store::{FileDisk, Recovery, Store};

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
}

/// Opens the journal, or makes it.
pub(crate) fn open(state: &StateDir, disk: FileDisk, identity: Identity) -> Result<Opened, StartError> {
    let journal = |source| StartError::Journal { path: state.store(), source };
    let (store, recovery) = Store::open(disk, &store_options()?).map_err(journal)?;
    let was_there = !identity.is_new;
    let mut days = Days::open(state.clone(), identity.credential)?;
    let mut reading = Reading { entries: Vec::new(), records: Vec::new(), lost: 0 };
    for number in &recovery.records {
        reading.take(&store, &mut days, EntryNumber::new(number.get()))?;
    }
    report(&recovery, reading.lost);
    // A journal that was made for a known identity, by a run that ended before it could write that down.
    let is_unsaid = store.highest().get() == 0 && !recovery.clean;
    let is_damaged = !recovery.damaged.is_empty() || reading.lost > 0;
    let keys = reading.judge_records(&identity.node);
    let past = Past {
        entries: reading.entries,
        highest: store.highest().get(),
        is_clean: recovery.clean,
        is_reborn: (was_there && (recovery.born || is_unsaid)) || is_damaged,
    };
    Ok(Opened { worker: Worker::new(store, days), past, keys })
}

struct Reading {
    entries: Vec<(EntryNumber, PastEntry)>,
    records: Vec<(EntryNumber, CarriedRecord)>,
    lost: usize,
}

impl Reading {
    fn take(&mut self, store: &Store<FileDisk>, days: &mut Days, number: EntryNumber) -> Result<(), StartError> {
        let loaded = store.load(store::RecordNumber::new(number.get()));
        let Ok(record) = loaded.inspect_err(|error| tracing::error!(%error, "an entry of the journal is lost")) else {
            self.lost += 1;
            return Ok(());
        };
        days.adopt(number.get(), &record)?;
        let entry = days.unseal(number.get(), &record).map(Entry::read);
        let Some(Ok(entry)) = entry else {
            tracing::error!(entry = number.get(), "an entry of the journal cannot be opened, and is lost");
            self.lost += 1;
            return Ok(());
        };
        if let Entry::Record(carried) = entry {
            self.records.push((number, carried));
        } else {
            let (entry, bytes) = without_parts(entry);
            self.entries.push((number, PastEntry::Entry(entry, bytes)));
        }
        Ok(())
    }

    /// Records prove themselves anew; those of agents by the key of the node that hosts them.
    fn judge_records(&mut self, us: &NodeKey) -> Vec<PublicKey> {
        let mut hosts: BTreeMap<NodeId, PublicKey> = BTreeMap::from([(us.id(), *us.public())]);
        let mut keys = vec![*us.public()];
        let (nodes, agents): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.records).into_iter().partition(|(_, carried)| carried.kind() == RecordKind::Node);
        for (number, carried) in nodes {
            let Ok(record) = verify::node_record(carried) else { continue };
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
