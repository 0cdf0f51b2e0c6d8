//! The part that touches the world: sockets, QUIC, disk, clock, and keys in use. It decides nothing about messages:
//! that is `mesh`, which one task of this crate owns and feeds.
//!
//! [`App`] is the whole daemon inside a process, for `aicpd`, tests and benches. A message passes these tasks and no
//! others: session (agents' door), node, link writer (signs, seals), the wire, stream (verifies, opens), node,
//! session. Durable ones wait for the journal's thread in between.

mod agent;
mod app;
pub mod cli;
mod clock;
mod crypto;
pub mod drain;
mod echo;
mod error;
pub mod files;
pub mod fsck;
mod groups;
mod inherited;
mod journal;
mod load;
mod member;
mod node_task;
mod peer;
mod policy;
mod pulse;
mod reload;
mod shared;
mod status;
pub mod systemd;
mod tables;
mod tasks;
pub mod telemetry;
mod unix_socket;
mod vault;

pub use app::App;
pub use error::{Failure, StartError};
pub use inherited::{AgentSocket, Inherited};
pub use vault::StateDir;
