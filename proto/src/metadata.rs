//! The map before each body: what the protocol knows about a message, and entries of the applications' own.
//! Which key may stand in which frame is judged in `metadata/place.rs`; nothing here allocates when reading.

use core::ops::Range;

use bytes::Bytes;

use crate::msgpack::{Fault, Reader, is_text};
use crate::{FlowId, MessageId, Name, NodeId, Refusal, limits};

mod draft;
pub(crate) mod place;

pub use draft::{MetadataDraft, Proof, Stage};

/// Integer keys that the protocol knows.
#[expect(missing_docs, reason = "each is a row of the table in docs/PROTOCOL.md, sections 4 and 12")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Key {
    ContentTypeName = 1,
    Expiry = 2,
    FlowId = 3,
    Subject = 4,
    Topic = 5,
    StreamId = 6,
    TotalLength = 7,
    StreamSecret = 8,
    Traceparent = 9,
    SessionId = 10,
    Capability = 11,
    Floor = 12,
    HandledWanted = 13,
    Again = 14,
    DeliveryNumber = 64,
    SourceName = 65,
    SourceNode = 66,
    SourceNodeName = 67,
    Attempt = 68,
    Hops = 69,
    Received = 70,
    Marked = 71,
    Proof = 72,
    LastStage = 73,
    Lease = 74,
    CreditMessages = 75,
    CreditBytes = 76,
}

impl Key {
    /// All of them, in order.
    pub const ALL: [Self; 27] = [
        Self::ContentTypeName,
        Self::Expiry,
        Self::FlowId,
        Self::Subject,
        Self::Topic,
        Self::StreamId,
        Self::TotalLength,
        Self::StreamSecret,
        Self::Traceparent,
        Self::SessionId,
        Self::Capability,
        Self::Floor,
        Self::HandledWanted,
        Self::Again,
        Self::DeliveryNumber,
        Self::SourceName,
        Self::SourceNode,
        Self::SourceNodeName,
        Self::Attempt,
        Self::Hops,
        Self::Received,
        Self::Marked,
        Self::Proof,
        Self::LastStage,
        Self::Lease,
        Self::CreditMessages,
        Self::CreditBytes,
    ];

    fn read(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|key| *key as u64 == number)
    }
}

/// Keys of the door that mean nothing yet and so are refused, unlike other unknown integers.
const RESERVED: Range<u64> = 77..80;
const KEY_MAX: u64 = 127;

/// A place inside the metadata's bytes.
type Span = Option<(u16, u16)>;

/// Metadata that passed every check of form, type and range.
///
/// Texts are kept as places in the bytes that arrived, so reading allocates nothing.
#[derive(Clone, Default)]
pub struct Metadata {
    bytes: Bytes,
    present: u128,
    numbers: Numbers,
    content_type_name: Span,
    subject: Span,
    topic: Span,
    stream_id: Span,
    stream_secret: Span,
    traceparent: Span,
    session_id: Span,
    capability: Span,
    source_name: Span,
    source_node: Span,
    source_node_name: Span,
    application_entries: u32,
}

#[derive(Clone, Copy, Default)]
struct Numbers {
    expiry: u64,
    flow_id: u64,
    total_length: u64,
    floor: u32,
    delivery_number: u64,
    attempt: u32,
    hops: u8,
    received: u64,
    proof: u8,
    last_stage: u8,
    lease: u64,
    credit_messages: u64,
    credit_bytes: u64,
}

impl Metadata {
    /// Reads one map that fills `bytes`, or nothing at all.
    pub fn read(bytes: Bytes) -> Result<Self, Refusal> {
        let mut found = Self::default();
        if !bytes.is_empty() {
            found.walk(&bytes)?;
        }
        found.bytes = bytes;
        Ok(found)
    }

    fn walk(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let mut reader = Reader::new(bytes);
        let entries = reader.map().map_err(|_| Refusal::MetadataForm)?;
        if entries > limits::METADATA_ENTRIES_MAX {
            return Err(Refusal::MetadataKey);
        }
        let mut seen = Seen::none();
        for _ in 0..entries {
            let key = read_key(&mut reader)?;
            if !seen.add(key) {
                return Err(Refusal::MetadataKey);
            }
            self.take_value(key, bytes.len(), &mut reader)?;
        }
        if reader.is_empty() { Ok(()) } else { Err(Refusal::MetadataForm) }
    }

    fn take_value(&mut self, key: RawKey<'_>, all: usize, reader: &mut Reader<'_>) -> Result<(), Refusal> {
        let number = match key {
            RawKey::Number(number) => number,
            RawKey::Text(_) => {
                self.application_entries += 1;
                return reader.skip(1).map_err(|_| Refusal::MetadataForm);
            }
        };
        if RESERVED.contains(&number) {
            return Err(Refusal::MetadataPresence);
        }
        let Some(known) = Key::read(number) else {
            return reader.skip(1).map_err(|_| Refusal::MetadataForm);
        };
        let mut values = Values { reader, all };
        self.take_known(known, &mut values).map_err(|fault| match fault {
            Fault::Form => Refusal::MetadataForm,
            Fault::Type => Refusal::MetadataValue,
        })?;
        self.present |= 1 << number;
        Ok(())
    }

    fn take_known(&mut self, key: Key, values: &mut Values<'_, '_>) -> Result<(), Fault> {
        let n = &mut self.numbers;
        match key {
            Key::ContentTypeName => self.content_type_name = values.text(limits::CONTENT_TYPE_BYTES_MAX)?,
            Key::Expiry => n.expiry = values.uint(0, u64::MAX)?,
            Key::FlowId => n.flow_id = values.uint(1, limits::FLOW_ID_MAX)?,
            Key::Subject => self.subject = values.text(limits::SUBJECT_BYTES_MAX)?,
            Key::Topic => self.topic = values.text(limits::SUBJECT_BYTES_MAX)?,
            Key::StreamId => self.stream_id = values.bin(8)?,
            Key::TotalLength => n.total_length = values.uint(0, u64::MAX)?,
            Key::StreamSecret => self.stream_secret = values.bin(32)?,
            Key::Traceparent => self.traceparent = values.text(limits::TRACEPARENT_BYTES_MAX)?,
            Key::SessionId => self.session_id = values.text(limits::CAPABILITY_BYTES_MAX)?,
            Key::Capability => self.capability = values.text(limits::CAPABILITY_BYTES_MAX)?,
            Key::Floor => n.floor = values.small(1)?,
            Key::HandledWanted | Key::Again | Key::Marked => values.reader.truth()?,
            Key::DeliveryNumber => n.delivery_number = values.uint(0, u64::MAX)?,
            Key::SourceName => self.source_name = values.name()?,
            Key::SourceNode => self.source_node = values.bin(limits::ID_BYTES)?,
            Key::SourceNodeName => self.source_node_name = values.name()?,
            Key::Attempt => n.attempt = values.small(1)?,
            Key::Hops => n.hops = values.byte(0, limits::HOPS_MAX)?,
            Key::Received => n.received = values.uint(0, u64::MAX)?,
            Key::Proof => n.proof = values.byte(1, 2)?,
            Key::LastStage => n.last_stage = values.byte(0, 3)?,
            Key::Lease => n.lease = values.uint(0, u64::MAX)?,
            Key::CreditMessages => n.credit_messages = values.uint(0, u64::MAX)?,
            Key::CreditBytes => n.credit_bytes = values.uint(0, u64::MAX)?,
        }
        Ok(())
    }

    /// Whether `key` stands here.
    #[must_use]
    pub const fn has(&self, key: Key) -> bool {
        self.present >> (key as u8) & 1 == 1
    }

    /// A number's value, if its key stands here.
    #[must_use]
    pub fn number(&self, key: Key) -> Option<u64> {
        let n = &self.numbers;
        let value = match key {
            Key::Expiry => n.expiry,
            Key::FlowId => n.flow_id,
            Key::TotalLength => n.total_length,
            Key::Floor => n.floor.into(),
            Key::DeliveryNumber => n.delivery_number,
            Key::Attempt => n.attempt.into(),
            Key::Hops => n.hops.into(),
            Key::Received => n.received,
            Key::Proof => n.proof.into(),
            Key::LastStage => n.last_stage.into(),
            Key::Lease => n.lease,
            Key::CreditMessages => n.credit_messages,
            Key::CreditBytes => n.credit_bytes,
            Key::ContentTypeName
            | Key::Subject
            | Key::Topic
            | Key::StreamId
            | Key::StreamSecret
            | Key::Traceparent
            | Key::SessionId
            | Key::Capability
            | Key::HandledWanted
            | Key::Again
            | Key::SourceName
            | Key::SourceNode
            | Key::SourceNodeName
            | Key::Marked => return None,
        };
        self.has(key).then_some(value)
    }

    /// A text's value, if its key stands here.
    #[must_use]
    pub fn text(&self, key: Key) -> Option<&str> {
        core::str::from_utf8(self.octets(key)?).ok()
    }

    /// The bytes of a text or of octets, if the key stands here.
    #[must_use]
    pub fn octets(&self, key: Key) -> Option<&[u8]> {
        let span = match key {
            Key::ContentTypeName => self.content_type_name,
            Key::Subject => self.subject,
            Key::Topic => self.topic,
            Key::StreamId => self.stream_id,
            Key::StreamSecret => self.stream_secret,
            Key::Traceparent => self.traceparent,
            Key::SessionId => self.session_id,
            Key::Capability => self.capability,
            Key::SourceName => self.source_name,
            Key::SourceNode => self.source_node,
            Key::SourceNodeName => self.source_node_name,
            Key::Expiry
            | Key::FlowId
            | Key::TotalLength
            | Key::Floor
            | Key::HandledWanted
            | Key::Again
            | Key::DeliveryNumber
            | Key::Attempt
            | Key::Hops
            | Key::Received
            | Key::Marked
            | Key::Proof
            | Key::LastStage
            | Key::Lease
            | Key::CreditMessages
            | Key::CreditBytes => None,
        };
        let (start, end) = span?;
        self.bytes.get(usize::from(start)..usize::from(end))
    }

    /// When the message stops being worth delivering, in ns.
    #[must_use]
    pub fn expiry(&self) -> Option<u64> {
        self.number(Key::Expiry)
    }

    /// The flow in which the frame has its place, or of which it speaks.
    #[must_use]
    pub fn flow_id(&self) -> Option<FlowId> {
        self.number(Key::FlowId).and_then(FlowId::new)
    }

    /// What the message is about.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.text(Key::Subject)
    }

    /// The stream that an opener opens.
    #[must_use]
    pub fn stream_id(&self) -> Option<MessageId> {
        let bytes = self.octets(Key::StreamId)?.try_into().ok()?;
        Some(MessageId::new(u64::from_be_bytes(bytes)))
    }

    /// The node that hosts the source, as far as the daemon proved it.
    #[must_use]
    pub fn source_node(&self) -> Option<NodeId> {
        let bytes = self.octets(Key::SourceNode)?.try_into().ok()?;
        Some(NodeId::new(crate::AgentId::new(bytes)))
    }

    /// Entries of the applications' own: key, and the MessagePack of the value.
    pub fn application(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let mut reader = Reader::new(&self.bytes);
        let entries = if self.application_entries == 0 { 0 } else { reader.map().unwrap_or(0) };
        let mut left = entries;
        core::iter::from_fn(move || {
            while left > 0 {
                left -= 1;
                let key = read_key(&mut reader).ok()?;
                let value = self.bytes.get(self.bytes.len() - reader.left()..)?;
                reader.skip(1).ok()?;
                let value = value.get(..value.len() - reader.left())?;
                if let RawKey::Text(text) = key {
                    return Some((text, value));
                }
            }
            None
        })
    }

    /// Whether there are any entries of the applications' own.
    #[must_use]
    pub const fn has_application_entries(&self) -> bool {
        self.application_entries > 0
    }

    /// The map as it arrived.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// Says which keys are there and no values: some are what somebody wanted sealed.
impl core::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(Key::ALL.iter().filter(|key| self.has(**key))).finish()
    }
}

/// Reads values and their ranges; a value out of range is of the wrong type.
struct Values<'r, 'a> {
    reader: &'r mut Reader<'a>,
    all: usize,
}

impl Values<'_, '_> {
    fn uint(&mut self, least: u64, most: u64) -> Result<u64, Fault> {
        let value = self.reader.uint()?;
        if (least..=most).contains(&value) { Ok(value) } else { Err(Fault::Type) }
    }

    fn small(&mut self, least: u64) -> Result<u32, Fault> {
        u32::try_from(self.uint(least, u32::MAX.into())?).map_err(|_| Fault::Type)
    }

    fn byte(&mut self, least: u8, most: u8) -> Result<u8, Fault> {
        u8::try_from(self.uint(least.into(), most.into())?).map_err(|_| Fault::Type)
    }

    fn text(&mut self, bytes_max: usize) -> Result<Span, Fault> {
        let text = self.reader.str()?;
        if is_text(text, bytes_max) { self.span(text.len()) } else { Err(Fault::Type) }
    }

    fn name(&mut self) -> Result<Span, Fault> {
        let text = self.reader.str()?;
        if Name::is_name(text) { self.span(text.len()) } else { Err(Fault::Type) }
    }

    fn bin(&mut self, length: usize) -> Result<Span, Fault> {
        let octets = self.reader.bin()?;
        if octets.len() == length { self.span(length) } else { Err(Fault::Type) }
    }

    /// The value that was read last ends where the reader stands.
    fn span(&self, length: usize) -> Result<Span, Fault> {
        let end = self.all - self.reader.left();
        let start = u16::try_from(end - length).map_err(|_| Fault::Form)?;
        Ok(Some((start, u16::try_from(end).map_err(|_| Fault::Form)?)))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RawKey<'a> {
    Number(u64),
    Text(&'a str),
}

fn read_key<'a>(reader: &mut Reader<'a>) -> Result<RawKey<'a>, Refusal> {
    let start = *reader;
    match reader.uint() {
        Ok(number) if number <= KEY_MAX => return Ok(RawKey::Number(number)),
        Ok(_) => return Err(Refusal::MetadataKey),
        Err(Fault::Form) => return Err(Refusal::MetadataForm),
        Err(Fault::Type) => *reader = start,
    }
    match reader.str() {
        Ok(text) if !text.is_empty() && text.len() <= limits::APPLICATION_KEY_BYTES_MAX => Ok(RawKey::Text(text)),
        Ok(_) | Err(Fault::Type) => Err(Refusal::MetadataKey),
        Err(Fault::Form) => Err(Refusal::MetadataForm),
    }
}

/// The keys so far. Numbers are bits; texts are compared with each other, at most 64 of them.
struct Seen<'a> {
    numbers: u128,
    texts: [&'a str; limits::METADATA_ENTRIES_MAX as usize],
    count: usize,
}

impl<'a> Seen<'a> {
    const fn none() -> Self {
        Self { numbers: 0, texts: [""; _], count: 0 }
    }

    /// Whether the key is new.
    fn add(&mut self, key: RawKey<'a>) -> bool {
        match key {
            RawKey::Number(number) => {
                let bit = 1 << number;
                let new = self.numbers & bit == 0;
                self.numbers |= bit;
                new
            }
            RawKey::Text(text) => {
                let Some((before, free)) = self.texts.split_at_mut_checked(self.count) else { return false };
                if before.contains(&text) {
                    return false;
                }
                self.count += 1;
                free.first_mut().map(|place| *place = text).is_some()
            }
        }
    }
}
