//! Whole frames: every kind that is signed, with what was sealed in it; and frames that were changed, or signed by
//! somebody who has a key and bad intentions.

use keys::sign::Signer;
use keys::{AgentKey, Sealer};
use proto::control::ErrorBody;
use proto::metadata::MetadataDraft;
use proto::{
    AgentId, ContentType, Draft, ErrorCode, FlowId, FlowKind, Frame, MessageId, MessageType, Receipt, Refusal,
    Sequence, Shape,
};
use referee::{forge, hex, judge};
use serde_json::{Value, json};

use crate::{Cases, keys_};

pub(crate) const NOW: u64 = 1_795_219_200_000_000_000;
const HOUR: u64 = 3_600_000_000_000;
const SOURCE_SEED: [u8; 32] = [1; 32];
const PREKEY_SECRET: [u8; 32] = [0x41; 32];

pub(crate) fn draft(message_type: MessageType, shape: Shape, content_type: ContentType, sequence: u32) -> Draft {
    Draft {
        message_type,
        shape,
        id: MessageId::new(0x5f3a_91c2_d07b_e844),
        timestamp: NOW,
        source: AgentKey::from_published_seed(&SOURCE_SEED).id(),
        destination: AgentKey::from_published_seed(&[2; 32]).id(),
        content_type,
        hops: 8,
        sequence: Sequence::new(sequence),
        told: Receipt::None,
        last: false,
    }
}

struct Maker {
    key: AgentKey,
    sealer: Sealer,
    signer: Signer,
}

impl Maker {
    fn new() -> Self {
        let key = AgentKey::from_published_seed(&SOURCE_SEED);
        let destination: AgentId = AgentKey::from_published_seed(&[2; 32]).id();
        let sealer = Sealer::new(key.id(), destination, judge::prekey_public(&PREKEY_SECRET), 0).unwrap();
        Self { key, sealer, signer: Signer::new() }
    }

    fn seal(&mut self, draft: &Draft, metadata: &MetadataDraft<'_>, body: &[u8]) -> Frame {
        self.sealer.seal(&self.key, draft, metadata, body, 0).unwrap()
    }

    fn sign(&mut self, draft: &Draft, metadata: &MetadataDraft<'_>, body: &[u8]) -> Frame {
        self.signer.sign(&self.key, draft, metadata, body).unwrap()
    }

    fn signed_case(&self, frame: &[u8]) -> Value {
        json!({ "frame": hex::write(frame), "source_public": hex::write(self.key.public().as_bytes()) })
    }

    fn sealed_case(&self, frame: &[u8]) -> Value {
        let mut case = self.signed_case(frame);
        case["prekey_secret"] = json!(hex::write(PREKEY_SECRET));
        case["prekey_not_after"] = json!((NOW + HOUR).to_string());
        case["now"] = json!(NOW.to_string());
        case
    }
}

pub(crate) fn write() {
    let mut cases = Cases::new("frames.json");
    let mut maker = Maker::new();
    once(&mut cases, &mut maker);
    durable(&mut cases, &mut maker);
    signed(&mut cases, &mut maker);
    changed(&mut cases, &mut maker);
    forged(&mut cases, &mut maker);
    cases.write("Whole frames on the wire.");
}

fn once(cases: &mut Cases, maker: &mut Maker) {
    use ContentType as C;
    let app: &[(&str, &[u8])] = &[("attempts", &[0x05]), ("tags", &[0x92, 0xa1, b'a', 0xa1, b'b'])];
    let talk = MetadataDraft {
        subject: Some("summarize"),
        expiry: Some(NOW + HOUR),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        session_id: Some("c1"),
        capability: Some("text"),
        application: app,
        ..Default::default()
    };
    let topic = MetadataDraft { topic: Some("news"), ..Default::default() };
    let named = MetadataDraft { content_type_name: Some("image/png"), ..Default::default() };
    let none = MetadataDraft::default();
    let long = vec![0xa5; 20_000];
    for (name, message, content, metadata, body) in [
        ("REQUEST once", MessageType::Request, C::Json, &talk, &b"{\"goal\":1}"[..]),
        ("REQUEST once, nothing said", MessageType::Request, C::None, &none, b""),
        ("REQUEST once, 20,000 bytes", MessageType::Request, C::Octets, &none, &long),
        ("REQUEST once, content type named", MessageType::Request, C::Named, &named, b"\x89PNG"),
        ("RESPONSE once", MessageType::Response, C::Text, &none, "schön".as_bytes()),
        ("BROADCAST once", MessageType::Broadcast, C::MessagePack, &topic, b"\xc0"),
    ] {
        let frame = maker.seal(&draft(message, Shape::Once, content, 0), metadata, body);
        cases.take(name, maker.sealed_case(frame.as_bytes()));
        if name == "REQUEST once" {
            let relayed = frame.into_next_hop().unwrap();
            cases.take("REQUEST once, a hop further", maker.sealed_case(relayed.as_bytes()));
        }
    }
    let opener = MetadataDraft {
        stream_id: Some(MessageId::new(0x0102_0304_0506_0708)),
        total_length: Some(1 << 30),
        stream_secret: Some(&[0x99; 32]),
        ..Default::default()
    };
    let frame = maker.seal(&draft(MessageType::Request, Shape::Opener, C::Octets, 0), &opener, b"");
    cases.take("a stream's opener", maker.sealed_case(frame.as_bytes()));
}

fn durable(cases: &mut Cases, maker: &mut Maker) {
    use ContentType as C;
    let messages = Shape::Durable(FlowKind::Messages);
    let answers = Shape::Durable(FlowKind::Answers);
    let place = MetadataDraft {
        expiry: Some(NOW + 24 * HOUR),
        flow_id: FlowId::new(NOW),
        floor: Some(3),
        ..Default::default()
    };
    let asked = MetadataDraft { handled_wanted: true, subject: Some("store"), ..place.clone() };
    let again = MetadataDraft { again: true, ..asked.clone() };
    let news = MetadataDraft { topic: Some("news"), ..place.clone() };
    let answer = MetadataDraft { flow_id: FlowId::new(NOW + 1), floor: Some(1), ..place.clone() };
    let error = ErrorBody {
        code: ErrorCode::EXPIRED,
        message: "expired and never delivered".into(),
        original: MessageId::new(0x5f3a_91c2_d07b_e844),
        retry_after_ms: 0,
    };
    let error_body = error.write(C::MessagePack);
    for (name, message, shape, content, sequence, metadata, body) in [
        ("REQUEST durable", MessageType::Request, messages, C::MessagePack, 7, &asked, &b"\x81\xa1k\x01"[..]),
        ("REQUEST durable, AGAIN", MessageType::Request, messages, C::MessagePack, 3, &again, b"\xc0"),
        ("BROADCAST durable", MessageType::Broadcast, messages, C::Text, u32::MAX, &news, b"hi"),
        ("RESPONSE durable", MessageType::Response, answers, C::Protobuf, 1, &answer, b"\x08\x01"),
        ("HANDLED", MessageType::Ack, answers, C::None, 2, &answer, b""),
        ("ERROR durable", MessageType::Error, answers, C::MessagePack, 9, &answer, &error_body),
    ] {
        let frame = maker.seal(&draft(message, shape, content, sequence), metadata, body);
        cases.take(name, maker.sealed_case(frame.as_bytes()));
    }
}

fn signed(cases: &mut Cases, maker: &mut Maker) {
    use ContentType as C;
    let none = MetadataDraft::default();
    let flow = MetadataDraft { flow_id: FlowId::new(NOW + 1), ..Default::default() };
    let error = |code, retry_after_ms| ErrorBody {
        code,
        message: "not now".into(),
        original: MessageId::new(0x5f3a_91c2_d07b_e844),
        retry_after_ms,
    };
    let full = error(ErrorCode::FULL, 5000).write(C::Json);
    let prekey = error(ErrorCode::PREKEY, 0).write(C::Protobuf);
    let older = error(ErrorCode::OLDER_FLOW, 0).write(C::MessagePack);
    let abort = error(ErrorCode::SERVER, 0).write(C::MessagePack);
    for (name, message, shape, content, sequence, metadata, body) in [
        ("STORED", MessageType::Ack, Shape::Stored, C::None, 41, &flow, &b""[..]),
        ("PING", MessageType::Ping, Shape::Ping, C::Octets, 0, &none, b"12345678"),
        ("the answer to a PING", MessageType::Ack, Shape::Pong, C::None, 0, &none, b""),
        ("notice 4009 in JSON", MessageType::Error, Shape::Notice, C::Json, 0, &none, &full),
        ("notice 4013 in Protocol Buffers", MessageType::Error, Shape::Notice, C::Protobuf, 0, &none, &prekey),
        ("notice 4015", MessageType::Error, Shape::Notice, C::MessagePack, 0, &flow, &older),
        ("a stream's end", MessageType::Ack, Shape::StreamEnd, C::None, 0, &none, b""),
        ("a stream given up", MessageType::Error, Shape::StreamAbort, C::MessagePack, 0, &none, &abort),
    ] {
        let frame = maker.sign(&draft(message, shape, content, sequence), metadata, body);
        cases.take(name, maker.signed_case(frame.as_bytes()));
    }
    let frame = maker.sign(&draft(MessageType::Error, Shape::Notice, C::MessagePack, 0), &none, &older);
    cases.refuse("notice 4015 without a flow", Refusal::MetadataPresence, maker.signed_case(frame.as_bytes()));
    let frame = maker.sign(&draft(MessageType::Error, Shape::Notice, C::Json, 0), &flow, &full);
    cases.refuse("notice 4009 with a flow", Refusal::MetadataPresence, maker.signed_case(frame.as_bytes()));
}

fn changed(cases: &mut Cases, maker: &mut Maker) {
    let metadata = MetadataDraft::default();
    let frame =
        maker.seal(&draft(MessageType::Request, Shape::Once, ContentType::Text, 0), &metadata, b"to be changed");
    let good = frame.as_bytes().to_vec();
    let end = good.len();
    for (name, at, bit) in [
        ("id changed", 2, 1),
        ("timestamp changed", 17, 1),
        ("destination changed", 50, 0x80),
        ("a flag of the high byte changed", 86, 1),
        ("initial ttl changed", 90, 0x10),
        ("content type changed", 89, 1),
        ("prekey id changed", 96, 1),
        ("ephemeral key changed", 100, 1),
        ("sealed body changed", 135, 1),
        ("tag changed", end - 81, 1),
        ("R changed", end - 80, 1),
        ("S changed", end - 48, 1),
        ("nonce changed", end - 1, 1),
    ] {
        let mut bytes = good.clone();
        bytes[at] ^= bit;
        cases.refuse(name, Refusal::Signature, maker.sealed_case(&bytes));
    }
    let mut bytes = good.clone();
    bytes[18] ^= 1;
    cases.refuse("source changed", Refusal::WrongKey, maker.sealed_case(&bytes));
    bytes = good.clone();
    bytes[88] = 9;
    cases.refuse("ttl raised", Refusal::Hops, maker.sealed_case(&bytes));
    bytes = good.clone();
    bytes.push(0);
    cases.refuse("a byte after the frame", Refusal::Length, maker.sealed_case(&bytes));
    bytes = good.clone();
    let s = keys_::plus_order(&good[end - 48..end - 16]);
    bytes[end - 48..end - 16].copy_from_slice(&s);
    cases.refuse("S plus the order", Refusal::Signature, maker.sealed_case(&bytes));
    let mut case = maker.sealed_case(&good);
    case["source_public"] = json!(hex::write(AgentKey::from_published_seed(&[3; 32]).public().as_bytes()));
    cases.refuse("another key", Refusal::WrongKey, case);
    case = maker.sealed_case(&good);
    case["prekey_secret"] = json!(hex::write([0x42; 32]));
    cases.refuse("sealed to another prekey", Refusal::UnknownPrekey, case);
    case = maker.sealed_case(&good);
    case["now"] = json!((NOW + HOUR).to_string());
    cases.take("at the prekey's last moment", case.clone());
    case["now"] = json!((NOW + HOUR + 1).to_string());
    cases.refuse("past the prekey's last moment", Refusal::ExpiredPrekey, case);
}

fn forged(cases: &mut Cases, maker: &mut Maker) {
    let metadata = MetadataDraft::default();
    let frame = maker.seal(&draft(MessageType::Request, Shape::Once, ContentType::Text, 0), &metadata, b"signed anew");
    let good = frame.as_bytes();
    let mut refuse = |name: &str, reason, change: &dyn Fn(&mut Vec<u8>)| {
        let bytes = forge::sign_again(&SOURCE_SEED, good, change);
        cases.refuse(name, reason, maker.sealed_case(&bytes));
    };
    refuse("sealed body changed and signed anew", Refusal::Seal, &|bytes| bytes[140] ^= 1);
    refuse("header changed and signed anew", Refusal::Seal, &|bytes| bytes[10] ^= 1);
    refuse("unknown prekey and signed anew", Refusal::UnknownPrekey, &|bytes| bytes[96] ^= 1);
    for (at, point) in small_order_agreement().iter().enumerate() {
        refuse(&format!("ephemeral key of small order {at}"), Refusal::SharedSecret, &|bytes| {
            bytes[100..132].copy_from_slice(point);
        });
    }
    for (at, point) in forge::small_order_points().iter().enumerate() {
        let mut case = maker.sealed_case(good);
        let mut bytes = good.to_vec();
        bytes[18..50].copy_from_slice(&sha256(point));
        // For a key of small order this signature holds by the equation with cofactor, for every message.
        let end = bytes.len();
        bytes[end - 80..end - 48].copy_from_slice(&forge::small_order_points()[0]);
        bytes[end - 48..end - 16].fill(0);
        case["frame"] = json!(hex::write(bytes));
        case["source_public"] = json!(hex::write(point));
        cases.refuse(format!("from a key of small order {at}"), Refusal::Key, case);
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).into()
}

/// The u-coordinates that X25519 takes to zero: 0, 1, two of order 8, p - 1, and other names of some of them.
fn small_order_agreement() -> Vec<[u8; 32]> {
    [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ]
    .iter()
    .map(|text| hex::array(text))
    .collect()
}
