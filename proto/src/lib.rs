//! What is said: every byte that crosses a wire or outlives a restart.
//!
//! The contract is `docs/PROTOCOL.md`; this crate is its codec and does no cryptography. Decoding never panics
//! and never allocates by a length that it has not checked against what is there.
//!
//! A frame is read in steps, each with a type of its own:
//!
//! 1. [`Header`]: the 96 bytes are possible, and the frame has a [`Shape`] with the protection it needs.
//! 2. [`Frame`]: header, content and trailer, still holding the bytes as received.
//! 3. [`Verified`]`<Frame>`: `keys` found the source's signature to hold over those bytes.
//! 4. [`Content`]: what was inside, opened and checked: [`Metadata`] and an opaque body.
//!
//! # Words
//!
//! - *agent*: whatever holds an Ed25519 key and is named by its hash; *node*: a daemon, an agent too.
//! - *wire*: between two nodes; *door*: between an agent and its daemon, *up* towards the daemon, *down* from it.
//! - *durable*: with a place in a flow, kept on disk until its end is known; *once*: sent at most once, no disk.
//! - *flow*: the numbered durable frames of one source, destination and kind; *mark*: all up to it is settled;
//!   *floor*: the lowest place that the source still owns.
//! - *prekey*: an agent's short-lived key that others seal to; *record*: what an agent or node signed about itself.

mod content;
pub mod control;
mod door;
pub mod entry;
mod error;
mod frame;
mod header;
mod id;
pub mod limits;
pub mod link;
pub mod member;
pub mod metadata;
mod msgpack;
mod plain;
pub mod record;
mod shape;
mod verified;

pub use content::Content;
pub use door::DoorEvent;
pub use error::{ErrorCode, Refusal};
pub use frame::{Frame, Sealed};
pub use header::{CanonicalHeader, Draft, Header, HeaderError};
pub use id::{AgentId, FlowId, FlowKind, IdTextError, MessageId, Name, NameError, NodeId, PrekeyId, Sequence};
pub use metadata::Metadata;
pub use plain::is_active;
pub use shape::{Boundary, ContentType, Flags, MessageType, Protection, Receipt, Shape};
pub use verified::Verified;
