//! The 96 bytes: a checked copy of received ones, and the way to make them. Nothing here allocates.

use zerocopy::byteorder::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::shape::{self, Boundary, ContentType, Flags, MessageType, Receipt, Shape};
use crate::{AgentId, FlowKind, MessageId, Refusal, Sequence, limits};

const VERSION: u8 = 1;
const TTL_AT: usize = 88;

/// The layout, byte for byte.
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Raw {
    version: u8,
    message_type: u8,
    id: U64,
    timestamp: U64,
    source: [u8; limits::ID_BYTES],
    destination: [u8; limits::ID_BYTES],
    payload_length: U32,
    flags: U16,
    ttl: u8,
    content_type: u8,
    initial_ttl: u8,
    receipt: u8,
    sequence: U32,
}

const _: () = assert!(size_of::<Raw>() == limits::HEADER_BYTES);
const _: () = assert!(core::mem::offset_of!(Raw, ttl) == TTL_AT);

/// A header that passed every check that can be made on a header alone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header {
    raw: Raw,
    message_type: MessageType,
    content_type: ContentType,
    receipt: Receipt,
    shape: Shape,
    boundary: Boundary,
}

/// A header as it is hashed and sealed: with the byte that relays change set to zero.
#[derive(Clone, Copy)]
pub struct CanonicalHeader([u8; limits::HEADER_BYTES]);

impl CanonicalHeader {
    /// The 96 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; limits::HEADER_BYTES] {
        &self.0
    }
}

impl core::fmt::Debug for CanonicalHeader {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("CanonicalHeader(..)")
    }
}

/// Why there is no header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeaderError {
    /// More bytes are needed. Nothing was judged.
    #[error("{missing} more bytes are needed")]
    Short {
        /// How many at least.
        missing: usize,
    },
    /// These 96 bytes are no header that we take here.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Everything that a maker of a frame chooses; flags, receipt and lengths follow from it.
#[derive(Clone, Copy, Debug)]
pub struct Draft {
    /// REQUEST, RESPONSE, …
    pub message_type: MessageType,
    /// What kind of frame. With the type and the boundary it gives all flags and the receipt.
    pub shape: Shape,
    /// The message's id, or that of the message it answers.
    pub id: MessageId,
    /// When the source's daemon accepted it, in ns.
    pub timestamp: u64,
    /// Who says it.
    pub source: AgentId,
    /// To whom.
    pub destination: AgentId,
    /// How the body is encoded.
    pub content_type: ContentType,
    /// How far it may travel.
    pub hops: u8,
    /// The place in the flow, the mark, or the index of a chunk.
    pub sequence: Sequence,
    /// For [`Shape::Told`], which stage. Elsewhere it follows from the shape.
    pub told: Receipt,
    /// For [`Shape::Chunk`]: whether it is the last.
    pub last: bool,
}

impl Draft {
    fn receipt(&self) -> Receipt {
        match (self.shape, self.message_type) {
            (Shape::Stored, _) => Receipt::Stored,
            (Shape::Durable(FlowKind::Answers), MessageType::Ack) | (Shape::Handled, _) => Receipt::Handled,
            (Shape::Told, _) => self.told,
            (
                Shape::Once
                | Shape::Durable(_)
                | Shape::Pong
                | Shape::Notice
                | Shape::Ping
                | Shape::Opener
                | Shape::Chunk
                | Shape::ChunkAck
                | Shape::StreamEnd
                | Shape::StreamAbort,
                _,
            ) => Receipt::None,
        }
    }
}

impl Header {
    /// Reads and judges the first 96 of `bytes`, in the order of `docs/PROTOCOL.md`, section 2.
    pub fn read(bytes: &[u8], boundary: Boundary) -> Result<Self, HeaderError> {
        let missing = limits::HEADER_BYTES.saturating_sub(bytes.len());
        let (raw, _) = Raw::read_from_prefix(bytes).map_err(|_| HeaderError::Short { missing })?;
        Ok(Self::judge(raw, boundary)?)
    }

    /// The header of a frame to be made, whose plain body has `plain_bytes`. Judged like a received one.
    pub fn make(draft: &Draft, boundary: Boundary, plain_bytes: usize) -> Result<Self, Refusal> {
        let protection = draft.shape.protection(boundary);
        let last = if draft.last { Flags::FINAL } else { Flags::default() };
        let payload = u32::try_from(plain_bytes + protection.overhead()).map_err(|_| Refusal::TooLarge)?;
        let raw = Raw {
            version: VERSION,
            message_type: draft.message_type as u8,
            id: draft.id.get().into(),
            timestamp: draft.timestamp.into(),
            source: *draft.source.as_bytes(),
            destination: *draft.destination.as_bytes(),
            payload_length: payload.into(),
            flags: draft.shape.flags().with(protection.flags()).with(last).bits().into(),
            ttl: draft.hops,
            content_type: draft.content_type as u8,
            initial_ttl: draft.hops,
            receipt: draft.receipt() as u8,
            sequence: draft.sequence.get().into(),
        };
        let header = Self::judge(raw, boundary)?;
        if header.shape != draft.shape {
            return Err(Refusal::Shape);
        }
        Ok(header)
    }

    fn judge(raw: Raw, boundary: Boundary) -> Result<Self, Refusal> {
        if raw.version != VERSION {
            return Err(Refusal::Version);
        }
        let message_type = MessageType::read(raw.message_type).ok_or(Refusal::Type)?;
        let flags = Flags::new(raw.flags.get());
        if flags.any(Flags::UNKNOWN) {
            return Err(Refusal::Flags);
        }
        if raw.initial_ttl > limits::HOPS_MAX || raw.ttl > raw.initial_ttl {
            return Err(Refusal::Hops);
        }
        let content_type = ContentType::read(raw.content_type).ok_or(Refusal::ContentType)?;
        let receipt = judge_receipt(raw.receipt, message_type, boundary)?;
        let zeros = Zeros { source: raw.source == [0; 32], destination: raw.destination == [0; 32] };
        if !zeros.fit(boundary) {
            return Err(Refusal::ZeroId);
        }
        let sequence = Sequence::new(raw.sequence.get());
        let shape = shape::classify(boundary, message_type, receipt, flags, sequence)?;
        if boundary == Boundary::Up && !zeros.fit_shape(message_type, shape) {
            return Err(Refusal::ZeroId);
        }
        if !shape.takes(message_type, content_type) {
            return Err(Refusal::ContentType);
        }
        let (least, most) = shape.plain_bytes(message_type, boundary);
        let overhead = shape.protection(boundary).overhead();
        let length = usize::try_from(raw.payload_length.get()).map_err(|_| Refusal::TooLarge)?;
        if length < least + overhead {
            return Err(Refusal::Length);
        }
        if length > most + overhead {
            return Err(Refusal::TooLarge);
        }
        Ok(Self { raw, message_type, content_type, receipt, shape, boundary })
    }

    /// What kind of frame this is.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Which boundary it was judged for.
    #[must_use]
    pub const fn boundary(&self) -> Boundary {
        self.boundary
    }

    /// REQUEST, RESPONSE, …
    #[must_use]
    pub const fn message_type(&self) -> MessageType {
        self.message_type
    }

    /// How the body is encoded.
    #[must_use]
    pub const fn content_type(&self) -> ContentType {
        self.content_type
    }

    /// What an ACK confirms.
    #[must_use]
    pub const fn receipt(&self) -> Receipt {
        self.receipt
    }

    /// The message's id, or that of the message it answers.
    #[must_use]
    pub const fn id(&self) -> MessageId {
        MessageId::new(self.raw.id.get())
    }

    /// When the source's daemon accepted it, in ns.
    #[must_use]
    pub const fn timestamp(&self) -> u64 {
        self.raw.timestamp.get()
    }

    /// Who claims to say it.
    #[must_use]
    pub const fn source(&self) -> AgentId {
        AgentId::new(self.raw.source)
    }

    /// To whom.
    #[must_use]
    pub const fn destination(&self) -> AgentId {
        AgentId::new(self.raw.destination)
    }

    /// All flags as they stand, those of the high byte too.
    #[must_use]
    pub const fn flags(&self) -> Flags {
        Flags::new(self.raw.flags.get())
    }

    /// Hops left.
    #[must_use]
    pub const fn ttl(&self) -> u8 {
        self.raw.ttl
    }

    /// Hops it was given at the source.
    #[must_use]
    pub const fn initial_ttl(&self) -> u8 {
        self.raw.initial_ttl
    }

    /// Place in a flow, mark, or index of a chunk.
    #[must_use]
    pub const fn sequence(&self) -> Sequence {
        Sequence::new(self.raw.sequence.get())
    }

    /// Bytes after the header. Bounded by the shape.
    #[must_use]
    pub const fn payload_bytes(&self) -> usize {
        // Judged against the shape's longest payload, which fits.
        self.raw.payload_length.get() as usize
    }

    /// Bytes of the plain body inside the payload.
    #[must_use]
    pub const fn plain_bytes(&self) -> usize {
        self.payload_bytes() - self.shape.protection(self.boundary).overhead()
    }

    /// The bytes as they travel.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; limits::HEADER_BYTES] {
        zerocopy::transmute!(self.raw)
    }

    /// The bytes as they are signed and sealed.
    #[must_use]
    pub fn canonical(&self) -> CanonicalHeader {
        let mut raw = self.raw;
        raw.ttl = 0;
        CanonicalHeader(zerocopy::transmute!(raw))
    }

    /// The byte that a relay writes before it sends the frame on; `None` if the frame's journey ends here (4006).
    #[must_use]
    pub const fn ttl_of_next_hop(&self) -> Option<u8> {
        self.raw.ttl.checked_sub(1)
    }

    /// Where that byte stands.
    pub(crate) const fn ttl_at() -> usize {
        TTL_AT
    }
}

/// Which of the two ids are zeros. Only the door knows what that means.
#[derive(Clone, Copy)]
struct Zeros {
    source: bool,
    destination: bool,
}

impl Zeros {
    const fn fit(self, boundary: Boundary) -> bool {
        match boundary {
            Boundary::Wire => !self.source && !self.destination,
            Boundary::Up => true,
            Boundary::Down => !self.source,
        }
    }

    /// Up: destination zeros are the node, or all who want a topic; source zeros are a client that is no agent.
    const fn fit_shape(self, message: MessageType, shape: Shape) -> bool {
        let to_node = matches!((message, shape), (MessageType::Request, Shape::Once) | (MessageType::Ping, _));
        let to_topic = matches!((message, shape), (MessageType::Broadcast, Shape::Once | Shape::Durable(_)));
        let destination_fits = !self.destination || to_node || to_topic;
        let source_fits = !self.source || (to_node && self.destination);
        destination_fits && source_fits
    }
}

fn judge_receipt(byte: u8, message: MessageType, boundary: Boundary) -> Result<Receipt, Refusal> {
    let receipt = Receipt::read(byte).ok_or(Refusal::Receipt)?;
    let fits = match (message, boundary) {
        (MessageType::Ack, Boundary::Wire) => receipt != Receipt::Accepted,
        (MessageType::Ack, Boundary::Up) => receipt == Receipt::Handled,
        (MessageType::Ack, Boundary::Down) => true,
        (
            MessageType::Request
            | MessageType::Response
            | MessageType::Error
            | MessageType::Ping
            | MessageType::Broadcast,
            _,
        ) => receipt == Receipt::None,
    };
    if fits { Ok(receipt) } else { Err(Refusal::Receipt) }
}

impl core::fmt::Debug for Header {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Header")
            .field("type", &self.message_type)
            .field("shape", &self.shape)
            .field("id", &self.id())
            .field("source", &self.source())
            .field("destination", &self.destination())
            .field("sequence", &self.sequence().get())
            .field("payload", &self.payload_bytes())
            .finish_non_exhaustive()
    }
}
