//! What two nodes say to each other on the control stream of a link (`docs/PROTOCOL.md`, section 17): who they are,
//! records, notices, what became of messages, and who belongs to the mesh. It never carries a frame, and no message is
//! longer than its bound.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::control::{ControlBody, Story};
use crate::member::MemberMessage;
use crate::msgpack::{Fault, FieldFault, Reader, Writer, exact, read_fields};
use crate::record::{CarriedRecord, RecordKind};
use crate::{AgentId, ContentType, ErrorCode, MessageId, Refusal, limits};

const HELLO: u8 = 1;
const RECORD: u8 = 2;
const WANT: u8 = 3;
const NOTICE: u8 = 4;
const EXPLAIN: u8 = 5;
const STORY: u8 = 6;
const MEMBER: u8 = 7;

/// The version that is spoken here.
pub const VERSION: u64 = 1;
/// What is said before a link is closed on a version that is not spoken here.
pub const SPEAK_VERSION: &str = "speak version 1";

const KEY_VERSIONS: u64 = 1;
const KEY_MESH: u64 = 2;
const KEY_RECORD: u64 = 3;
const KEY_TIME: u64 = 4;
const KEY_PAYLOAD_MAX: u64 = 5;
const KEY_LINK: u64 = 6;

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ControlMessage {
    /// The first one, in both directions.
    Hello(Box<Hello>),
    /// A record is passed on.
    Record(CarriedRecord),
    /// The record of an agent is asked for.
    Want(AgentId),
    /// A frame went no further.
    Notice(Notice),
    /// What is remembered of a message is asked for.
    Explain(MessageId),
    /// What is remembered of a message. Untrusted: it proves nothing.
    Story(Box<Story>),
    /// About who belongs to the mesh: invitations, certificates, the authority's key.
    Member(Box<MemberMessage>),
    /// A kind that version 1 does not know, and ignores.
    Unknown(u8),
}

/// Who is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// It speaks version 1, among others perhaps.
    pub speaks_ours: bool,
    /// Which mesh; zeros where nodes are pinned.
    pub mesh: [u8; limits::ID_BYTES],
    /// Its own node record. The signature is not judged here.
    pub record: CarriedRecord,
    /// Its wall clock in ns.
    pub time: u64,
    /// The longest payload that it takes, if it says so.
    pub payload_max: Option<u64>,
    /// What the dialer calls the link. Absent from the listener.
    pub link: Option<[u8; limits::LINK_ID_BYTES]>,
}

/// Why a frame went no further, or why the link is about to be closed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// What went wrong.
    pub code: ErrorCode,
    /// The frame's id; zero where it is about no frame.
    pub id: MessageId,
    /// Its source; zeros likewise.
    pub source: AgentId,
    /// Its destination; zeros likewise.
    pub destination: AgentId,
    /// For people, and untrusted.
    pub text: Box<str>,
}

/// Why there is no message. All but `Short` close the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ControlError {
    /// More bytes are needed. Nothing was taken.
    #[error("{missing} more bytes are needed")]
    Short {
        /// How many at least.
        missing: usize,
    },
    /// The length is zero, or beyond the bound.
    #[error("a control message of {bytes} bytes")]
    Length {
        /// What was announced.
        bytes: usize,
    },
    /// The body is not laid out as this kind's.
    #[error("a {kind} that is not laid out as one")]
    Form {
        /// Which kind.
        kind: &'static str,
    },
    /// A HELLO lacks a field, or has one of another type or range.
    #[error("a HELLO whose field {key} is missing, or of another type or range")]
    Field {
        /// Which.
        key: u64,
    },
}

impl ControlError {
    /// The code that the link is closed with.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Length { .. } => ErrorCode::TOO_LARGE,
            Self::Short { .. } | Self::Form { .. } | Self::Field { .. } => ErrorCode::MALFORMED,
        }
    }
}

impl ControlMessage {
    /// Takes the first message off what has arrived so far. If bytes are missing, nothing is taken.
    pub fn take(arrived: &mut BytesMut) -> Result<Self, ControlError> {
        let length = match arrived.first_chunk().copied().map(u32::from_be_bytes) {
            Some(length) => usize::try_from(length).unwrap_or(usize::MAX),
            None => return Err(ControlError::Short { missing: limits::CONTROL_LENGTH_BYTES - arrived.len() }),
        };
        if length == 0 || length > limits::CONTROL_BYTES_MAX {
            return Err(ControlError::Length { bytes: length });
        }
        let wanted = limits::CONTROL_LENGTH_BYTES + length;
        if let Some(missing) = wanted.checked_sub(arrived.len()).filter(|missing| *missing > 0) {
            return Err(ControlError::Short { missing });
        }
        let mut body = arrived.split_to(wanted).freeze();
        body.advance(limits::CONTROL_LENGTH_BYTES);
        Self::read(body)
    }

    fn read(mut body: Bytes) -> Result<Self, ControlError> {
        let kind = body.try_get_u8().map_err(|_| ControlError::Length { bytes: 0 })?;
        match kind {
            HELLO => Hello::read(&body).map(|hello| Self::Hello(Box::new(hello))),
            RECORD => CarriedRecord::read(body).map(Self::Record).map_err(|_| ControlError::Form { kind: "record" }),
            WANT => Ok(Self::Want(AgentId::new(body[..].try_into().map_err(|_| ControlError::Form { kind: "want" })?))),
            NOTICE => Notice::read(body).map(Self::Notice).ok_or(ControlError::Form { kind: "notice" }),
            EXPLAIN => {
                let id = body[..].try_into().map_err(|_| ControlError::Form { kind: "explain" })?;
                Ok(Self::Explain(MessageId::new(u64::from_be_bytes(id))))
            }
            STORY => {
                let story = Story::read(ContentType::Protobuf, &body).ok_or(ControlError::Form { kind: "story" })?;
                Ok(Self::Story(Box::new(story)))
            }
            MEMBER => {
                let message = MemberMessage::read(&body).ok_or(ControlError::Form { kind: "member message" })?;
                Ok(Self::Member(Box::new(message)))
            }
            unknown => Ok(Self::Unknown(unknown)),
        }
    }

    /// Appends it, with its length. A message beyond the bound is not appended, and that is said.
    pub fn write(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        let begin = out.len();
        out.put_u32(0);
        match self {
            Self::Hello(hello) => {
                out.put_u8(HELLO);
                hello.write(out);
            }
            Self::Record(record) => {
                out.put_u8(RECORD);
                out.put_slice(record.as_bytes());
            }
            Self::Want(agent) => {
                out.put_u8(WANT);
                out.put_slice(agent.as_bytes());
            }
            Self::Notice(notice) => {
                out.put_u8(NOTICE);
                notice.write(out);
            }
            Self::Explain(id) => {
                out.put_u8(EXPLAIN);
                out.put_u64(id.get());
            }
            Self::Story(story) => {
                out.put_u8(STORY);
                out.put_slice(&story.write(ContentType::Protobuf));
            }
            Self::Member(message) => {
                out.put_u8(MEMBER);
                out.put_slice(&message.write());
            }
            Self::Unknown(kind) => out.put_u8(*kind),
        }
        let length = out.len() - begin - limits::CONTROL_LENGTH_BYTES;
        let written = u32::try_from(length).ok().filter(|_| length <= limits::CONTROL_BYTES_MAX);
        let (Some(length), Some(place)) = (written, out.get_mut(begin..begin + limits::CONTROL_LENGTH_BYTES)) else {
            out.truncate(begin);
            return Err(Refusal::TooLarge);
        };
        place.copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

impl Hello {
    fn read(body: &[u8]) -> Result<Self, ControlError> {
        let mut fields = HelloFields::default();
        read_fields(body, |key, reader| fields.take(key, reader)).map_err(|fault| match fault {
            FieldFault::Form => ControlError::Form { kind: "HELLO" },
            FieldFault::Value(key) => ControlError::Field { key },
        })?;
        fields.complete()
    }

    fn write(&self, out: &mut BytesMut) {
        let mut writer = Writer::new(out);
        writer.map(4 + usize::from(self.payload_max.is_some()) + usize::from(self.link.is_some()));
        writer.number(KEY_VERSIONS);
        writer.array(1);
        writer.number(if self.speaks_ours { VERSION } else { VERSION + 1 });
        writer.number(KEY_MESH);
        writer.octets(&self.mesh);
        writer.number(KEY_RECORD);
        writer.octets(self.record.as_bytes());
        writer.number(KEY_TIME);
        writer.number(self.time);
        if let Some(payload_max) = self.payload_max {
            writer.number(KEY_PAYLOAD_MAX);
            writer.number(payload_max);
        }
        if let Some(link) = &self.link {
            writer.number(KEY_LINK);
            writer.octets(link);
        }
    }
}

#[derive(Default)]
struct HelloFields {
    versions: Option<bool>,
    mesh: Option<[u8; limits::ID_BYTES]>,
    record: Option<CarriedRecord>,
    time: Option<u64>,
    payload_max: Option<u64>,
    link: Option<[u8; limits::LINK_ID_BYTES]>,
}

impl HelloFields {
    fn take(&mut self, key: u64, reader: &mut Reader<'_>) -> Result<(), Fault> {
        match key {
            KEY_VERSIONS => self.versions = Some(versions(reader)?),
            KEY_MESH => self.mesh = Some(exact(reader.bin()?)?),
            KEY_RECORD => {
                let record = CarriedRecord::read(Bytes::copy_from_slice(reader.bin()?)).map_err(|_| Fault::Type)?;
                self.record = Some(record).filter(|record| record.kind() == RecordKind::Node);
            }
            KEY_TIME => self.time = Some(reader.uint()?),
            KEY_PAYLOAD_MAX => self.payload_max = Some(reader.uint()?),
            KEY_LINK => self.link = Some(exact(reader.bin()?)?),
            _unknown => reader.skip(1)?,
        }
        Ok(())
    }

    fn complete(self) -> Result<Hello, ControlError> {
        const fn missing(key: u64) -> ControlError {
            ControlError::Field { key }
        }
        let speaks_ours = self.versions.ok_or(missing(KEY_VERSIONS))?;
        Ok(Hello {
            speaks_ours,
            mesh: self.mesh.ok_or(missing(KEY_MESH))?,
            record: self.record.ok_or(missing(KEY_RECORD))?,
            time: self.time.ok_or(missing(KEY_TIME))?,
            payload_max: self.payload_max,
            link: self.link,
        })
    }
}

/// Whether ours is among them. They ascend, so that none is named twice.
fn versions(reader: &mut Reader<'_>) -> Result<bool, Fault> {
    let elements = reader.array()?;
    if elements == 0 || elements > limits::VERSIONS_MAX {
        return Err(Fault::Type);
    }
    let (mut last, mut found) = (0, false);
    for _ in 0..elements {
        let version = reader.uint()?;
        if version <= last || version > u8::MAX.into() {
            return Err(Fault::Type);
        }
        last = version;
        found |= version == VERSION;
    }
    Ok(found)
}

impl Notice {
    fn read(mut body: Bytes) -> Option<Self> {
        let code = ErrorCode::new(body.try_get_u16().ok()?)?;
        let id = MessageId::new(body.try_get_u64().ok()?);
        let source = take_id(&mut body)?;
        let destination = take_id(&mut body)?;
        let text = core::str::from_utf8(&body).ok().filter(|text| text.len() <= limits::NOTICE_TEXT_BYTES_MAX)?;
        Some(Self { code, id, source, destination, text: text.into() })
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_u16(self.code.get());
        out.put_u64(self.id.get());
        out.put_slice(self.source.as_bytes());
        out.put_slice(self.destination.as_bytes());
        let end = self.text.floor_char_boundary(limits::NOTICE_TEXT_BYTES_MAX);
        out.put_slice(self.text.get(..end).unwrap_or_default().as_bytes());
    }
}

fn take_id(body: &mut Bytes) -> Option<AgentId> {
    let id = *body.first_chunk()?;
    body.advance(limits::ID_BYTES);
    Some(AgentId::new(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::MemberSaid;

    fn record() -> CarriedRecord {
        CarriedRecord::assemble(RecordKind::Node, b"\x80", &[7; 64], None).expect("a layout")
    }

    fn hello() -> Hello {
        Hello {
            speaks_ours: true,
            mesh: [0; 32],
            record: record(),
            time: 1 << 60,
            payload_max: Some(1 << 24),
            link: Some([9; 32]),
        }
    }

    fn all() -> Vec<ControlMessage> {
        let notice = Notice {
            code: ErrorCode::NO_ROUTE,
            id: MessageId::new(5),
            source: AgentId::new([1; 32]),
            destination: AgentId::new([2; 32]),
            text: "nobody here".into(),
        };
        vec![
            ControlMessage::Hello(Box::new(hello())),
            ControlMessage::Hello(Box::new(Hello { link: None, payload_max: None, ..hello() })),
            ControlMessage::Record(record()),
            ControlMessage::Want(AgentId::new([3; 32])),
            ControlMessage::Notice(notice),
            ControlMessage::Explain(MessageId::new(6)),
            ControlMessage::Story(Box::new(Story { message_id: "00".into(), ..Story::default() })),
            ControlMessage::Member(Box::new(MemberMessage { request: 7, said: MemberSaid::Renew })),
        ]
    }

    #[test]
    fn what_is_written_is_read_back_and_a_part_of_it_is_short() {
        for message in all() {
            let mut out = BytesMut::new();
            message.write(&mut out).expect("within the bound");
            for cut in 0..out.len() {
                let part = ControlMessage::take(&mut BytesMut::from(&out[..cut]));
                assert!(matches!(part, Err(ControlError::Short { .. })), "{cut}: {part:?}");
            }
            assert_eq!(ControlMessage::take(&mut out), Ok(message));
            assert!(out.is_empty());
        }
    }

    #[test]
    fn a_length_that_lies_is_refused_before_anything_is_kept() {
        for length in [0, limits::CONTROL_BYTES_MAX + 1, u32::MAX as usize] {
            let mut bytes = BytesMut::from(&u32::try_from(length).expect("fits").to_be_bytes()[..]);
            assert_eq!(ControlMessage::take(&mut bytes), Err(ControlError::Length { bytes: length }));
        }
    }

    #[test]
    fn a_kind_that_nobody_knows_yet_is_passed_over() {
        let mut bytes = BytesMut::from(&b"\0\0\0\x03\x63ab\0\0\0\x01\x64"[..]);
        assert_eq!(ControlMessage::take(&mut bytes), Ok(ControlMessage::Unknown(0x63)));
        assert_eq!(ControlMessage::take(&mut bytes), Ok(ControlMessage::Unknown(0x64)));
    }

    #[test]
    fn a_hello_with_a_field_missing_or_out_of_order_is_refused() {
        let mut out = BytesMut::new();
        hello().write(&mut out);
        let whole = out.freeze();
        assert_eq!(Hello::read(&whole), Ok(hello()));
        let mut longer = whole.to_vec();
        longer.push(0xc0);
        assert_eq!(Hello::read(&longer), Err(ControlError::Form { kind: "HELLO" }));
        assert_eq!(Hello::read(b"\x80"), Err(ControlError::Field { key: 1 }));
        assert_eq!(Hello::read(b"\x81\x01\x91\x02"), Err(ControlError::Field { key: 2 }));
        assert_eq!(Hello::read(b"\x81\x01\x92\x02\x01"), Err(ControlError::Field { key: 1 }));
        assert_eq!(Hello::read(b"\x82\x01\x91\x01\x01\x91\x01"), Err(ControlError::Form { kind: "HELLO" }));
    }
}
