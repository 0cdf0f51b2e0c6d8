//! What every task of the daemon can reach: the way to the node, the journal, and the tables. No state of a message
//! lies here.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use config::Config;
use keys::NodeKey;
use mesh::{ClientId, Input, LinkId, Summary};
use proto::record::CarriedRecord;
use proto::{Content, Name, NodeId, limits};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::Failure;
use crate::clock::Clock;
use crate::journal::Journal;
use crate::member::Members;
use crate::reload::Live;
use crate::tables::{HostedAgents, Links, Peers, PublicKeys, Sessions, Users};
use crate::tasks::Tasks;
use crate::telemetry::counters::Refused;

/// What the node's task is given.
#[derive(Debug)]
pub(crate) enum Ask {
    /// A fact, and the room that its bytes and itself take until the core has seen it.
    Fact(Input, Option<Room>, Option<Turn>),
    /// A question to the node itself.
    Question {
        /// Who asks.
        client: ClientId,
        /// What.
        content: Box<Content>,
        /// The place that it takes until it is answered.
        turn: Turn,
    },
    /// Whether it answers at all.
    Alive(oneshot::Sender<()>),
    /// What the core can tell about itself.
    Summary(oneshot::Sender<Box<Summary>>),
}

/// What the doors have refused.
#[derive(Debug, Default)]
pub(crate) struct RefusedAt {
    pub(crate) agents: Refused,
    pub(crate) peers: Refused,
}

/// Room for the bytes of a large frame. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

/// Places that a connection or link has among the facts that wait for the node. They are free again when this
/// is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

/// All places of one connection or link: it may not fill the node's queue, for others would wait behind it.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    free: Arc<Semaphore>,
    all: u32,
}

impl Turns {
    pub(crate) fn new(most: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(1))), all: most }
    }

    /// Waits until one is free.
    pub(crate) async fn take(&self) -> Turn {
        Turn { _permit: Arc::clone(&self.free).acquire_owned().await.ok() }
    }

    /// Waits until all are free, and takes them, for what keeps the node busy for long.
    pub(crate) async fn take_all(&self) -> Turn {
        Turn { _permit: Arc::clone(&self.free).acquire_many_owned(self.all).await.ok() }
    }
}

impl Room {
    /// Of all, and of the one link or user that it counts against.
    pub(crate) const fn new(all: OwnedSemaphorePermit, own: OwnedSemaphorePermit) -> Self {
        Self { _all: all, _own: own }
    }
}

/// The way to the node's task, its journal, and the tables.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) node_key: Arc<NodeKey>,
    pub(crate) node: NodeId,
    pub(crate) name: Name,
    pub(crate) state_dir: PathBuf,
    /// The configuration, and what of it changes while the daemon runs.
    pub(crate) live: Live,
    pub(crate) to_node: mpsc::Sender<Ask>,
    pub(crate) journal: Journal,
    pub(crate) sessions: Sessions,
    pub(crate) links: Links,
    pub(crate) peers: Peers,
    pub(crate) keys: PublicKeys,
    pub(crate) hosted: HostedAgents,
    /// The mesh that this node is in, and the way to the task that looks after it.
    pub(crate) members: Members,
    /// This node's record, once it is signed. No link says HELLO before.
    pub(crate) own_record: watch::Sender<Option<CarriedRecord>>,
    pub(crate) users: Users,
    /// Bytes of large frames from peers that may still be buffered.
    pub(crate) large: Arc<Semaphore>,
    /// Likewise from agents.
    pub(crate) large_of_agents: Arc<Semaphore>,
    /// Why the daemon has to end, once it has to.
    pub(crate) failure: watch::Sender<Option<Failure>>,
    /// The daemon is to restart in place.
    pub(crate) restart: Notify,
    pub(crate) tasks: Tasks,
    pub(crate) refused: RefusedAt,
    numbers: AtomicU64,
}

impl Shared {
    #[expect(clippy::too_many_arguments, reason = "each is made by another part of the start, once")]
    pub(crate) fn new(
        clock: Clock,
        node_key: Arc<NodeKey>,
        name: Name,
        config: &Config,
        to_node: mpsc::Sender<Ask>,
        journal: Journal,
        failure: watch::Sender<Option<Failure>>,
        members: Members,
    ) -> Self {
        let node = node_key.id();
        Self {
            clock,
            node_key,
            node,
            name,
            state_dir: config.state_dir.clone(),
            live: Live::new(config),
            to_node,
            journal,
            sessions: Sessions::default(),
            links: Links::default(),
            peers: Peers::default(),
            keys: PublicKeys::default(),
            hosted: HostedAgents::default(),
            members,
            own_record: watch::Sender::new(None),
            users: Users::default(),
            large: Arc::new(Semaphore::new(limits::LARGE_FRAMES_BYTES)),
            large_of_agents: Arc::new(Semaphore::new(limits::LARGE_FRAMES_AGENTS_BYTES)),
            failure,
            restart: Notify::new(),
            tasks: Tasks::default(),
            refused: RefusedAt::default(),
            numbers: AtomicU64::new(1),
        }
    }

    /// Waits while the node has more to do than fits its queue. A node that has ended hears nothing.
    pub(crate) async fn tell(&self, input: Input) {
        drop(self.to_node.send(Ask::Fact(input, None, None)).await);
    }

    /// The same, for what others say as often as they like: with the room that it takes.
    pub(crate) async fn tell_with(&self, input: Input, room: Option<Room>, turns: &Turns) {
        let turn = turns.take().await;
        drop(self.to_node.send(Ask::Fact(input, room, Some(turn))).await);
    }

    pub(crate) fn new_client(&self) -> ClientId {
        ClientId(self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn new_link(&self) -> LinkId {
        LinkId(self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    /// Asks for a restart in place: what was changed counts from then on. Answers that were given before are written.
    pub(crate) fn restart(&self) {
        self.restart.notify_one();
    }

    /// The daemon cannot go on. The first reason counts.
    pub(crate) fn fail(&self, failure: Failure) {
        self.failure.send_if_modified(|told| {
            let is_first = told.is_none();
            told.get_or_insert(failure);
            is_first
        });
    }
}
