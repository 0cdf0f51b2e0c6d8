//! Bodies that daemons write: errors in three encodings, and what agent and node say to each other.

use proto::control::{Attach, AttachReply, ControlBody, ErrorBody, Resolve, ResolveReply};
use proto::{ContentType, ErrorCode, MessageId, Refusal};
use referee::hex;
use serde_json::{Value, json};

use crate::Cases;

const ENCODINGS: [(&str, ContentType); 3] = [
    ("MessagePack", ContentType::MessagePack),
    ("Protocol Buffers", ContentType::Protobuf),
    ("JSON", ContentType::Json),
];

fn case(content_type: ContentType, body: &[u8]) -> Value {
    json!({ "content_type": content_type as u8, "body": hex::write(body) })
}

pub(crate) fn write() {
    let mut cases = Cases::new("errors.json");
    for (encoding, content_type) in ENCODINGS {
        for (name, code, message, retry_after_ms) in [
            ("offline", ErrorCode::OFFLINE, "agent writer@gpu7 is offline", 0),
            ("full", ErrorCode::FULL, "mailbox full", 5000),
            ("no words", ErrorCode::SERVER, "", u32::MAX),
            ("other letters", ErrorCode::POLICY, "verboten: \"größer\" \u{1b}[31m \\", 1),
            ("a code that we do not know", ErrorCode::new(5999).unwrap(), "?", 0),
        ] {
            let original = MessageId::new(0x0000_00c0_ffee_0001);
            let body = ErrorBody { code, message: message.into(), original, retry_after_ms }.write(content_type);
            cases.take(format!("{encoding}, {name}"), case(content_type, &body));
        }
    }
    messagepack(&mut cases);
    json_(&mut cases);
    protobuf(&mut cases);
    cases.write("Bodies of ERROR frames.");
    local();
}

/// A MessagePack map of entries that are encoded already.
fn map(entries: &[&[u8]]) -> Vec<u8> {
    let mut body = vec![0x80 | u8::try_from(entries.len()).unwrap()];
    body.extend(entries.concat());
    body
}

fn messagepack(cases: &mut Cases) {
    const CODE: &[u8] = b"\xaaerror_code\xcd\x0f\xa1";
    const TEXT: &[u8] = b"\xaderror_message\xa1x";
    const ID: &[u8] = b"\xb3original_message_id\xb00123456789abcdef";
    const RETRY: &[u8] = b"\xaeretry_after_ms\x05";
    let mut take = |name: &str, body: Vec<u8>| cases.take(name, case(ContentType::MessagePack, &body));
    take("in another order", map(&[RETRY, ID, TEXT, CODE]));
    take("no advice", map(&[CODE, TEXT, ID]));
    take("a field that we do not know", map(&[CODE, TEXT, ID, b"\xa1z\x91\xc0"]));
    take("a code in the signed format", map(&[b"\xaaerror_code\xd1\x0f\xa1", TEXT, ID]));
    take("a code in 64 bits", map(&[b"\xaaerror_code\xcf\0\0\0\0\0\0\x0f\xa1", TEXT, ID]));
    let mut refuse = |name: &str, body: Vec<u8>| {
        cases.refuse(name, Refusal::ErrorBody, case(ContentType::MessagePack, &body));
    };
    refuse("nothing", vec![]);
    refuse("no code", map(&[TEXT, ID]));
    refuse("no message", map(&[CODE, ID]));
    refuse("no id", map(&[CODE, TEXT]));
    refuse("a field twice", map(&[CODE, TEXT, ID, CODE]));
    refuse("an unknown field twice", map(&[CODE, TEXT, ID, b"\xa1z\xc0", b"\xa1z\xc0"]));
    refuse("bytes after the map", [map(&[CODE, TEXT, ID]), vec![0]].concat());
    refuse("an array", [&b"\x93\xcd\x0f\xa1\xa1x\xb0"[..], b"0123456789abcdef"].concat());
    refuse("numbers as names", [&b"\x83\x00\xcd\x0f\xa1\x01\xa1x\x02\xb0"[..], b"0123456789abcdef"].concat());
    refuse("a message in octets", map(&[CODE, b"\xaderror_message\xc4\x01x", ID]));
    refuse("a message of nil", map(&[CODE, b"\xaderror_message\xc0", ID]));
    refuse("advice of nil", map(&[CODE, TEXT, ID, b"\xaeretry_after_ms\xc0"]));
    refuse("advice of 2^32", map(&[CODE, TEXT, ID, b"\xaeretry_after_ms\xcf\0\0\0\x01\0\0\0\0"]));
    refuse("a code as a float", map(&[b"\xaaerror_code\xcb\x40\xaf\x42\0\0\0\0\0", TEXT, ID]));
    refuse("a code below 4000", map(&[b"\xaaerror_code\xcd\x0f\x9f", TEXT, ID]));
    refuse("a code above 5999", map(&[b"\xaaerror_code\xcd\x17\x70", TEXT, ID]));
    refuse("a negative code", map(&[b"\xaaerror_code\xff", TEXT, ID]));
    refuse("an id in capitals", map(&[CODE, TEXT, b"\xb3original_message_id\xb00123456789ABCDEF"]));
    refuse("an id of 15 digits", map(&[CODE, TEXT, b"\xb3original_message_id\xaf0123456789abcde"]));
    refuse("too deep", map(&[CODE, TEXT, ID, b"\xa1z\x91\x91\x91\x91\x91\x91\x91\x91\xc0"]));
    refuse("an extension", map(&[CODE, TEXT, ID, b"\xa1z\xd4\x01\x00"]));
    refuse("not UTF-8", map(&[CODE, b"\xaderror_message\xa1\xff", ID]));
    let long = |bytes: usize| {
        let text =
            [&b"\xaderror_message\xda"[..], &u16::try_from(bytes).unwrap().to_be_bytes(), &vec![b'x'; bytes]].concat();
        map(&[CODE, &text, ID])
    };
    refuse("a message of 1,025 bytes", long(1025));
    cases.take("a message of 1,024 bytes", case(ContentType::MessagePack, &long(1024)));
}

fn json_(cases: &mut Cases) {
    const REST: &str = r#""error_message":"x","original_message_id":"0123456789abcdef""#;
    let mut take =
        |name: &str, body: &str| cases.take(format!("JSON, {name}"), case(ContentType::Json, body.as_bytes()));
    take("with blanks around", &format!(" \n{{ \"error_code\" : 4001 , {REST} }} \t\r\n"));
    take("a field that we do not know", &format!(r#"{{"message_type":"ERROR","error_code":4001,{REST}}}"#));
    take(
        "escaped letters",
        r#"{"error_code":4001,"error_message":"\u00f6\ud83d\ude00\n","original_message_id":"0123456789abcdef"}"#,
    );
    take("8 levels", &format!(r#"{{"error_code":4001,{REST},"z":[[[[[[[0]]]]]]]}}"#));
    take(
        "an unknown field that is odd",
        &format!(r#"{{"error_code":4001,{REST},"z":[-0,1e999,"\ud83d",{{"z":1,"z":2}}]}}"#),
    );
    take("a name with an escape", &format!(r#"{{"error\u005fcode":4001,{REST}}}"#));
    let mut refuse = |name: &str, body: &str| {
        cases.refuse(format!("JSON, {name}"), Refusal::ErrorBody, case(ContentType::Json, body.as_bytes()));
    };
    refuse("9 levels", &format!(r#"{{"error_code":4001,{REST},"z":[[[[[[[[0]]]]]]]]}}"#));
    refuse("an array", r#"[4001,"x","0123456789abcdef",0]"#);
    refuse("more after it", &format!(r#"{{"error_code":4001,{REST}}} 1"#));
    refuse("a code as a text", &format!(r#"{{"error_code":"4001",{REST}}}"#));
    refuse("a code as a float", &format!(r#"{{"error_code":4001.0,{REST}}}"#));
    refuse("a code twice", &format!(r#"{{"error_code":4001,{REST},"error_code":4002}}"#));
    refuse("advice of null", &format!(r#"{{"error_code":4001,{REST},"retry_after_ms":null}}"#));
    refuse("cut short", r#"{"error_code":4001"#);
    refuse("a comma too many", &format!(r#"{{"error_code":4001,{REST},}}"#));
    refuse(
        "half a pair of surrogates",
        r#"{"error_code":4001,"error_message":"\ud83d","original_message_id":"0123456789abcdef"}"#,
    );
    refuse("advice of minus zero", &format!(r#"{{"error_code":4001,{REST},"retry_after_ms":-0}}"#));
    refuse("half a pair of surrogates in a name", &format!(r#"{{"error_code":4001,{REST},"\ud83d":1}}"#));
    refuse("a byte order mark", &format!("\u{feff}{{\"error_code\":4001,{REST}}}"));
    let latin = [&b"{\"z\":\"\xe4\",\"error_code\":4001,"[..], REST.as_bytes(), b"}"].concat();
    cases.refuse("JSON, not UTF-8 in an unknown field", Refusal::ErrorBody, case(ContentType::Json, &latin));
}

fn protobuf(cases: &mut Cases) {
    const CODE: &[u8] = b"\x08\xa1\x1f";
    const TEXT: &[u8] = b"\x12\x01x";
    const ID: &[u8] = b"\x1a\x100123456789abcdef";
    let mut take = |name: &str, parts: &[&[u8]]| {
        cases.take(format!("Protocol Buffers, {name}"), case(ContentType::Protobuf, &parts.concat()));
    };
    take("in another order", &[ID, TEXT, CODE]);
    take("the last one wins", &[b"\x08\x01", CODE, TEXT, ID]);
    take(
        "unknown fields",
        &[CODE, TEXT, ID, b"\xf8\x07\x01", b"\xfa\x07\x01z", b"\xfd\x07\0\0\0\0", b"\xf9\x07\0\0\0\0\0\0\0\0"],
    );
    take("a code beyond 32 bits", &[b"\x08\xa1\x9f\x80\x80\x80\x80\x02", TEXT, ID]);
    let mut refuse = |name: &str, parts: &[&[u8]]| {
        let case = case(ContentType::Protobuf, &parts.concat());
        cases.refuse(format!("Protocol Buffers, {name}"), Refusal::ErrorBody, case);
    };
    refuse("nothing", &[]);
    refuse("no id", &[CODE, TEXT]);
    refuse("a code of another wire type", &[b"\x0d\xa1\x0f\0\0", TEXT, ID]);
    refuse("not UTF-8", &[CODE, b"\x12\x01\xff", ID]);
    refuse("longer than there is", &[CODE, TEXT, b"\x1a\x7f0123"]);
    refuse("field 0", &[CODE, TEXT, ID, b"\x00\x00"]);
    refuse("a varint without end", &[b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", TEXT, ID]);
}

fn local() {
    let mut cases = Cases::new("local/bodies.json");
    let attach = Attach {
        name: "planner".into(),
        capabilities: vec!["plan".into(), "review".into()],
        topics: vec!["news".into()],
    };
    let bare = Attach { name: "p".into(), ..Default::default() };
    let reply = AttachReply {
        agent_id: proto::AgentId::new([0x11; 32]).to_string(),
        node_id: proto::AgentId::new([0x22; 32]).to_string(),
        node_name: "alpha".into(),
        lease_ms: 30_000,
        message_bytes_max: 10 << 20,
    };
    let resolve = Resolve { address: "writer@gpu7".into() };
    let resolved = ResolveReply {
        agent_id: reply.agent_id.clone(),
        agent_name: "writer".into(),
        node_id: reply.node_id.clone(),
        node_name: "gpu7".into(),
    };
    for (encoding, content_type) in ENCODINGS {
        let mut take = |name: &str, message: &str, body: &[u8]| {
            let mut case = case(content_type, body);
            case["message"] = json!(message);
            cases.take(format!("{name}, {encoding}"), case);
        };
        take("Attach", "Attach", &attach.write(content_type));
        take("Attach without abilities", "Attach", &bare.write(content_type));
        take("AttachReply", "AttachReply", &reply.write(content_type));
        take("Resolve", "Resolve", &resolve.write(content_type));
        take("ResolveReply", "ResolveReply", &resolved.write(content_type));
    }
    let mut other = |name: &str, refused: bool, content_type: ContentType, body: &[u8]| {
        let mut case = case(content_type, body);
        case["message"] = json!("Attach");
        if refused { cases.refuse(name, Refusal::Body, case) } else { cases.take(name, case) }
    };
    other("an empty map", false, ContentType::MessagePack, b"\x80");
    other("an empty object", false, ContentType::Json, b"{}");
    other("an empty message", false, ContentType::Protobuf, b"");
    other("an unknown field", false, ContentType::Json, br#"{"name":"p","colour":"red"}"#);
    other("nothing at all", true, ContentType::MessagePack, b"");
    other("a number as a name", true, ContentType::MessagePack, b"\x81\xa4name\x01");
    other("octets as a name", true, ContentType::MessagePack, b"\x81\xa4name\xc4\x01p");
    other("octets as an ability", true, ContentType::MessagePack, b"\x81\xaccapabilities\x91\xc4\x01p");
    other("null as abilities", true, ContentType::Json, br#"{"capabilities":null}"#);
    other("an array", true, ContentType::Json, br#"["p",[],[]]"#);
    cases.write("Bodies that an agent and its node say to each other.");
}
