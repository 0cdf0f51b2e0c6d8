//! What every task of the daemon can reach: the way to the node, the journal, and the tables. No state of a message
//! lies here.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use keys::NodeKey;
use mesh::{ClientId, Input, LinkId, Summary};
use proto::record::CarriedRecord;
use proto::{Content, Name, NodeId, limits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::Failure;
use crate::clock::Clock;
use crate::journal::Journal;
use crate::tables::{HostedAgents, Links, Peers, PublicKeys, Sessions};
use crate::tasks::Tasks;
use crate::telemetry::counters::Refused;

/// What the node's task is given.
#[derive(Debug)]
pub(crate) enum Ask {
    /// A fact, and the room that its bytes take until the core has seen it.
    Fact(Input, Option<Room>),
    /// A question to the node itself.
    Question {
        /// Who asks.
        client: ClientId,
        /// What.
        content: Box<Content>,
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
    _of_link: Option<OwnedSemaphorePermit>,
}

impl Room {
    pub(crate) const fn new(all: OwnedSemaphorePermit, of_link: Option<OwnedSemaphorePermit>) -> Self {
        Self { _all: all, _of_link: of_link }
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
    pub(crate) to_node: mpsc::Sender<Ask>,
    pub(crate) journal: Journal,
    pub(crate) sessions: Sessions,
    pub(crate) links: Links,
    pub(crate) peers: Peers,
    pub(crate) keys: PublicKeys,
    pub(crate) hosted: HostedAgents,
    /// This node's record, once it is signed. No link says HELLO before.
    pub(crate) own_record: watch::Sender<Option<CarriedRecord>>,
    /// Bytes of large frames that may still be buffered.
    pub(crate) large: Arc<Semaphore>,
    /// Why the daemon has to end, once it has to.
    pub(crate) failure: watch::Sender<Option<Failure>>,
    pub(crate) tasks: Tasks,
    pub(crate) refused: RefusedAt,
    numbers: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        clock: Clock,
        node_key: Arc<NodeKey>,
        name: Name,
        state_dir: PathBuf,
        to_node: mpsc::Sender<Ask>,
        journal: Journal,
        failure: watch::Sender<Option<Failure>>,
    ) -> Self {
        let node = node_key.id();
        Self {
            clock,
            node_key,
            node,
            name,
            state_dir,
            to_node,
            journal,
            sessions: Sessions::default(),
            links: Links::default(),
            peers: Peers::default(),
            keys: PublicKeys::default(),
            hosted: HostedAgents::default(),
            own_record: watch::Sender::new(None),
            large: Arc::new(Semaphore::new(limits::LARGE_FRAMES_BYTES)),
            failure,
            tasks: Tasks::default(),
            refused: RefusedAt::default(),
            numbers: AtomicU64::new(1),
        }
    }

    /// Waits while the node has more to do than fits its queue. A node that has ended hears nothing.
    pub(crate) async fn tell(&self, input: Input) {
        drop(self.to_node.send(Ask::Fact(input, None)).await);
    }

    /// The same, with the room that the bytes in it take.
    pub(crate) async fn tell_with(&self, input: Input, room: Option<Room>) {
        drop(self.to_node.send(Ask::Fact(input, room)).await);
    }

    pub(crate) fn new_client(&self) -> ClientId {
        ClientId(self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn new_link(&self) -> LinkId {
        LinkId(self.numbers.fetch_add(1, Ordering::Relaxed))
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
