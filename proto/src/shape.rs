//! What a frame can be: the table of type, receipt, flags and sequence (`docs/PROTOCOL.md`, section 3).
//! Pure classification; lengths and bytes are judged elsewhere.

use crate::{FlowKind, Refusal, Sequence, limits};

/// Which boundary a frame crosses. Each has a table of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Boundary {
    /// Between two nodes.
    Wire,
    /// From an agent to its daemon.
    Up,
    /// From a daemon to its agent.
    Down,
}

/// The type byte.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MessageType {
    /// An agent asks or tells.
    Request = 1,
    /// The answer to a REQUEST.
    Response = 2,
    /// A receipt.
    Ack = 3,
    /// What went wrong.
    Error = 4,
    /// Are you there?
    Ping = 5,
    /// One of several copies of a message to a topic.
    Broadcast = 6,
}

impl MessageType {
    pub(crate) const fn read(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Request,
            2 => Self::Response,
            3 => Self::Ack,
            4 => Self::Error,
            5 => Self::Ping,
            6 => Self::Broadcast,
            _ => return None,
        })
    }
}

/// How the body is encoded. Opaque to every daemon.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ContentType {
    /// There is no body.
    None = 0,
    /// MessagePack.
    MessagePack = 1,
    /// Protocol Buffers.
    Protobuf = 2,
    /// JSON.
    Json = 3,
    /// Any bytes.
    Octets = 4,
    /// UTF-8 text.
    Text = 5,
    /// Named in the metadata.
    Named = 255,
}

impl ContentType {
    pub(crate) const fn read(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::None,
            1 => Self::MessagePack,
            2 => Self::Protobuf,
            3 => Self::Json,
            4 => Self::Octets,
            5 => Self::Text,
            255 => Self::Named,
            _ => return None,
        })
    }
}

/// What an ACK confirms.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Receipt {
    /// A PING, or part of a stream. In all other types: nothing.
    None = 0,
    /// On the destination's disk.
    Stored = 1,
    /// Acknowledged by the destination agent.
    Handled = 2,
    /// On the source's disk. Only at the door.
    Accepted = 3,
}

impl Receipt {
    pub(crate) const fn read(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::None,
            1 => Self::Stored,
            2 => Self::Handled,
            3 => Self::Accepted,
            _ => return None,
        })
    }
}

/// The two bytes of flags.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Flags(u16);

impl Flags {
    /// The plain body is sealed.
    pub const ENCRYPTED: Self = Self(0x0001);
    /// The source signed the frame.
    pub const SIGNED: Self = Self(0x0002);
    /// On the wire: it has a place in a flow. At the door: it must be acknowledged.
    pub const REQUIRES_ACK: Self = Self(0x0004);
    /// Part of a stream.
    pub const STREAMING: Self = Self(0x0008);
    /// The last chunk, or the end of a stream.
    pub const FINAL: Self = Self(0x0010);
    /// Low bits that version 1 does not know and so refuses. The high byte is there for version 1 to grow.
    pub const UNKNOWN: Self = Self(0x00e0);

    /// Flags from their bits.
    #[must_use]
    pub const fn new(bits: u16) -> Self {
        Self(bits)
    }

    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether any of `others` is set.
    #[must_use]
    pub const fn any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }
}

/// What is done to a frame before it crosses a boundary.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Protection {
    /// At the door: the kernel knows who is there.
    None,
    /// Signed by the source.
    Signed,
    /// Sealed to the destination, then signed by the source.
    SealedSigned,
    /// Sealed under a stream's secret.
    Sealed,
}

impl Protection {
    /// The flags that say so.
    #[must_use]
    pub const fn flags(self) -> Flags {
        match self {
            Self::None => Flags(0),
            Self::Signed => Flags::SIGNED,
            Self::SealedSigned => Flags::SIGNED.with(Flags::ENCRYPTED),
            Self::Sealed => Flags::ENCRYPTED,
        }
    }

    /// Bytes that it adds to the plain body.
    #[must_use]
    pub const fn overhead(self) -> usize {
        match self {
            Self::None => 0,
            Self::Signed => limits::TRAILER_BYTES,
            Self::SealedSigned => limits::SEALED_OVERHEAD_BYTES,
            Self::Sealed => limits::CHUNK_OVERHEAD_BYTES,
        }
    }
}

/// What a frame is, once type, receipt, flags and sequence are taken together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Shape {
    /// REQUEST, RESPONSE or BROADCAST that is sent at most once and touches no disk.
    Once,
    /// With a place in a flow of this kind (at the door: to be acknowledged).
    Durable(FlowKind),
    /// STORED: a flow's mark.
    Stored,
    /// The answer to a PING.
    Pong,
    /// ERROR outside any flow. Up: the agent refuses a delivery.
    Notice,
    /// PING.
    Ping,
    /// A REQUEST or RESPONSE that opens a stream.
    Opener,
    /// A piece of a stream.
    Chunk,
    /// How much of a stream has come, and how much more may.
    ChunkAck,
    /// The whole stream has come.
    StreamEnd,
    /// The stream is given up.
    StreamAbort,
    /// Up: the agent acknowledges a delivery.
    Handled,
    /// Down: a stage that a submission has reached.
    Told,
}

impl Shape {
    /// The word that `docs/PROTOCOL.md` and the vectors use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Durable(_) => "durable",
            Self::Stored => "stored",
            Self::Pong => "pong",
            Self::Notice => "notice",
            Self::Ping => "ping",
            Self::Opener => "opener",
            Self::Chunk => "chunk",
            Self::ChunkAck => "chunk-ack",
            Self::StreamEnd => "stream-end",
            Self::StreamAbort => "stream-abort",
            Self::Handled => "handled",
            Self::Told => "told",
        }
    }

    /// What must protect it on its way over `boundary`.
    #[must_use]
    pub const fn protection(self, boundary: Boundary) -> Protection {
        if !matches!(boundary, Boundary::Wire) {
            return Protection::None;
        }
        match self {
            Self::Once | Self::Durable(_) | Self::Opener => Protection::SealedSigned,
            Self::Chunk | Self::ChunkAck => Protection::Sealed,
            Self::Stored
            | Self::Pong
            | Self::Notice
            | Self::Ping
            | Self::StreamEnd
            | Self::StreamAbort
            | Self::Handled
            | Self::Told => Protection::Signed,
        }
    }

    /// Flags of a frame of this shape that is not a final chunk, protection aside.
    pub(crate) const fn flags(self) -> Flags {
        match self {
            Self::Durable(_) => Flags::REQUIRES_ACK,
            Self::Opener | Self::Chunk | Self::ChunkAck | Self::StreamAbort => Flags::STREAMING,
            Self::StreamEnd => Flags::STREAMING.with(Flags::FINAL),
            Self::Once | Self::Stored | Self::Pong | Self::Notice | Self::Ping | Self::Handled | Self::Told => Flags(0),
        }
    }

    /// Which encodings the body may have.
    pub(crate) const fn takes(self, message: MessageType, content: ContentType) -> bool {
        match (message, self) {
            (MessageType::Ack, Self::ChunkAck) => matches!(content, ContentType::Octets),
            (MessageType::Ack, _) => matches!(content, ContentType::None),
            (MessageType::Error, _) => {
                matches!(content, ContentType::MessagePack | ContentType::Protobuf | ContentType::Json)
            }
            // The name would have to stand in metadata, and these have none.
            (MessageType::Ping, _) | (_, Self::Chunk) => !matches!(content, ContentType::Named),
            (MessageType::Request | MessageType::Response | MessageType::Broadcast, _) => true,
        }
    }

    /// Longest body.
    #[must_use]
    pub const fn body_bytes_max(self, message: MessageType) -> usize {
        match (self, message) {
            (Self::Once, _)
            | (Self::Durable(_), MessageType::Request | MessageType::Response | MessageType::Broadcast) => {
                limits::BODY_BYTES_MAX
            }
            (Self::Durable(_), MessageType::Error) | (Self::Notice | Self::StreamAbort | Self::Ping, _) => {
                limits::SMALL_BODY_BYTES_MAX
            }
            (Self::Chunk, _) => limits::CHUNK_BYTES_MAX,
            (Self::ChunkAck, _) => limits::CHUNK_ACK_BYTES,
            (Self::Durable(_), MessageType::Ack | MessageType::Ping)
            | (Self::Stored | Self::Pong | Self::Opener | Self::StreamEnd | Self::Handled | Self::Told, _) => 0,
        }
    }

    /// Shortest and longest plain body.
    pub(crate) const fn plain_bytes(self, message: MessageType, boundary: Boundary) -> (usize, usize) {
        let bare = limits::METADATA_LENGTH_BYTES;
        let body = self.body_bytes_max(message);
        match self {
            Self::Pong if matches!(boundary, Boundary::Wire) => (0, 0),
            Self::Chunk => (bare, bare + body),
            Self::ChunkAck | Self::StreamEnd => (bare + body, bare + body),
            Self::Once
            | Self::Durable(_)
            | Self::Stored
            | Self::Pong
            | Self::Notice
            | Self::Ping
            | Self::Opener
            | Self::StreamAbort
            | Self::Handled
            | Self::Told => (bare, bare + limits::METADATA_BYTES_MAX + body),
        }
    }
}

/// Finds the shape, or says why there is none. The protection is judged after it.
pub(crate) fn classify(
    boundary: Boundary,
    message: MessageType,
    receipt: Receipt,
    flags: Flags,
    sequence: Sequence,
) -> Result<Shape, Refusal> {
    let found = if flags.any(Flags::STREAMING) {
        streaming(message, receipt, flags, sequence)
    } else if flags.any(Flags::FINAL) {
        None
    } else {
        match boundary {
            Boundary::Wire => on_the_wire(message, receipt, flags, sequence),
            Boundary::Up | Boundary::Down => at_the_door(boundary, message, receipt, flags, sequence),
        }
    };
    let shape = found.ok_or(Refusal::Shape)?;
    judge_protection(shape.protection(boundary).flags(), flags)?;
    Ok(shape)
}

/// What is missing makes a frame forgeable; what is too much makes it meaningless.
fn judge_protection(needed: Flags, flags: Flags) -> Result<(), Refusal> {
    let both = Flags::SIGNED.with(Flags::ENCRYPTED).bits();
    let there = flags.bits() & both;
    if needed.bits() & !there != 0 {
        return Err(Refusal::Unprotected);
    }
    if there & !needed.bits() != 0 {
        return Err(Refusal::Shape);
    }
    Ok(())
}

fn streaming(message: MessageType, receipt: Receipt, flags: Flags, sequence: Sequence) -> Option<Shape> {
    if flags.any(Flags::REQUIRES_ACK) || receipt != Receipt::None {
        return None;
    }
    let last = flags.any(Flags::FINAL);
    match (message, sequence.is_place(), last) {
        (MessageType::Request | MessageType::Response, false, false) => Some(Shape::Opener),
        (MessageType::Request | MessageType::Response, true, _) => Some(Shape::Chunk),
        (MessageType::Ack, _, false) => Some(Shape::ChunkAck),
        (MessageType::Ack, false, true) => Some(Shape::StreamEnd),
        (MessageType::Error, false, false) => Some(Shape::StreamAbort),
        (
            MessageType::Request
            | MessageType::Response
            | MessageType::Ack
            | MessageType::Error
            | MessageType::Ping
            | MessageType::Broadcast,
            _,
            _,
        ) => None,
    }
}

fn on_the_wire(message: MessageType, receipt: Receipt, flags: Flags, sequence: Sequence) -> Option<Shape> {
    use {MessageType as M, Receipt as R};
    match (message, receipt, flags.any(Flags::REQUIRES_ACK), sequence.is_place()) {
        (M::Request | M::Response | M::Broadcast, _, false, false) => Some(Shape::Once),
        (M::Request | M::Broadcast, _, true, true) => Some(Shape::Durable(FlowKind::Messages)),
        (M::Response | M::Error, _, true, true) | (M::Ack, R::Handled, true, true) => {
            Some(Shape::Durable(FlowKind::Answers))
        }
        (M::Ack, R::Stored, false, true) => Some(Shape::Stored),
        (M::Ack, R::None, false, false) => Some(Shape::Pong),
        (M::Error, _, false, false) => Some(Shape::Notice),
        (M::Ping, _, false, false) => Some(Shape::Ping),
        (M::Request | M::Response | M::Ack | M::Error | M::Ping | M::Broadcast, _, _, _) => None,
    }
}

fn at_the_door(
    boundary: Boundary,
    message: MessageType,
    receipt: Receipt,
    flags: Flags,
    sequence: Sequence,
) -> Option<Shape> {
    use {MessageType as M, Receipt as R};
    if sequence.is_place() {
        return None;
    }
    let down = boundary == Boundary::Down;
    match (message, receipt, flags.any(Flags::REQUIRES_ACK)) {
        (M::Request | M::Response | M::Broadcast, _, false) => Some(Shape::Once),
        (M::Request | M::Broadcast, _, true) => Some(Shape::Durable(FlowKind::Messages)),
        (M::Response, _, true) => Some(Shape::Durable(FlowKind::Answers)),
        (M::Ack, R::Handled, true) | (M::Error, _, true) if down => Some(Shape::Durable(FlowKind::Answers)),
        (M::Ack, R::Handled, false) if !down => Some(Shape::Handled),
        (M::Ack, R::Stored | R::Handled | R::Accepted, false) if down => Some(Shape::Told),
        (M::Ack, R::None, false) if down => Some(Shape::Pong),
        (M::Error, _, false) => Some(Shape::Notice),
        (M::Ping, _, false) => Some(Shape::Ping),
        (M::Ack | M::Error | M::Ping, _, _) => None,
    }
}
