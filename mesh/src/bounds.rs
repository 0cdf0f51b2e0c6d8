//! How much may wait where. The bounds that an operator may want otherwise; all others stand in `proto::limits`.

use proto::limits::{
    DELIVERIES_FAILED_MAX, LARGE_FRAMES_BYTES, MAILBOX_BYTES_MAX, MAILBOX_MESSAGES_MAX, NODE_BYTES_MAX,
    OUTBOX_BYTES_MAX, OUTBOX_MESSAGES_MAX, PAIR_BYTES_MAX, PAIR_MESSAGES_MAX, PEER_BYTES_MAX, PEER_MESSAGES_MAX,
};

/// Messages and their bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Share {
    /// How many.
    pub messages: usize,
    /// Bytes of metadata and body.
    pub bytes: u64,
}

impl Share {
    pub(crate) const fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }

    pub(crate) const fn take(&mut self, bytes: usize) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes as u64);
    }

    /// Whether one more message of that length stays within `most`.
    pub(crate) const fn fits(self, bytes: usize, most: Self) -> bool {
        self.messages < most.messages && self.bytes.saturating_add(bytes as u64) <= most.bytes
    }
}

/// How much may wait where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// What one agent's messages take until they are stored at their destination.
    pub outbox: Share,
    /// What waits for one agent.
    pub mailbox: Share,
    /// What one agent may have of another one's mailbox.
    pub pair: Share,
    /// What the agents of one peer may have of all mailboxes.
    pub peer: Share,
    /// Bytes of all that is kept, and of the bodies that the doors are reading.
    pub node_bytes: u64,
    /// Of these, what the doors may be reading at a time.
    pub door_bytes: u64,
    /// Failed deliveries after which a message is given up.
    pub deliveries_failed: u32,
}

impl Bounds {
    /// What holds where the operator said nothing.
    pub const USUAL: Self = Self {
        outbox: Share { messages: OUTBOX_MESSAGES_MAX, bytes: OUTBOX_BYTES_MAX as u64 },
        mailbox: Share { messages: MAILBOX_MESSAGES_MAX, bytes: MAILBOX_BYTES_MAX as u64 },
        pair: Share { messages: PAIR_MESSAGES_MAX, bytes: PAIR_BYTES_MAX as u64 },
        peer: Share { messages: PEER_MESSAGES_MAX, bytes: PEER_BYTES_MAX },
        node_bytes: NODE_BYTES_MAX,
        door_bytes: LARGE_FRAMES_BYTES as u64,
        deliveries_failed: DELIVERIES_FAILED_MAX,
    };
}

impl Default for Bounds {
    fn default() -> Self {
        Self::USUAL
    }
}

/// What has no room left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Full {
    Outbox,
    Mailbox,
    Pair,
    Peer,
    Node,
    Disk,
    Answers,
    Pairs,
}

impl Full {
    /// For people.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Outbox => "as much is on its way as one agent may have",
            Self::Mailbox => "the mailbox of that agent is full",
            Self::Pair => "as much of yours waits for that agent as one agent may have there",
            Self::Peer => "as much of your node's waits here as one node may have",
            Self::Node => "as much waits as this node may keep",
            Self::Disk => "the disk of this node has no room",
            Self::Answers => "as many answers wait for you as one may leave unfetched",
            Self::Pairs => "as many pairs of agents are in touch as one node may keep",
        }
    }
}
