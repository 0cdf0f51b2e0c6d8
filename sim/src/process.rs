//! A daemon's process: how it starts from what lies on its disk, how its syncs go, and how it stops in peace.

use std::collections::BTreeMap;

use mesh::{HostedAgent, Input, Membership, Node, Options, Past, PastEntry, PinnedPeer, Trust};
use proto::entry::{Entry, EntryNumber, Parts};
use store::Store;

use crate::disk::Image;
use crate::fault::Promise;
use crate::forge::{self, Record};
use crate::host::{Host, Member, Run};
use crate::members::MESH;
use crate::time::{MILLI, SECOND};
use crate::world::{What, World};

/// All segments of a journal together.
const JOURNAL_SEGMENTS: u64 = 256;

impl World {
    /// Starts a node's process: what lies on its disk is all that it knows.
    pub(crate) fn start(&mut self, node: usize) {
        let now = self.now;
        let (segment_bytes, bounds) = (self.shape.segment_bytes, self.shape.bounds);
        let without = self.without;
        let (new_id, seed) = (self.chance.bytes32(), self.chance.bytes32());
        let trust = self.trust_of(node);
        let Some(host) = self.hosts.get_mut(node).filter(|host| host.run.is_none()) else { return };
        let new_id = new_id.first_chunk().copied().unwrap_or_default();
        let limit_bytes = JOURNAL_SEGMENTS * segment_bytes as u64;
        let opened = Store::open(host.disk.clone(), &store::Options { new_id, segment_bytes, limit_bytes });
        let rots = self.model.accounts.get(node).is_some_and(|account| account.has_rotted || account.is_forgiven);
        let (store, recovery) = match opened {
            Ok(opened) => opened,
            // Its bytes have changed and it refuses them: somebody moves it away, and the node is told so.
            Err(_) if rots => {
                host.disk.restore(&Image::default());
                host.is_reborn = true;
                self.model.disk_is_lost(node, "its store could not be read");
                return self.restart(node);
            }
            Err(error) => return self.fault(Promise::HostIsUsable, node, format!("the store does not open: {error}")),
        };
        host.incarnation += 1;
        let is_damaged = !recovery.damaged.is_empty();
        let is_reborn = host.is_reborn || is_damaged;
        let found = read_all(&store, &recovery.records);
        let past = match past_of(&found, store.highest().get(), recovery.clean, is_reborn) {
            Ok(past) => past,
            Err(what) => return self.fault(Promise::HostIsUsable, node, what),
        };
        let options = Options { bounds, ..options_of(host, trust, without) };
        let core_now = host.now(now);
        let mut effects = std::mem::take(&mut self.effects);
        let made = Node::new(options, seed, past, core_now, &mut effects);
        let core = match made {
            Ok(mut core) => {
                core.handle(Input::Policy(host.policy.clone()), core_now, &mut effects);
                core
            }
            Err(error) => return self.fault(Promise::HostIsUsable, node, format!("the past is refused: {error}")),
        };
        let Some(host) = self.hosts.get_mut(node) else { return };
        let learned = host.agents.iter().map(|agent| agent.id).collect();
        let run = Run {
            node: core,
            store,
            waiting: Vec::new(),
            syncing: None,
            last_transaction: 0,
            prekeys: BTreeMap::new(),
            learned,
            learned_nodes: std::iter::once(host.id).collect(),
            sequences: BTreeMap::new(),
            record: None,
            links: BTreeMap::new(),
            clients: BTreeMap::new(),
            tick_at: None,
            ticks_here: 0,
            is_stopping: false,
            is_stopped: false,
        };
        host.run = Some(Box::new(run));
        self.trace.word(node as u64);
        self.trace.word(found.len() as u64);
        self.story.tell(now, Some(node), || {
            format!("START clean={} reborn={is_reborn} entries={}", recovery.clean, found.len())
        });
        let found = found.into_iter().filter_map(|(number, entry)| Some((number, entry?))).collect();
        self.model.started(node, found, recovery.clean);
        self.is_trusted(node);
        self.carry_out(node, &mut effects);
        self.effects = effects;
        self.plan_tick(node);
    }

    /// Whether a node that has started trusts its clock, as it says itself.
    fn is_trusted(&mut self, node: usize) {
        let is_suspended = self.run(node).is_some_and(|run| run.node.summary().is_suspended);
        let until = if is_suspended { self.now + proto::limits::CLOCK_STEADY } else { 0 };
        if let Some(account) = self.model.accounts.get_mut(node) {
            account.suspended_until = until;
        }
    }

    /// Members know nobody but the one through whom they came; all others are pinned.
    fn trust_of(&self, node: usize) -> Trust {
        let pinned = |host: &Host| PinnedPeer { name: host.name.clone(), node: host.id, can_dial: true };
        let member = self.hosts.get(node).and_then(|host| host.member.as_ref());
        let Some(Member { seed, certificate, revoked, .. }) = member else {
            let others = self.hosts.iter().enumerate().filter(|(at, _)| *at != node);
            return Trust::Pinned(others.map(|(_, host)| pinned(host)).collect());
        };
        let seeds = seed.and_then(|seed| self.hosts.get(seed)).map(pinned).into_iter().collect();
        Trust::Members(Membership { mesh: MESH, certificate: *certificate, revoked: revoked.clone(), seeds })
    }

    pub(crate) fn sync_begins(&mut self, node: usize, incarnation: u32) {
        let now = self.now;
        let most = self.shape.sync_ms * MILLI;
        let took = self.chance.skewed(MILLI / 10, most);
        let Some(host) = self.hosts.get_mut(node).filter(|host| host.incarnation == incarnation) else { return };
        if host.holds_syncs {
            return;
        }
        let took = if now < host.slow_until { took * 50 + SECOND } else { took };
        let Some(run) = host.run.as_mut() else { return };
        match run.append() {
            Ok(true) => self.plan(took, What::SyncEnds { node, incarnation }),
            Ok(false) => {}
            Err(error) => self.fault(Promise::HostIsUsable, node, format!("the store took nothing: {error}")),
        }
    }

    pub(crate) fn sync_ends(&mut self, node: usize, incarnation: u32) {
        if !self.is_running(node, incarnation) {
            return;
        }
        let tidies = self.chance.percent(10);
        let Some(run) = self.run(node) else { return };
        let batch = match run.sync() {
            Ok(batch) => batch,
            Err(error) => return self.fault(Promise::HostIsUsable, node, format!("the store does not sync: {error}")),
        };
        if tidies && let Err(error) = run.store.tidy(64 << 10) {
            return self.fault(Promise::HostIsUsable, node, format!("the store does not tidy: {error}"));
        }
        for (_, changes) in &batch {
            self.model.synced(node, changes);
        }
        let Some((upto, _)) = batch.last() else { return };
        if let Some(host) = self.hosts.get_mut(node) {
            // Its birth is on disk now, and need not be told again.
            host.is_reborn = false;
        }
        self.plan(0, What::SyncBegins { node, incarnation });
        self.input(node, Input::Stored { upto: *upto });
        self.stop_if_synced(node);
    }

    /// A process that was told to stop exits once all that it asked for is synced.
    pub(crate) fn stop_if_synced(&mut self, node: usize) {
        let Some(host) = self.hosts.get_mut(node) else { return };
        let is_done =
            host.run.as_ref().is_some_and(|run| run.is_stopped && run.waiting.is_empty() && run.syncing.is_none());
        if !is_done {
            return;
        }
        let Some(run) = host.run.take() else { return };
        if let Err(error) = run.store.close() {
            self.fault(Promise::HostIsUsable, node, format!("the store does not close: {error}"));
        }
        self.story.tell(self.now, Some(node), || "STOPPED in peace".into());
        self.process_ended(node);
        let after = self.chance.skewed(10 * MILLI, 5 * SECOND);
        self.plan(after, What::Start { node });
    }
}

type Found = Vec<(EntryNumber, Option<Entry>)>;

fn read_all(store: &Store<crate::disk::SimDisk>, records: &[store::RecordNumber]) -> Found {
    let read = |number: &store::RecordNumber| {
        let entry = store.load(*number).ok().and_then(|bytes| Entry::read(bytes).ok());
        (EntryNumber::new(number.get()), entry)
    };
    records.iter().map(read).collect()
}

/// As the daemon makes it: records verified anew, and nothing of what was said.
fn past_of(found: &Found, highest: u64, is_clean: bool, is_reborn: bool) -> Result<Past, String> {
    let mut entries = Vec::with_capacity(found.len());
    let mut lost = false;
    for (number, entry) in found {
        let Some(entry) = entry else {
            lost = true;
            continue;
        };
        entries.push((*number, past_entry(entry.clone())?));
    }
    Ok(Past { entries, highest, is_clean, is_reborn: is_reborn || lost })
}

fn past_entry(entry: Entry) -> Result<PastEntry, String> {
    let bytes = match &entry {
        Entry::Owned { parts, .. } | Entry::Received { parts, .. } | Entry::Dead { parts, .. } => parts.bytes(),
        Entry::Record(carried) => {
            return match forge::read_record(carried.clone()) {
                Ok(Record::Agent(known)) => Ok(PastEntry::Agent(known)),
                Ok(Record::Node(known)) => Ok(PastEntry::Node(known)),
                Ok(Record::Revocations(_)) => Err("a list of revocations in the journal".into()),
                Err(refusal) => Err(format!("a record in the journal: {refusal}")),
            };
        }
        Entry::Stub(_)
        | Entry::Mark(_)
        | Entry::Moved(..)
        | Entry::Birth(_)
        | Entry::MarksDropped(_)
        | Entry::Delivered(_)
        | Entry::ClockSuspended(_)
        | Entry::Died { .. }
        | Entry::Revived { .. }
        | Entry::Clock(_) => 0,
    };
    let parts = Parts::default();
    Ok(match entry {
        Entry::Owned { letter, place, .. } => PastEntry::Entry(Entry::Owned { letter, place, parts }, bytes),
        Entry::Received { received, .. } => PastEntry::Entry(Entry::Received { received, parts }, bytes),
        Entry::Dead { dead, .. } => PastEntry::Entry(Entry::Dead { dead, parts }, bytes),
        other @ (Entry::Record(_)
        | Entry::Stub(_)
        | Entry::Mark(_)
        | Entry::Moved(..)
        | Entry::Birth(_)
        | Entry::MarksDropped(_)
        | Entry::Delivered(_)
        | Entry::ClockSuspended(_)
        | Entry::Died { .. }
        | Entry::Revived { .. }
        | Entry::Clock(_)) => PastEntry::Entry(other, 0),
    })
}

fn options_of(host: &Host, trust: Trust, without: Option<mesh::Rule>) -> Options {
    let node = HostedAgent {
        id: host.id.agent(),
        public_key: forge::public_key(host.id.agent()),
        name: host.name.clone(),
        uid: 0,
    };
    let addresses = vec![format!("{}:7700", host.name).into()];
    Options {
        bounds: mesh::Bounds::default(),
        node,
        addresses,
        trust,
        blocked: host.blocked.clone(),
        agents: host.agents.clone(),
        hops: 8,
        rules: without.map_or_else(mesh::Rules::default, mesh::Rules::without),
    }
}
