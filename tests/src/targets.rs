//! What is fuzzed: each function takes any bytes and must neither panic nor break what it asserts.
//! `fuzz/` drives them with a fuzzer, `tests/it/corpora.rs` with what fuzzers found before.

use bytes::{Bytes, BytesMut};
use keys::ticket::{PREFIX, Ticket};
use keys::{AuthorityCertificate, verify};
use proto::control::{
    Attach, AttachReply, ControlBody, ErrorBody, NodeAgents, NodeStatus, RawErrorBody, Resolve, ResolveReply,
};
use proto::link::{ControlError, ControlMessage};
use proto::member::{JoinAnswer, JoinAsk, MemberMessage, SignedAsk};
use proto::record::{AgentRecord, CarriedRecord, NodeRecord, RecordKind, Revocations};
use proto::{Boundary, Content, ContentType, DoorEvent, Frame, Header, HeaderError, Metadata, limits};

mod choices;
mod journal;
mod node;

pub use journal::{entry, scan};
pub use node::node;

/// One target.
pub type Target = fn(&[u8]);

/// All of them, by the names of their corpora.
pub const ALL: [(&str, Target); 11] = [
    ("header", header),
    ("frame", frame),
    ("metadata", metadata),
    ("record", record),
    ("join", join),
    ("error_body", error_body),
    ("control_body", control_body),
    ("control_stream", control_stream),
    ("entry", entry),
    ("scan", scan),
    ("node", node),
];

const BOUNDARIES: [Boundary; 3] = [Boundary::Wire, Boundary::Up, Boundary::Down];

/// What is taken is what arrived, and its lengths are within their bounds.
pub fn header(bytes: &[u8]) {
    for boundary in BOUNDARIES {
        match Header::read(bytes, boundary) {
            Ok(header) => {
                assert_eq!(header.to_bytes()[..], bytes[..limits::HEADER_BYTES]);
                assert!(header.payload_bytes() <= limits::PAYLOAD_BYTES_MAX);
                assert!(header.plain_bytes() <= limits::PLAIN_BYTES_MAX);
                let mut canonical = header.to_bytes();
                canonical[88] = 0;
                assert_eq!(&canonical, header.canonical().as_bytes());
            }
            Err(HeaderError::Short { missing }) => assert_eq!(missing, limits::HEADER_BYTES - bytes.len()),
            Err(HeaderError::Refused(_)) => assert!(bytes.len() >= limits::HEADER_BYTES),
        }
    }
}

/// Frames are taken off a stream one by one, in pieces as in one, and their parts add up.
pub fn frame(bytes: &[u8]) {
    for boundary in BOUNDARIES {
        let mut stream = BytesMut::from(bytes);
        loop {
            let before = stream.clone();
            match Frame::take(&mut stream, boundary) {
                Ok(frame) => one_frame(frame),
                Err(error) => {
                    assert_eq!(stream, before, "nothing is consumed by what is not taken");
                    if let HeaderError::Short { missing } = error {
                        assert!(missing <= limits::HEADER_BYTES + limits::PAYLOAD_BYTES_MAX);
                    }
                    break;
                }
            }
        }
    }
}

fn one_frame(frame: Frame) {
    let bytes = frame.as_bytes().clone();
    let boundary = frame.header().boundary();
    assert_eq!(Frame::read(bytes.clone(), boundary).as_ref(), Ok(&frame));
    let trailer =
        frame.signature().map_or(0, |signature| signature.len()) + frame.nonce().map_or(0, |nonce| nonce.len());
    assert_eq!(limits::HEADER_BYTES + frame.content().len() + trailer, bytes.len());
    if let Some(sealed) = frame.sealed() {
        assert!(sealed.ciphertext.len() >= limits::TAG_BYTES + limits::METADATA_LENGTH_BYTES);
    }
    if let Some(next) = frame.clone().into_next_hop() {
        assert_eq!(next.header().ttl() + 1, frame.header().ttl());
        assert_eq!(next.header().canonical().as_bytes(), frame.header().canonical().as_bytes());
    }
    if let Some((header, plain)) = frame.into_plain()
        && let Ok(content) = Content::read(&header, plain)
    {
        one_content(&content);
    }
}

fn one_content(content: &Content) {
    assert!(content.body.len() <= content.header.shape().body_bytes_max(content.header.message_type()));
    one_metadata(&content.metadata);
    let _event: Option<DoorEvent> = DoorEvent::of(content);
}

/// The first byte picks one of the headers that a plain body can come with.
pub fn metadata(bytes: &[u8]) {
    if let Ok(metadata) = Metadata::read(Bytes::copy_from_slice(bytes)) {
        one_metadata(&metadata);
    }
    let Some((pick, plain)) = bytes.split_first() else { return };
    let (message_type, receipt, sequence, flags, content_type) = match pick % 9 {
        0 => (1, 0, 0, 3, 5),
        1 => (1, 0, 9, 7, 255),
        2 => (6, 0, 9, 7, 1),
        3 => (2, 0, 9, 7, 0),
        4 => (3, 2, 9, 7, 0),
        5 => (3, 1, 9, 2, 0),
        6 => (4, 0, 0, 2, 1 + pick % 3),
        7 => (5, 0, 0, 2, 4),
        _ => (1, 0, 0, 11, 4),
    };
    let mut header = crate::judge::plain_header(message_type, receipt, sequence, flags, content_type);
    header[82..86].copy_from_slice(&200_u32.to_be_bytes());
    let header = Header::read(&header, Boundary::Wire).expect("a header");
    if let Ok(content) = Content::read(&header, Bytes::copy_from_slice(plain)) {
        one_content(&content);
    }
}

fn one_metadata(metadata: &Metadata) {
    let entries = metadata.application().count();
    assert_eq!(entries > 0, metadata.has_application_entries());
    assert!(entries <= limits::METADATA_ENTRIES_MAX as usize);
    for key in proto::metadata::Key::ALL {
        let values = [metadata.number(key).is_some(), metadata.octets(key).is_some()];
        assert!(metadata.has(key) || values == [false, false]);
    }
    drop(crate::show::metadata(metadata));
}

/// What a record says can be written again, and then says the same.
pub fn record(bytes: &[u8]) {
    if let Ok(record) = AgentRecord::read(bytes) {
        assert_eq!(AgentRecord::read(&record.write().expect("it fits")), Ok(record));
    }
    if let Ok(record) = NodeRecord::read(bytes) {
        assert_eq!(NodeRecord::read(&record.write().expect("it fits")), Ok(record));
    }
    if let Ok(list) = Revocations::read(bytes) {
        assert_eq!(Revocations::read(&list.write().expect("it fits")), Ok(list));
    }
    let Ok(carried) = CarriedRecord::read(Bytes::copy_from_slice(bytes)) else { return };
    assert_eq!(carried.as_bytes(), bytes);
    let signatures = carried.kind() == RecordKind::Agent;
    assert_eq!(signatures, carried.countersignature().is_some());
    assert!(carried.signature().is_some());
    match carried.kind() {
        RecordKind::Agent => drop(AgentRecord::read(carried.body())),
        RecordKind::Node => drop(NodeRecord::read(carried.body())),
        RecordKind::Revocations => drop(Revocations::read(carried.body())),
    }
}

/// A ticket as text; what a newcomer asks and is answered; what members say. What is read can be written again, and then
/// says the same.
pub fn join(bytes: &[u8]) {
    if let Some(ticket) = core::str::from_utf8(bytes).ok().and_then(|text| text.parse::<Ticket>().ok()) {
        assert_eq!(ticket.to_string().parse(), Ok(ticket));
    }
    // The checksum would keep a fuzzer out.
    let whole = bech32::encode::<bech32::Bech32m>(bech32::Hrp::parse_unchecked(PREFIX), bytes).unwrap_or_default();
    if let Ok(ticket) = whole.parse::<Ticket>() {
        assert_eq!(ticket.to_string(), whole);
    }
    if let Ok(ask) = JoinAsk::read(bytes) {
        assert_eq!(JoinAsk::read(&ask.write()), Ok(ask));
    }
    if let Ok(signed) = SignedAsk::read(Bytes::copy_from_slice(bytes)) {
        assert_eq!(signed.as_bytes(), bytes);
        drop(verify::join_ask(&signed));
    }
    if let Ok(answer) = JoinAnswer::read(bytes) {
        assert_eq!(JoinAnswer::read(&answer.write().expect("it fits")), Ok(answer));
    }
    if let Some(message) = MemberMessage::read(bytes) {
        assert_eq!(MemberMessage::read(&message.write()), Some(message));
    }
    if let Ok(about) = keys::certificate::read(bytes) {
        assert!(bytes.len() <= limits::CERTIFICATE_BYTES_MAX && !about.name.as_str().is_empty());
        drop(AuthorityCertificate::read(bytes.to_vec().into()));
    }
}

/// The first byte picks the encoding. What is read can be written in each encoding, and then says the same.
pub fn error_body(bytes: &[u8]) {
    let Some((pick, body)) = bytes.split_first() else { return };
    let encodings = [ContentType::MessagePack, ContentType::Protobuf, ContentType::Json];
    let content_type = encodings[usize::from(*pick) % 3];
    if let Ok(error) = ErrorBody::read(content_type, body) {
        for content_type in encodings {
            assert_eq!(ErrorBody::read(content_type, &error.write(content_type)).as_ref(), Ok(&error));
        }
    }
    again::<Attach>(content_type, body);
    again::<AttachReply>(content_type, body);
    again::<Resolve>(content_type, body);
    again::<ResolveReply>(content_type, body);
}

/// Likewise, for what the node answers, which is read by libraries and by `aicpctl`.
pub fn control_body(bytes: &[u8]) {
    let Some((pick, body)) = bytes.split_first() else { return };
    let encodings = [ContentType::MessagePack, ContentType::Protobuf, ContentType::Json];
    let content_type = encodings[usize::from(*pick) % 3];
    again::<NodeStatus>(content_type, body);
    again::<NodeAgents>(content_type, body);
    again::<RawErrorBody>(content_type, body);
}

/// Control messages are taken off a stream one by one, and each says the same after being written.
pub fn control_stream(bytes: &[u8]) {
    let mut stream = BytesMut::from(bytes);
    loop {
        let before = stream.clone();
        match ControlMessage::take(&mut stream) {
            Ok(message) => {
                let taken = before.len() - stream.len();
                assert!(taken > limits::CONTROL_LENGTH_BYTES);
                assert!(taken <= limits::CONTROL_LENGTH_BYTES + limits::CONTROL_BYTES_MAX);
                let mut out = BytesMut::new();
                message.write(&mut out).expect("what fitted once fits again");
                assert_eq!(ControlMessage::take(&mut out), Ok(message));
                assert!(out.is_empty());
            }
            Err(error) => {
                if let ControlError::Short { missing } = error {
                    assert_eq!(stream, before, "nothing is consumed by what is not taken");
                    assert!(missing <= limits::CONTROL_LENGTH_BYTES + limits::CONTROL_BYTES_MAX);
                }
                break;
            }
        }
    }
}

fn again<B: ControlBody + PartialEq + std::fmt::Debug>(content_type: ContentType, bytes: &[u8]) {
    if let Some(body) = B::read(content_type, bytes) {
        assert_eq!(B::read(content_type, &body.write(content_type)), Some(body));
    }
}
