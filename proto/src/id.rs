//! Names for things: ids that are hashes, ids that are drawn, and the names that people type.
//! This module never hashes; `keys` makes an [`AgentId`] from a public key.

use core::fmt;

use crate::limits;

mod text;

pub use text::{IdTextError, Name, NameError};

/// Who an agent is: the SHA-256 of its Ed25519 public key. A node is an agent too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId([u8; limits::ID_BYTES]);

impl AgentId {
    /// At the door: "my own node" as a destination, "no agent yet" as a source. Refused from the wire.
    pub const ZERO: Self = Self([0; limits::ID_BYTES]);

    /// An id from its bytes.
    #[must_use]
    pub const fn new(bytes: [u8; limits::ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes as they stand in a header.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; limits::ID_BYTES] {
        &self.0
    }

    /// Whether all bytes are zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

/// Who a node is. The same kind of hash as an [`AgentId`], kept apart so that one is never taken for the other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(AgentId);

impl NodeId {
    /// The node whose key hashes to this.
    #[must_use]
    pub const fn new(id: AgentId) -> Self {
        Self(id)
    }

    /// The node, spoken of as an agent.
    #[must_use]
    pub const fn agent(self) -> AgentId {
        self.0
    }

    /// The bytes of the hash.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; limits::ID_BYTES] {
        self.0.as_bytes()
    }
}

/// Which message: 64 random bits. Frames of a stream carry the stream's id here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(u64);

impl MessageId {
    /// An id from its number, as read or drawn.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Reads the 16 lowercase hex digits that [`fmt::Display`] writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() != 16 || !digits {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

/// A place in a flow, from 1; zero is "no place". In STORED it is the mark, in a chunk the index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Sequence(u32);

impl Sequence {
    /// No place in any flow.
    pub const NONE: Self = Self(0);

    /// A sequence from its number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Whether this is a place at all.
    #[must_use]
    pub const fn is_place(self) -> bool {
        self.0 != 0
    }
}

/// Which numbering of a flow: the source's clock in ns, its lowest bit the kind of flow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FlowId(u64);

/// The two kinds of flow between a source and a destination. A question cannot hold up an answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FlowKind {
    /// REQUEST and BROADCAST.
    Messages,
    /// RESPONSE, and ACK and ERROR that end a message.
    Answers,
}

impl FlowId {
    /// A flow id from its number, if that is in range.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        if number == 0 || number > limits::FLOW_ID_MAX {
            return None;
        }
        Some(Self(number))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Which kind of flow this names.
    #[must_use]
    pub const fn kind(self) -> FlowKind {
        if self.0 & 1 == 0 { FlowKind::Messages } else { FlowKind::Answers }
    }
}

/// A name for one of a destination's prekeys: the first bytes of its hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrekeyId([u8; limits::PREKEY_ID_BYTES]);

impl PrekeyId {
    /// An id from its bytes.
    #[must_use]
    pub const fn new(bytes: [u8; limits::PREKEY_ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes as they open a sealed content.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; limits::PREKEY_ID_BYTES] {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageId({self})")
    }
}

impl fmt::Debug for PrekeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrekeyId({:08x})", u32::from_be_bytes(self.0))
    }
}
