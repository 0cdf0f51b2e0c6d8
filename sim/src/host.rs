//! One daemon around the core: its process, its disk, its prekeys, who it knows. It carries things and decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use mesh::{Change, ClientId, HostedAgent, LinkId, Node, Now, TransactionNumber};
use proto::entry::{Entry, EntryNumber};
use proto::member::Validity;
use proto::record::{Known, NodeRecord, Revocations};
use proto::{AgentId, Name, NodeId, PrekeyId, Verified};
use store::{RecordNumber, Store, StoreError, Transaction};

use crate::disk::{Image, SimDisk};
use crate::time::WALL_AT_BIRTH;

/// A node that is there, whether it runs or not.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) id: NodeId,
    pub(crate) name: Name,
    pub(crate) disk: SimDisk,
    /// Counts its starts; what was meant for an earlier one comes to nobody.
    pub(crate) incarnation: u32,
    /// Keys are kept apart from the store, and survive it.
    pub(crate) agents: Vec<HostedAgent>,
    pub(crate) run: Option<Box<Run>>,
    /// When its machine started.
    pub(crate) booted: u64,
    /// Its wall clock, from the world's.
    pub(crate) wall_ahead: i64,
    /// Its next start is told that the store is not what it was.
    pub(crate) is_reborn: bool,
    /// The rules of its operator.
    pub(crate) policy: mesh::Policy,
    /// Copies of its disk.
    pub(crate) backups: Vec<Image>,
    pub(crate) lies: bool,
    /// Its syncs take up to this many times longer, until then.
    pub(crate) slow_until: u64,
    /// Syncs wait until somebody lets them go.
    pub(crate) holds_syncs: bool,
    /// What it needs to be a member of a mesh, if it is one.
    pub(crate) member: Option<Member>,
    /// Nodes that its operator wants no link with.
    pub(crate) blocked: BTreeSet<NodeId>,
    /// It is out, gone or not there yet: nobody need know it, and it need not know anybody.
    pub(crate) is_apart: bool,
}

/// What a member keeps beside its store.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Through whom it came.
    pub(crate) seed: Option<usize>,
    pub(crate) certificate: Validity,
    pub(crate) revoked: Option<Verified<Box<Known<Revocations>>>>,
    /// Times that it asked for a renewal, and times that it was given one.
    pub(crate) asked: u32,
    pub(crate) renewed: u32,
    /// Nobody answers when it asks.
    pub(crate) is_denied: bool,
}

/// The process.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) node: Node,
    pub(crate) store: Store<SimDisk>,
    /// Asked for, and not yet given to the store: a sync is under way.
    pub(crate) waiting: Vec<(TransactionNumber, Vec<Change>)>,
    /// Given to the store, and not yet synced.
    pub(crate) syncing: Option<Vec<(TransactionNumber, Vec<Change>)>>,
    pub(crate) last_transaction: u64,
    pub(crate) prekeys: BTreeMap<[u8; 32], Prekey>,
    /// Whose keys verify frames, in this run.
    pub(crate) learned: BTreeSet<AgentId>,
    pub(crate) learned_nodes: BTreeSet<NodeId>,
    /// Which record of each node it learned last.
    pub(crate) sequences: BTreeMap<NodeId, u64>,
    pub(crate) record: Option<Verified<Box<Known<NodeRecord>>>>,
    pub(crate) links: BTreeMap<LinkId, LinkEnd>,
    pub(crate) clients: BTreeMap<ClientId, ClientEnd>,
    pub(crate) tick_at: Option<u64>,
    pub(crate) ticks_here: u32,
    pub(crate) is_stopping: bool,
    pub(crate) is_stopped: bool,
}

/// A prekey whose secret half is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prekey {
    pub(crate) agent: AgentId,
    pub(crate) id: PrekeyId,
    pub(crate) not_after: u64,
}

/// One end of a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkEnd {
    pub(crate) wire: usize,
    pub(crate) side: usize,
    /// Frames handed over, and no room given back for.
    pub(crate) frames_out: u32,
}

/// One connection at the agents' door, as its daemon sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientEnd {
    pub(crate) agent: usize,
    pub(crate) deliveries_out: u32,
    /// What was said last arrives then, and nothing overtakes it.
    pub(crate) heard_at: u64,
    /// Another user, who has no business here.
    pub(crate) is_stranger: bool,
}

impl Host {
    pub(crate) fn wall(&self, now: u64) -> u64 {
        (WALL_AT_BIRTH + now).saturating_add_signed(self.wall_ahead)
    }

    pub(crate) fn now(&self, now: u64) -> Now {
        Now { mono: mesh::Mono(now - self.booted), wall: mesh::Wall(self.wall(now)) }
    }
}

impl Run {
    /// Hands what waits to the store. Whether there was anything.
    pub(crate) fn append(&mut self) -> Result<bool, StoreError> {
        if self.waiting.is_empty() || self.syncing.is_some() {
            return Ok(false);
        }
        let batch = std::mem::take(&mut self.waiting);
        for (_, changes) in &batch {
            self.store.append(transaction(changes))?;
        }
        self.syncing = Some(batch);
        Ok(true)
    }

    /// Syncs what was handed over, and says what that was.
    pub(crate) fn sync(&mut self) -> Result<Vec<(TransactionNumber, Vec<Change>)>, StoreError> {
        self.store.sync()?;
        Ok(self.syncing.take().unwrap_or_default())
    }

    /// Reads an entry as it lies in the store.
    pub(crate) fn load(&self, entry: EntryNumber) -> Option<Entry> {
        let bytes = self.store.load(RecordNumber::new(entry.get())).ok()?;
        Entry::read(bytes).ok()
    }
}

fn transaction(changes: &[Change]) -> Transaction {
    changes.iter().fold(Transaction::new(), |transaction, change| match change {
        Change::Put(number, bytes) => transaction.put(RecordNumber::new(number.get()), bytes.clone()),
        Change::Forget(number) => transaction.forget(RecordNumber::new(number.get())),
    })
}
