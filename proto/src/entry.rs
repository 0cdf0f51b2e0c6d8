//! What lies in a daemon's journal: one codec per entry, apart from the machine that uses it. The host seals the
//! bytes before they reach the disk, so nothing here is secret or authenticated by itself.
//!
//! The first byte names the entry and the second its form; a form is never changed, only followed by another one.

use bytes::{BufMut, Bytes, BytesMut};

use crate::record::CarriedRecord;
use crate::{AgentId, ContentType, FlowId, MessageId, MessageType, Metadata, NodeId, Refusal, limits};

mod cursor;

use cursor::Cursor;

/// What the core calls an entry. Each is greater than all before it and is never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EntryNumber(u64);

impl EntryNumber {
    /// The entry of that number. The first is 1.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// What an agent said: metadata as it came, and a body that nobody looks into.
#[derive(Clone, Default)]
pub struct Parts {
    /// What the agent said about the body. Keys that daemons set are added when it is sent.
    pub metadata: Metadata,
    /// What one agent says to another.
    pub body: Bytes,
}

impl Parts {
    /// Bytes of both.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.metadata.as_bytes().len() + self.body.len()
    }
}

impl core::fmt::Debug for Parts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Parts").field("metadata", &self.metadata).field("body_bytes", &self.body.len()).finish()
    }
}

/// A durable message, whoever owns it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Letter {
    /// Who said it.
    pub source: AgentId,
    /// To whom.
    pub destination: AgentId,
    /// Its id, or that of the message it answers.
    pub id: MessageId,
    /// REQUEST, RESPONSE, BROADCAST, ACK (HANDLED) or ERROR.
    pub message_type: MessageType,
    /// How the body is encoded.
    pub content_type: ContentType,
    /// When the source's daemon accepted it, in ns.
    pub timestamp: u64,
    /// When it stops being worth delivering, in ns.
    pub expiry: u64,
    /// The sender wants to hear of its end.
    pub handled_wanted: bool,
    /// It may have been delivered before under the same id.
    pub again: bool,
}

/// Where a flow's numbering stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// Which numbering.
    pub flow: FlowId,
    /// Which place in it; in a mark, the last that is settled.
    pub sequence: u32,
}

/// What is kept of the message that an agent waits for the end of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stub {
    /// Who asked.
    pub source: AgentId,
    /// Who has to answer.
    pub destination: AgentId,
    /// The message.
    pub id: MessageId,
    /// When the message expires, in ns.
    pub expiry: u64,
    /// It was a REQUEST, so a RESPONSE may end it.
    pub is_request: bool,
}

/// How far one pair and kind is settled here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Whose messages.
    pub source: AgentId,
    /// To whom.
    pub destination: AgentId,
    /// All up to here is settled. The flow's lowest bit names the kind.
    pub place: Place,
    /// It is kept until then, in ns of the wall clock.
    pub keep_until: u64,
}

/// A message in the mailbox of an agent on this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// The message.
    pub letter: Letter,
    /// When it was taken, in ns of the wall clock.
    pub received: u64,
    /// The node that hosts the source.
    pub source_node: NodeId,
    /// Hops it took; 0 on one node.
    pub hops: u8,
    /// It may have been delivered before.
    pub marked: bool,
}

/// Why a dead letter died.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeadLetter {
    /// The message.
    pub letter: Letter,
    /// The code that its sender was told, or would have been.
    pub code: u16,
    /// When, in ns of the wall clock.
    pub since: u64,
}

/// One entry of the journal.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A message that this node owns until its destination has stored it.
    Owned {
        /// The message.
        letter: Letter,
        /// Its place in the flow.
        place: Place,
        /// What was said.
        parts: Parts,
    },
    /// The owned message of that entry has another place, and may have been delivered before.
    Moved(EntryNumber, Place),
    /// A message for an agent on this node.
    Received {
        /// The message and how it came.
        received: Received,
        /// What was said.
        parts: Parts,
    },
    /// An end that is awaited.
    Stub(Stub),
    /// How far a pair and kind is settled.
    Mark(Mark),
    /// Who an agent or a node is, as it was signed.
    Record(CarriedRecord),
    /// This store was made, or mended, for an identity that was there before it. In ns of the wall clock.
    Birth(u64),
    /// The latest wall time at which a mark was dropped.
    MarksDropped(u64),
    /// At a clean stop: entries of messages that were delivered and not acknowledged.
    Delivered(Vec<EntryNumber>),
    /// A message that no agent could be told the end of.
    Dead {
        /// The message, and why.
        dead: DeadLetter,
        /// What was said.
        parts: Parts,
    },
    /// Expiry is suspended since that wall time, because the clock jumped.
    ClockSuspended(u64),
    /// The message of that entry is a dead letter.
    Died {
        /// Which.
        entry: EntryNumber,
        /// The code that its sender was told, or would have been.
        code: u16,
        /// Since when, in ns of the wall clock.
        since: u64,
    },
    /// The message of that entry was put back, and lives as if it had been accepted then.
    Revived {
        /// Which.
        entry: EntryNumber,
        /// When, in ns.
        timestamp: u64,
        /// Its new end, in ns.
        expiry: u64,
    },
    /// The wall clock, noted now and again.
    Clock(u64),
}

/// The journal holds something that no version so far wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an entry of the journal is not laid out as one ({what})")]
pub struct EntryError {
    /// Which part does not fit.
    pub what: &'static str,
}

const FORM: u8 = 1;

const OWNED: u8 = 1;
const RECEIVED: u8 = 2;
const STUB: u8 = 3;
const MARK: u8 = 4;
const RECORD: u8 = 5;
const BIRTH: u8 = 6;
const MARKS_DROPPED: u8 = 7;
const DELIVERED: u8 = 8;
const DEAD: u8 = 9;
const CLOCK_SUSPENDED: u8 = 10;
const MOVED: u8 = 11;
const DIED: u8 = 12;
const REVIVED: u8 = 13;
const CLOCK: u8 = 14;

const HANDLED_WANTED: u8 = 1;
const AGAIN: u8 = 2;

impl Entry {
    /// Writes it.
    #[must_use]
    pub fn write(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.bytes_guess());
        out.put_u8(self.kind());
        out.put_u8(FORM);
        match self {
            Self::Owned { letter, place, parts } => {
                put_letter(&mut out, letter);
                put_place(&mut out, place);
                put_parts(&mut out, parts);
            }
            Self::Moved(entry, place) => {
                out.put_u64(entry.get());
                put_place(&mut out, place);
            }
            Self::Received { received, parts } => {
                put_letter(&mut out, &received.letter);
                out.put_u64(received.received);
                out.put_slice(received.source_node.as_bytes());
                out.put_u8(received.hops);
                out.put_u8(received.marked.into());
                put_parts(&mut out, parts);
            }
            Self::Stub(stub) => {
                out.put_slice(stub.source.as_bytes());
                out.put_slice(stub.destination.as_bytes());
                out.put_u64(stub.id.get());
                out.put_u64(stub.expiry);
                out.put_u8(stub.is_request.into());
            }
            Self::Mark(mark) => {
                out.put_slice(mark.source.as_bytes());
                out.put_slice(mark.destination.as_bytes());
                put_place(&mut out, &mark.place);
                out.put_u64(mark.keep_until);
            }
            Self::Record(carried) => out.put_slice(carried.as_bytes()),
            Self::Birth(wall) | Self::MarksDropped(wall) | Self::ClockSuspended(wall) | Self::Clock(wall) => {
                out.put_u64(*wall);
            }
            Self::Died { entry, code, since } => {
                out.put_u64(entry.get());
                out.put_u16(*code);
                out.put_u64(*since);
            }
            Self::Revived { entry, timestamp, expiry } => {
                out.put_u64(entry.get());
                out.put_u64(*timestamp);
                out.put_u64(*expiry);
            }
            Self::Delivered(entries) => {
                for entry in entries {
                    out.put_u64(entry.get());
                }
            }
            Self::Dead { dead, parts } => {
                put_letter(&mut out, &dead.letter);
                out.put_u16(dead.code);
                out.put_u64(dead.since);
                put_parts(&mut out, parts);
            }
        }
        out.freeze()
    }

    /// Reads what [`Entry::write`] wrote, in this version or an earlier one.
    pub fn read(bytes: Bytes) -> Result<Self, EntryError> {
        let mut cursor = Cursor::new(bytes);
        let kind = cursor.u8()?;
        if cursor.u8()? != FORM {
            return Err(EntryError { what: "form" });
        }
        let entry = match kind {
            OWNED => Self::Owned {
                letter: take_letter(&mut cursor)?,
                place: take_place(&mut cursor)?,
                parts: take_parts(&mut cursor)?,
            },
            MOVED => Self::Moved(EntryNumber::new(cursor.u64()?), take_place(&mut cursor)?),
            RECEIVED => Self::Received { received: take_received(&mut cursor)?, parts: take_parts(&mut cursor)? },
            STUB => Self::Stub(Stub {
                source: cursor.agent()?,
                destination: cursor.agent()?,
                id: MessageId::new(cursor.u64()?),
                expiry: cursor.u64()?,
                is_request: cursor.truth()?,
            }),
            MARK => Self::Mark(Mark {
                source: cursor.agent()?,
                destination: cursor.agent()?,
                place: take_place(&mut cursor)?,
                keep_until: cursor.u64()?,
            }),
            RECORD => {
                Self::Record(CarriedRecord::read(cursor.rest()).map_err(|_: Refusal| EntryError { what: "record" })?)
            }
            BIRTH => Self::Birth(cursor.u64()?),
            MARKS_DROPPED => Self::MarksDropped(cursor.u64()?),
            CLOCK_SUSPENDED => Self::ClockSuspended(cursor.u64()?),
            CLOCK => Self::Clock(cursor.u64()?),
            DIED => Self::Died { entry: EntryNumber::new(cursor.u64()?), code: cursor.u16()?, since: cursor.u64()? },
            REVIVED => Self::Revived {
                entry: EntryNumber::new(cursor.u64()?),
                timestamp: cursor.u64()?,
                expiry: cursor.u64()?,
            },
            DELIVERED => {
                let mut entries = Vec::new();
                while !cursor.is_empty() {
                    entries.push(EntryNumber::new(cursor.u64()?));
                }
                Self::Delivered(entries)
            }
            DEAD => {
                let letter = take_letter(&mut cursor)?;
                let dead = DeadLetter { letter, code: cursor.u16()?, since: cursor.u64()? };
                Self::Dead { dead, parts: take_parts(&mut cursor)? }
            }
            _ => return Err(EntryError { what: "kind" }),
        };
        if cursor.is_empty() { Ok(entry) } else { Err(EntryError { what: "length" }) }
    }

    /// What people call this kind of entry.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Owned { .. } => "owned",
            Self::Moved(..) => "moved",
            Self::Received { .. } => "received",
            Self::Stub(_) => "stub",
            Self::Mark(_) => "mark",
            Self::Record(_) => "record",
            Self::Birth(_) => "birth",
            Self::MarksDropped(_) => "marks dropped",
            Self::Delivered(_) => "delivered",
            Self::Dead { .. } => "dead",
            Self::ClockSuspended(_) => "clock suspended",
            Self::Died { .. } => "died",
            Self::Revived { .. } => "revived",
            Self::Clock(_) => "clock",
        }
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Owned { .. } => OWNED,
            Self::Moved(..) => MOVED,
            Self::Received { .. } => RECEIVED,
            Self::Stub(_) => STUB,
            Self::Mark(_) => MARK,
            Self::Record(_) => RECORD,
            Self::Birth(_) => BIRTH,
            Self::MarksDropped(_) => MARKS_DROPPED,
            Self::Delivered(_) => DELIVERED,
            Self::Dead { .. } => DEAD,
            Self::ClockSuspended(_) => CLOCK_SUSPENDED,
            Self::Died { .. } => DIED,
            Self::Revived { .. } => REVIVED,
            Self::Clock(_) => CLOCK,
        }
    }

    fn bytes_guess(&self) -> usize {
        const FIXED: usize = 192;
        match self {
            Self::Owned { parts, .. } | Self::Received { parts, .. } | Self::Dead { parts, .. } => {
                FIXED + parts.bytes()
            }
            Self::Record(carried) => FIXED + carried.as_bytes().len(),
            Self::Delivered(entries) => FIXED + entries.len() * size_of::<u64>(),
            Self::Moved(..)
            | Self::Stub(_)
            | Self::Mark(_)
            | Self::Birth(_)
            | Self::MarksDropped(_)
            | Self::ClockSuspended(_)
            | Self::Died { .. }
            | Self::Revived { .. }
            | Self::Clock(_) => FIXED,
        }
    }
}

fn put_letter(out: &mut BytesMut, letter: &Letter) {
    out.put_slice(letter.source.as_bytes());
    out.put_slice(letter.destination.as_bytes());
    out.put_u64(letter.id.get());
    out.put_u8(letter.message_type as u8);
    out.put_u8(letter.content_type as u8);
    out.put_u64(letter.timestamp);
    out.put_u64(letter.expiry);
    let wanted = if letter.handled_wanted { HANDLED_WANTED } else { 0 };
    out.put_u8(wanted | if letter.again { AGAIN } else { 0 });
}

fn take_letter(cursor: &mut Cursor) -> Result<Letter, EntryError> {
    let source = cursor.agent()?;
    let destination = cursor.agent()?;
    let id = MessageId::new(cursor.u64()?);
    let message_type = MessageType::read(cursor.u8()?).ok_or(EntryError { what: "type" })?;
    let content_type = ContentType::read(cursor.u8()?).ok_or(EntryError { what: "content type" })?;
    let timestamp = cursor.u64()?;
    let expiry = cursor.u64()?;
    let flags = cursor.u8()?;
    let handled_wanted = flags & HANDLED_WANTED != 0;
    Ok(Letter {
        source,
        destination,
        id,
        message_type,
        content_type,
        timestamp,
        expiry,
        handled_wanted,
        again: flags & AGAIN != 0,
    })
}

fn take_received(cursor: &mut Cursor) -> Result<Received, EntryError> {
    Ok(Received {
        letter: take_letter(cursor)?,
        received: cursor.u64()?,
        source_node: NodeId::new(cursor.agent()?),
        hops: cursor.u8()?,
        marked: cursor.truth()?,
    })
}

fn put_place(out: &mut BytesMut, place: &Place) {
    out.put_u64(place.flow.get());
    out.put_u32(place.sequence);
}

fn take_place(cursor: &mut Cursor) -> Result<Place, EntryError> {
    let flow = FlowId::new(cursor.u64()?).ok_or(EntryError { what: "flow" })?;
    Ok(Place { flow, sequence: cursor.u32()? })
}

/// Metadata is bounded by what a frame can hold, and so its length fits two bytes.
fn put_parts(out: &mut BytesMut, parts: &Parts) {
    let metadata = parts.metadata.as_bytes();
    out.put_u16(u16::try_from(metadata.len()).unwrap_or(u16::MAX));
    out.put_slice(metadata);
    out.put_slice(&parts.body);
}

fn take_parts(cursor: &mut Cursor) -> Result<Parts, EntryError> {
    let length = usize::from(cursor.u16()?);
    if length > limits::METADATA_BYTES_MAX {
        return Err(EntryError { what: "metadata" });
    }
    let metadata = Metadata::read(cursor.take(length)?).map_err(|_: Refusal| EntryError { what: "metadata" })?;
    Ok(Parts { metadata, body: cursor.rest() })
}
