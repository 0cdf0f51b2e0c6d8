//! Plain bodies: metadata with every kind of fault, and bodies that do not fit their header.

use bytes::BytesMut;
use proto::metadata::MetadataDraft;
use proto::{Boundary, Content, ContentType, Draft, FlowId, FlowKind, Header, MessageId, MessageType, Refusal, Shape};
use referee::hex;
use serde_json::{Value, json};

use crate::Cases;
use crate::frames::{NOW, draft};

fn header_of(draft: &Draft) -> String {
    // The length is not judged with the content, so any that suits will do.
    let bytes = [2, 10, 0].into_iter().find_map(|length| Header::make(draft, Boundary::Wire, length).ok());
    hex::write(bytes.expect("a header").to_bytes())
}

fn case(draft: &Draft, plain: &[u8]) -> Value {
    json!({ "header": header_of(draft), "door": "wire", "plain": hex::write(plain) })
}

/// Length, metadata, body.
fn plain(metadata: &[u8], body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(metadata.len()).unwrap().to_be_bytes();
    [&length[..], metadata, body].concat()
}

fn written(metadata: &MetadataDraft<'_>, body: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    metadata.write(&mut out);
    out.extend_from_slice(body);
    out.to_vec()
}

pub(crate) fn write() {
    let mut cases = Cases::new("metadata.json");
    let request = draft(MessageType::Request, Shape::Once, ContentType::Text, 0);
    forms(&mut cases, &request);
    keys(&mut cases, &request);
    values(&mut cases);
    places(&mut cases);
    bodies(&mut cases);
    cases.write("Plain bodies, read with the header that they came with.");
}

fn nested(levels: usize) -> Vec<u8> {
    // {"a": [[...]]}: the map is the first level.
    let mut metadata = vec![0x81, 0xa1, b'a'];
    metadata.extend(vec![0x91; levels - 1]);
    metadata.push(0xc0);
    metadata
}

fn forms(cases: &mut Cases, request: &Draft) {
    let mut take = |name: &str, metadata: &[u8]| cases.take(name, case(request, &plain(metadata, b"x")));
    take("no metadata", b"");
    take("a map without entries", b"\x80");
    take("a map of 16 bits", b"\xde\x00\x01\xa1a\xc0");
    take("a map of 32 bits", b"\xdf\x00\x00\x00\x01\xa1a\xc0");
    take("a str of 32 bits", b"\x81\xdb\x00\x00\x00\x01a\xc0");
    take("a subject in more bytes than it needs", b"\x81\xcc\x04\xd9\x01s");
    take("an expiry in 64 bits", b"\x81\xcf\x00\x00\x00\x00\x00\x00\x00\x02\xcf\x00\x00\x00\x00\x00\x00\x00\x01");
    take("every kind of value", b"\x81\xa1a\x9d\xc0\xc2\xc3\x01\xff\xca\0\0\0\0\xcb\0\0\0\0\0\0\0\0\xd0\x80\xd1\x80\0\xd2\x80\0\0\0\xd3\x80\0\0\0\0\0\0\0\xc4\x01z\x81\xc0\x90");
    take("keys twice inside a value", b"\x81\xa1a\x82\xa1b\x01\xa1b\x02");
    take("8 levels", &nested(8));
    let mut refuse = |name: &str, metadata: &[u8]| {
        cases.refuse(name, Refusal::MetadataForm, case(request, &plain(metadata, b"x")));
    };
    refuse("9 levels", &nested(9));
    refuse("not a map", b"\x91\xc0");
    refuse("bytes after the map", b"\x80\xc0");
    refuse("cut short", b"\x81\xa1a");
    refuse("more entries than there are", b"\x82\xa1a\xc0");
    refuse("entries without end", b"\xdf\xff\xff\xff\xff");
    refuse("an array without end", b"\x81\xa1a\xdd\xff\xff\xff\xff");
    refuse("a str longer than there is", b"\x81\xa1a\xdb\xff\xff\xff\xffx");
    refuse("a bin longer than there is", b"\x81\xa1a\xc6\xff\xff\xff\xffx");
    refuse("0xc1", b"\x81\xa1a\xc1");
    refuse("not UTF-8", b"\x81\xa1a\xa1\xff");
    refuse("not UTF-8, deep", b"\x81\xa1a\x91\x91\xa1\x80");
    refuse("a key that is not UTF-8", b"\x81\xa1\xff\xc0");
    for (name, extension) in [
        ("fixext 1", &b"\xd4\x01\x00"[..]),
        ("fixext 2", b"\xd5\x01\x00\x00"),
        ("fixext 4, a timestamp", b"\xd6\xff\x00\x00\x00\x00"),
        ("fixext 8", b"\xd7\x01\0\0\0\0\0\0\0\0"),
        ("fixext 16", b"\xd8\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        ("ext 8", b"\xc7\x01\x01\x00"),
        ("ext 16", b"\xc8\x00\x01\x01\x00"),
        ("ext 32", b"\xc9\x00\x00\x00\x01\x01\x00"),
    ] {
        refuse(name, &[b"\x81\xa1a", extension].concat());
    }
    let mut long = vec![0x81, 0xa1, b'a', 0xc5];
    long.extend(16_378_u16.to_be_bytes());
    long.extend(vec![0; 16_378]);
    cases.take("the longest metadata", case(request, &plain(&long, b"x")));
    long[5] += 1;
    long.push(0);
    cases.refuse("metadata too long", Refusal::MetadataLength, case(request, &plain(&long, b"x")));
    cases.refuse("metadata longer than there is", Refusal::MetadataLength, case(request, b"\x00\x05\x80x"));
    cases.refuse("a plain body of one byte", Refusal::Length, case(request, b"\x00"));
}

fn keys(cases: &mut Cases, request: &Draft) {
    let entries = |count: u8| {
        let mut metadata = vec![0xde, 0, count];
        for at in 0..count {
            metadata.extend([0xa2, b'k', b'0' + at, 0xc0]);
        }
        metadata
    };
    let long_key = |bytes: u8| [&[0x81, 0xd9, bytes][..], &vec![b'k'; bytes.into()], &[0xc0]].concat();
    let mut take = |name: &str, metadata: &[u8]| cases.take(name, case(request, &plain(metadata, b"x")));
    take("64 entries", &entries(64));
    take("a key of 128 bytes", &long_key(128));
    take("a key with a control character", b"\x81\xa1\x07\xc0");
    take("unknown integers", b"\x85\x00\xc0\x0f\x01\x3f\xa1z\x50\x90\x7f\x80");
    let mut refuse = |name: &str, metadata: &[u8]| {
        cases.refuse(name, Refusal::MetadataKey, case(request, &plain(metadata, b"x")));
    };
    refuse("65 entries", &entries(65));
    refuse("a key of 129 bytes", &long_key(129));
    refuse("an empty key", b"\x81\xa0\xc0");
    refuse("integer key 128", b"\x81\xcc\x80\xc0");
    refuse("a negative key", b"\x81\xff\xc0");
    refuse("a key of the signed formats", b"\x81\xd0\x04\xa1s");
    refuse("a bin as key", b"\x81\xc4\x01k\xc0");
    refuse("nil as key", b"\x81\xc0\xc0");
    refuse("a float as key", b"\x81\xca\0\0\0\0\xc0");
    refuse("a text twice", b"\x82\xa1a\xc0\xa1a\xc0");
    refuse("an integer twice", b"\x82\x04\xa1s\x04\xa1s");
    refuse("an integer twice, in other widths", b"\x82\x04\xa1s\xcc\x04\xa1s");
    refuse("an unknown integer twice", b"\x82\x7f\xc0\x7f\xc0");
    for key in [77, 78, 79] {
        let metadata = [0x81, key, 0xc0];
        cases.refuse(format!("key {key}"), Refusal::MetadataPresence, case(request, &plain(&metadata, b"x")));
    }
}

fn values(cases: &mut Cases) {
    let request = draft(MessageType::Request, Shape::Once, ContentType::Text, 0);
    let named = draft(MessageType::Request, Shape::Once, ContentType::Named, 0);
    let topic = draft(MessageType::Broadcast, Shape::Once, ContentType::Text, 0);
    let opener = draft(MessageType::Request, Shape::Opener, ContentType::Octets, 0);
    let stored = draft(MessageType::Ack, Shape::Stored, ContentType::None, 1);
    let durable = draft(MessageType::Request, Shape::Durable(FlowKind::Messages), ContentType::Text, 1);
    let str_of = |key: u8, bytes: usize| {
        [&[0x81, key, 0xda][..], &u16::try_from(bytes).unwrap().to_be_bytes(), &vec![b's'; bytes]].concat()
    };
    for (key, draft, most) in [
        (1, &named, 127),
        (4, &request, 255),
        (5, &topic, 255),
        (9, &request, 128),
        (10, &request, 64),
        (11, &request, 64),
    ] {
        cases.take(format!("key {key}, the longest"), case(draft, &plain(&str_of(key, most), b"x")));
        for (name, metadata) in [
            ("too long", str_of(key, most + 1)),
            ("empty", str_of(key, 0)),
            ("a bin", vec![0x81, key, 0xc4, 1, b's']),
            ("a number", vec![0x81, key, 1]),
            ("a control character", vec![0x81, key, 0xa2, b's', 0x1b]),
            ("a C1 control character", vec![0x81, key, 0xa2, 0xc2, 0x9b]),
        ] {
            cases.refuse(format!("key {key}, {name}"), Refusal::MetadataValue, case(draft, &plain(&metadata, b"x")));
        }
    }
    for (name, draft, body, metadata) in [
        ("expiry as a text", &request, &b"x"[..], &b"\x81\x02\xa11"[..]),
        ("expiry in the signed format", &request, b"x", b"\x81\x02\xd3\0\0\0\0\0\0\0\x01"),
        ("expiry as a float", &request, b"x", b"\x81\x02\xcb\0\0\0\0\0\0\0\0"),
        ("expiry nil", &request, b"x", b"\x81\x02\xc0"),
        ("flow id 0", &stored, b"", b"\x81\x03\x00"),
        ("flow id of 2^63", &stored, b"", b"\x81\x03\xcf\x80\0\0\0\0\0\0\0"),
        ("floor 0", &durable, b"x", b"\x84\x02\x01\x03\x02\x0c\x00\x0d\xc3"),
        ("floor of 2^32", &durable, b"x", b"\x84\x02\x01\x03\x02\x0c\xcf\0\0\0\x01\0\0\0\0\x0d\xc3"),
        ("floor above the place", &durable, b"x", b"\x84\x02\x01\x03\x02\x0c\x02\x0d\xc3"),
        ("a message in a flow of answers", &durable, b"x", b"\x84\x02\x01\x03\x03\x0c\x01\x0d\xc3"),
        ("HANDLED wanted false", &durable, b"x", b"\x84\x02\x01\x03\x02\x0c\x01\x0d\xc2"),
        ("AGAIN 1", &durable, b"x", b"\x85\x02\x01\x03\x02\x0c\x01\x0d\xc3\x0e\x01"),
        ("stream id of 7 bytes", &opener, b"", &[&b"\x82\x06\xc4\x07sevenby\x08\xc4\x20"[..], &[9; 32]].concat()),
        ("stream id as a text", &opener, b"", &[&b"\x82\x06\xa8eightbyt\x08\xc4\x20"[..], &[9; 32]].concat()),
        ("stream secret of 31 bytes", &opener, b"", &[&b"\x82\x06\xc4\x08eightbyt\x08\xc4\x1f"[..], &[9; 31]].concat()),
    ] {
        cases.refuse(name, Refusal::MetadataValue, case(draft, &plain(metadata, body)));
    }
    cases.take("the highest flow id", case(&stored, &plain(b"\x81\x03\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", b"")));
    cases.take("a durable request", case(&durable, &plain(b"\x84\x02\x01\x03\x02\x0c\x01\x0d\xc3", b"x")));
}

/// Each kind of frame with what it must have; then one key missing, and one key too many.
fn places(cases: &mut Cases) {
    let place = MetadataDraft { expiry: Some(NOW), flow_id: FlowId::new(2), floor: Some(1), ..Default::default() };
    let answer = MetadataDraft { flow_id: FlowId::new(3), ..place.clone() };
    let flow = MetadataDraft { flow_id: FlowId::new(3), ..Default::default() };
    let secret = [9; 32];
    let opener =
        MetadataDraft { stream_id: Some(MessageId::new(8)), stream_secret: Some(&secret), ..Default::default() };
    let (messages, answers) = (Shape::Durable(FlowKind::Messages), Shape::Durable(FlowKind::Answers));
    let none = MetadataDraft::default();
    let topic = MetadataDraft { topic: Some("t"), ..Default::default() };
    let kinds: [(&str, Draft, MetadataDraft<'_>); 13] = [
        ("REQUEST once", draft(MessageType::Request, Shape::Once, ContentType::None, 0), none.clone()),
        ("RESPONSE once", draft(MessageType::Response, Shape::Once, ContentType::None, 0), none.clone()),
        ("BROADCAST once", draft(MessageType::Broadcast, Shape::Once, ContentType::None, 0), topic),
        (
            "REQUEST durable",
            draft(MessageType::Request, messages, ContentType::None, 1),
            MetadataDraft { handled_wanted: true, ..place.clone() },
        ),
        (
            "BROADCAST durable",
            draft(MessageType::Broadcast, messages, ContentType::None, 1),
            MetadataDraft { topic: Some("t"), ..place },
        ),
        ("RESPONSE durable", draft(MessageType::Response, answers, ContentType::None, 1), answer.clone()),
        ("HANDLED", draft(MessageType::Ack, answers, ContentType::None, 1), answer),
        ("STORED", draft(MessageType::Ack, Shape::Stored, ContentType::None, 1), flow),
        ("PING", draft(MessageType::Ping, Shape::Ping, ContentType::None, 0), none.clone()),
        ("opener", draft(MessageType::Request, Shape::Opener, ContentType::Octets, 0), opener),
        ("chunk", draft(MessageType::Request, Shape::Chunk, ContentType::Octets, 1), none.clone()),
        ("chunk ack", draft(MessageType::Ack, Shape::ChunkAck, ContentType::Octets, 1), none.clone()),
        ("stream end", draft(MessageType::Ack, Shape::StreamEnd, ContentType::None, 0), none),
    ];
    for (name, draft, metadata) in &kinds {
        let body: &[u8] = if *name == "chunk ack" { &[0; 8] } else { b"" };
        cases.take(*name, case(draft, &written(metadata, body)));
        for (key, changed) in one_changed(metadata) {
            let found = judge(draft, &written(&changed, body));
            let name = format!("{name}, {key}");
            match found {
                Ok(()) => cases.take(name, case(draft, &written(&changed, body))),
                Err(reason) => cases.refuse(name, reason, case(draft, &written(&changed, body))),
            }
        }
    }
}

fn judge(draft: &Draft, plain: &[u8]) -> Result<(), Refusal> {
    let header = Header::make(draft, Boundary::Wire, plain.len());
    // Where even the length does not fit, the header that does is judged with the content.
    let header = header
        .or_else(|_| Header::make(draft, Boundary::Wire, 2))
        .or_else(|_| Header::make(draft, Boundary::Wire, 10))?;
    Content::read(&header, plain.to_vec().into()).map(drop)
}

/// Each key switched from absent to present or back.
fn one_changed<'a>(from: &MetadataDraft<'a>) -> Vec<(&'static str, MetadataDraft<'a>)> {
    fn switch<T>(place: &mut Option<T>, value: T) {
        *place = if place.is_some() { None } else { Some(value) };
    }
    type Change<'a> = fn(&mut MetadataDraft<'a>);
    let changes: [(&'static str, Change<'a>); 17] = [
        ("content type name", |m| switch(&mut m.content_type_name, "n")),
        ("expiry", |m| switch(&mut m.expiry, NOW)),
        ("flow id", |m| m.flow_id = if m.flow_id.is_some() { None } else { FlowId::new(2) }),
        ("subject", |m| switch(&mut m.subject, "s")),
        ("topic", |m| switch(&mut m.topic, "t")),
        ("stream id", |m| switch(&mut m.stream_id, MessageId::new(1))),
        ("total length", |m| switch(&mut m.total_length, 1)),
        ("stream secret", |m| switch(&mut m.stream_secret, &[9; 32])),
        ("traceparent", |m| switch(&mut m.traceparent, "p")),
        ("session id", |m| switch(&mut m.session_id, "i")),
        ("capability", |m| switch(&mut m.capability, "c")),
        ("floor", |m| switch(&mut m.floor, 1)),
        ("HANDLED wanted", |m| m.handled_wanted = !m.handled_wanted),
        ("AGAIN", |m| m.again = !m.again),
        ("delivery number", |m| switch(&mut m.delivery_number, 1)),
        ("credit", |m| switch(&mut m.credit_messages, 1)),
        ("an application's key", |m| m.application = &[("k", b"\xc0")]),
    ];
    changes
        .into_iter()
        .map(|(name, change)| {
            let mut changed = from.clone();
            change(&mut changed);
            (name, changed)
        })
        .collect()
}

fn bodies(cases: &mut Cases) {
    let none = draft(MessageType::Request, Shape::Once, ContentType::None, 0);
    cases.refuse("a body without a content type", Refusal::Body, case(&none, b"\0\0x"));
    let empty = draft(MessageType::Request, Shape::Once, ContentType::Json, 0);
    cases.take("a content type without a body", case(&empty, b"\0\0"));
    let text = draft(MessageType::Request, Shape::Once, ContentType::Text, 0);
    cases.take("a text that is not UTF-8", case(&text, b"\0\0\xff"));
    let opener = draft(MessageType::Request, Shape::Opener, ContentType::Octets, 0);
    let metadata =
        MetadataDraft { stream_id: Some(MessageId::new(8)), stream_secret: Some(&[9; 32]), ..Default::default() };
    cases.refuse("an opener with a body", Refusal::Body, case(&opener, &written(&metadata, b"x")));
    let stored = draft(MessageType::Ack, Shape::Stored, ContentType::None, 1);
    cases.refuse("STORED with a body", Refusal::Body, case(&stored, &plain(b"\x81\x03\x02", b"x")));
    let ping = draft(MessageType::Ping, Shape::Ping, ContentType::Octets, 0);
    cases.take("the longest PING", case(&ping, &plain(b"", &vec![0; 65_536])));
    cases.refuse("a PING too long", Refusal::TooLarge, case(&ping, &plain(b"", &vec![0; 65_537])));
    let notice = draft(MessageType::Error, Shape::Notice, ContentType::MessagePack, 0);
    cases.refuse("an ERROR that says nothing", Refusal::ErrorBody, case(&notice, b"\0\0"));
}
