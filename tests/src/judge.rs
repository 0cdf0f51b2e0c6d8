//! One case of each file of vectors: what our code makes of it, in the words of the case itself.

use std::sync::Arc;

use bytes::Bytes;
use keys::prekey::PrekeyPublic;
use keys::sign::Context;
use keys::{AuthorityCertificate, AuthorityTrust, Prekeys, PublicKey, verify};
use proto::control::{Attach, AttachReply, ControlBody, ErrorBody, Resolve, ResolveReply};
use proto::record::{CarriedRecord, RecordKind};
use proto::{Boundary, Content, ContentType, DoorEvent, Frame, Header, HeaderError, Protection, Refusal, Shape};
use serde_json::{Value, json};

use crate::{hex, show};

/// What a case says, or why it is refused, or that bytes are missing.
pub type Outcome = Result<Value, HeaderError>;

/// Judges one case.
pub type Judge = fn(&Value) -> Outcome;

/// Every file below `proto/vectors`, with its judge.
pub const FILES: [(&str, Judge); 11] = [
    ("keys.json", key),
    ("prekeys.json", prekey),
    ("shapes.json", shapes),
    ("headers.json", header),
    ("frames.json", frame),
    ("metadata.json", metadata),
    ("errors.json", error),
    ("records.json", record),
    ("signatures.json", signature),
    ("local/frames.json", local_frame),
    ("local/bodies.json", local_body),
];

/// Compares a case with what our code makes of it; `Err` says how they differ.
pub fn compare(case: &Value, judge: Judge) -> Result<(), String> {
    match (case.get("refused"), judge(case)) {
        (Some(reason), Err(HeaderError::Refused(refusal))) => {
            let code = case["code"].as_u64();
            let same = reason == refusal.reason() && code == Some(refusal.code().get().into());
            if same { Ok(()) } else { Err(format!("expected {reason} {code:?}, got {refusal}")) }
        }
        (Some(reason), Err(HeaderError::Short { .. })) => {
            if reason == "short" {
                Ok(())
            } else {
                Err(format!("expected {reason}, got short"))
            }
        }
        (Some(reason), Ok(_)) => Err(format!("expected {reason}, but it was taken")),
        (None, Err(refusal)) => Err(format!("expected to be taken, but {refusal}")),
        (None, Ok(found)) => {
            let fields = found.as_object().expect("an object");
            let differing = fields.iter().find(|(name, value)| case.get(*name) != Some(*value));
            differing.map_or(Ok(()), |(name, value)| {
                Err(format!("{name}: expected {}, got {value}", case.get(name).unwrap_or(&Value::Null)))
            })
        }
    }
}

/// The cases of a file.
#[must_use]
pub fn cases(text: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(text).expect("JSON");
    file["cases"].as_array().expect("cases").clone()
}

fn text<'c>(case: &'c Value, name: &str) -> &'c str {
    case[name].as_str().unwrap_or_else(|| panic!("{}: no text {name}", case["name"]))
}

fn octets(case: &Value, name: &str) -> Bytes {
    hex::read(text(case, name)).into()
}

fn boundary(case: &Value) -> Boundary {
    match text(case, "door") {
        "wire" => Boundary::Wire,
        "up" => Boundary::Up,
        "down" => Boundary::Down,
        other => panic!("no such door: {other}"),
    }
}

fn key(case: &Value) -> Outcome {
    let public = PublicKey::admit(&hex::array(text(case, "public")))?;
    if case.get("seed").is_some() {
        let pair = keys::AgentKey::from_published_seed(&hex::array(text(case, "seed")));
        assert_eq!(pair.public(), &public);
        let read: proto::AgentId = text(case, "text").parse().expect("an id");
        assert_eq!(read, public.id());
    }
    Ok(json!({ "id": hex::write(public.id().as_bytes()), "text": public.id().to_string() }))
}

fn prekey(case: &Value) -> Outcome {
    let mut prekeys = Prekeys::new(proto::AgentId::new([7; 32]));
    let made =
        prekeys.insert_published(&hex::array(text(case, "secret")), 0).expect("there is room").expect("it is new");
    Ok(json!({ "public": hex::write(made.public()), "id": hex::write(made.id().as_bytes()) }))
}

/// A header whose every field but the named ones is beyond doubt.
#[must_use]
pub fn plain_header(message_type: u8, receipt: u8, sequence: u32, flags: u16, content_type: u8) -> [u8; 96] {
    let mut header = [0; 96];
    (header[0], header[1]) = (1, message_type);
    header[18..50].fill(0x11);
    header[50..82].fill(0x22);
    header[86..88].copy_from_slice(&flags.to_be_bytes());
    (header[89], header[91]) = (content_type, receipt);
    header[92..].copy_from_slice(&sequence.to_be_bytes());
    header
}

/// The shape or the reason, with a content type and a length that suit it.
#[must_use]
pub fn shape_word(boundary: Boundary, message_type: u8, receipt: u8, sequence: u32, flags: u16) -> &'static str {
    for content_type in [0, 1, 4] {
        for length in [0_u32, 2, 10, 34, 42, 80, 82, 134] {
            let mut bytes = plain_header(message_type, receipt, sequence, flags, content_type);
            bytes[82..86].copy_from_slice(&length.to_be_bytes());
            match Header::read(&bytes, boundary) {
                Ok(header) => return header.shape().word(),
                Err(HeaderError::Refused(Refusal::ContentType | Refusal::Length | Refusal::TooLarge)) => {}
                Err(HeaderError::Refused(refusal)) => return refusal.reason(),
                Err(HeaderError::Short { .. }) => panic!("a header is whole"),
            }
        }
    }
    panic!("no content type and length suits")
}

fn shapes(case: &Value) -> Outcome {
    let number = |name: &str| u32::try_from(case[name].as_u64().expect("a number")).expect("small");
    let small = |name: &str| u8::try_from(number(name)).expect("a byte");
    let outcomes: Vec<_> = (0..256)
        .map(|flags| shape_word(boundary(case), small("type"), small("receipt"), number("sequence"), flags))
        .collect();
    Ok(json!({ "outcomes": outcomes.join(" ") }))
}

fn header(case: &Value) -> Outcome {
    let header = Header::read(&octets(case, "header"), boundary(case))?;
    assert_eq!(header.to_bytes()[..], octets(case, "header")[..]);
    Ok(show::header(&header))
}

fn frame(case: &Value) -> Outcome {
    let bytes = octets(case, "frame");
    let frame = Frame::read(bytes.clone(), Boundary::Wire)?;
    let source = PublicKey::admit(&hex::array(text(case, "source_public")))?;
    let shape = frame.header().shape();
    let verified = verify::frame(frame, &source)?;
    let content = if shape.protection(Boundary::Wire) == Protection::SealedSigned {
        let mut prekeys = Prekeys::new(verified.get().header().destination());
        if case.get("prekey_secret").is_some() {
            let not_after = text(case, "prekey_not_after").parse().expect("ns");
            prekeys.insert_published(&hex::array(text(case, "prekey_secret")), not_after).expect("there is room");
        }
        let now = case.get("now").map_or(0, |_| text(case, "now").parse().expect("ns"));
        verify::open(verified, &mut prekeys, now)?
    } else {
        verify::read(verified)?
    }
    .into_inner();
    let mut found = show_content(&content);
    found["shape"] = json!(shape.word());
    found["plain"] = json!(hex::write(plain_of(&content)));
    Ok(found)
}

/// The plain body that a content came from.
#[must_use]
pub fn plain_of(content: &Content) -> Vec<u8> {
    if content.header.shape() == Shape::Pong && content.header.boundary() == Boundary::Wire {
        return Vec::new();
    }
    let metadata = content.metadata.as_bytes();
    let length = u16::try_from(metadata.len()).expect("within its bound").to_be_bytes();
    [&length[..], metadata, &content.body].concat()
}

fn show_content(content: &Content) -> Value {
    json!({ "metadata": show::metadata(&content.metadata), "body": hex::write(&content.body) })
}

fn metadata(case: &Value) -> Outcome {
    let header = Header::read(&octets(case, "header"), boundary(case))?;
    Ok(show_content(&Content::read(&header, octets(case, "plain"))?))
}

fn content_type(case: &Value) -> ContentType {
    match case["content_type"].as_u64() {
        Some(1) => ContentType::MessagePack,
        Some(2) => ContentType::Protobuf,
        Some(3) => ContentType::Json,
        other => panic!("no such encoding: {other:?}"),
    }
}

fn error(case: &Value) -> Outcome {
    let body = octets(case, "body");
    let error = ErrorBody::read(content_type(case), &body)?;
    Ok(json!({
        "error_code": error.code.get(),
        "error_message": error.message,
        "original_message_id": error.original.to_string(),
        "retry_after_ms": error.retry_after_ms,
        "canonical": error.write(content_type(case)) == body,
    }))
}

fn record(case: &Value) -> Outcome {
    let carried = CarriedRecord::read(octets(case, "record"))?;
    match carried.kind() {
        RecordKind::Agent => {
            let host = PublicKey::admit(&hex::array(text(case, "host_public")))?;
            let attested = verify::agent_record(carried, &host)?.into_inner();
            Ok(json!({ "kind": "agent", "fields": show::agent_record(&attested.record) }))
        }
        RecordKind::Node => {
            let attested = match case.get("authority") {
                Some(_) => {
                    let authority = AuthorityCertificate::read(octets(case, "authority").to_vec().into())?;
                    verify::member_record(carried, &AuthorityTrust::new(Arc::new(authority)))?.into_inner()
                }
                None => verify::node_record(carried)?.into_inner(),
            };
            Ok(json!({ "kind": "node", "fields": show::node_record(&attested.record) }))
        }
        RecordKind::Revocations => {
            let authority = PublicKey::admit(&hex::array(text(case, "authority_public")))?;
            let attested = verify::revocations(carried, &authority)?.into_inner();
            Ok(json!({ "kind": "revocations", "fields": show::revocations(&attested.record) }))
        }
    }
}

fn signature(case: &Value) -> Outcome {
    let key = PublicKey::admit(&hex::array(text(case, "public")))?;
    let signature = hex::array(text(case, "signature"));
    let message = octets(case, "message");
    let holds = match text(case, "context") {
        "" => verify::has_signed_digest(&key, message[..].try_into().expect("a digest"), &signature),
        name => {
            let context = Context::ALL
                .into_iter()
                .find(|context| context.as_bytes().strip_suffix(b"\0").is_some_and(|bytes| bytes == name.as_bytes()));
            verify::has_signed(&key, context.expect("a context"), &message, &signature)
        }
    };
    if holds { Ok(json!({})) } else { Err(Refusal::Signature.into()) }
}

fn local_frame(case: &Value) -> Outcome {
    let frame = Frame::read(octets(case, "frame"), boundary(case))?;
    let (header, plain) = frame.into_plain().expect("nothing is sealed at the door");
    let content = Content::read(&header, plain)?;
    let mut found = show_content(&content);
    found["shape"] = json!(header.shape().word());
    found["event"] = json!(DoorEvent::of(&content).map(DoorEvent::word));
    Ok(found)
}

fn local_body(case: &Value) -> Outcome {
    fn show<B: ControlBody + PartialEq + std::fmt::Debug>(case: &Value) -> Outcome {
        let body = B::read(content_type(case), &octets(case, "body")).ok_or(Refusal::Body)?;
        let again = B::read(content_type(case), &body.write(content_type(case))).expect("it reads what it writes");
        assert_eq!(again, body);
        Ok(json!({ "fields": serde_json::to_value(&body).expect("JSON") }))
    }
    match text(case, "message") {
        "Attach" => show::<Attach>(case),
        "AttachReply" => show::<AttachReply>(case),
        "Resolve" => show::<Resolve>(case),
        "ResolveReply" => show::<ResolveReply>(case),
        other => panic!("no such message: {other}"),
    }
}

/// Kept here so that the maker of vectors and the tests name prekeys alike.
#[must_use]
pub fn prekey_public(secret: &[u8; 32]) -> PrekeyPublic {
    let mut prekeys = Prekeys::new(proto::AgentId::new([7; 32]));
    prekeys.insert_published(secret, 0).expect("there is room").expect("it is new")
}
