//! What a node can tell about itself, as plain data. The host puts it into words.

use alloc::boxed::Box;
use alloc::vec::Vec;

use proto::{AgentId, Name, NodeId};

use crate::time::Mono;

/// A node at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// The peers of the configuration, or the members of the mesh.
    pub peers: Vec<PeerSummary>,
    /// All agents that are known, those of this node first.
    pub agents: Vec<AgentSummary>,
    /// Messages that this node owns.
    pub outbox_messages: u64,
    /// Their bytes.
    pub outbox_bytes: u64,
    /// Timestamp of the oldest, in ns of the wall clock.
    pub outbox_oldest: Option<u64>,
    /// Ends that are awaited.
    pub awaiting: u64,
    /// Messages that wait for agents of this node.
    pub mailbox_messages: u64,
    /// Their bytes.
    pub mailbox_bytes: u64,
    /// When the oldest of them was taken, in ns of the wall clock.
    pub mailbox_oldest: Option<u64>,
    /// Dead letters.
    pub dead_messages: u64,
    /// Their bytes.
    pub dead_bytes: u64,
    /// Since when the oldest of them is dead, in ns of the wall clock.
    pub dead_oldest: Option<u64>,
    /// Nothing expires, because the clock jumped.
    pub is_suspended: bool,
    /// Nothing new is taken, because the disk has no room.
    pub is_disk_full: bool,
    /// Counters since the start.
    pub stats: Stats,
}

/// One peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerSummary {
    /// Who.
    pub node: NodeId,
    /// What it is called here.
    pub name: Name,
    /// How it is reached.
    pub state: PeerState,
    /// Since when.
    pub since: Mono,
    /// An operator wants no link with it.
    pub is_blocked: bool,
}

/// How a peer is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerState {
    /// Not at all; the next dial waits, or there is no address.
    Down,
    /// A dial is under way.
    Dialing,
    /// Frames can be sent.
    Up,
}

/// One agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentSummary {
    /// Who.
    pub id: AgentId,
    /// What it is called on its node.
    pub name: Name,
    /// Where it lives.
    pub node: NodeId,
    /// What that node is called here.
    pub node_name: Option<Name>,
    /// Its keys are kept here.
    pub is_local: bool,
    /// A client is attached as it, here.
    pub is_attached: bool,
    /// Messages that wait for it here.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// When the oldest of them was taken, in ns of the wall clock.
    pub oldest: Option<u64>,
    /// Messages that it sent since the start.
    pub sent: u64,
    /// Messages that were given to it since the start.
    pub received: u64,
    /// What it can do.
    pub capabilities: Vec<Box<str>>,
    /// Which broadcasts it wants.
    pub topics: Vec<Box<str>>,
}

macro_rules! stats {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counters since the start.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
        pub struct Stats {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Stats {
            /// What each of them counts, by its name.
            pub const MEANINGS: &'static [(&'static str, &'static str)] =
                &[$((stringify!($name), concat!($($doc),+)),)+];

            /// All of them with their names.
            #[must_use]
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                alloc::vec![$((stringify!($name), self.$name),)+]
            }
        }
    };
}

stats! {
    /// Durable messages taken from agents.
    accepted,
    /// Messages that their destination has stored.
    settled,
    /// Attempts to send what is durable, repeats included.
    attempts,
    /// Durable messages taken from the wire.
    received,
    /// Frames at or below a mark.
    duplicates,
    /// Frames that came before their turn and were kept.
    early,
    /// Frames that could not be kept, and come again.
    dropped,
    /// Messages that found no room here, and whose source was told so.
    said_full,
    /// Times that a destination said that it is full.
    heard_full,
    /// Frames of an older flow.
    older_flows,
    /// Renumberings of what is owned.
    renumbered,
    /// Deliveries to agents, repeats included.
    deliveries,
    /// Deliveries that were not acknowledged.
    failed_deliveries,
    /// Answers that nobody waited for.
    unwanted_answers,
    /// Messages that expired here.
    expired,
    /// Messages that became dead letters.
    dead,
    /// Dead letters that had to make way for newer ones.
    dead_dropped,
    /// Jumps of the wall clock.
    clock_jumps,
    /// Messages that go at most once.
    once,
    /// Those that were stale, or had been delivered before.
    stale,
    /// Messages that no rule allowed.
    policy_refused,
    /// What peers said and the contract does not allow.
    ignored,
}
