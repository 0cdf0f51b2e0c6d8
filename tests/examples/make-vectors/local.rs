//! Frames at the agent's door: every event of the table, and what does not fit it.

use bytes::BytesMut;
use proto::control::{Attach, ControlBody, ErrorBody};
use proto::metadata::{MetadataDraft, Proof, Stage};
use proto::{
    AgentId, Boundary, ContentType, Draft, ErrorCode, FlowId, FlowKind, Header, MessageType, Name, NodeId, Receipt,
    Refusal, Shape,
};
use referee::hex;
use serde_json::{Value, json};

use crate::Cases;
use crate::frames::{NOW, draft};

fn door(boundary: Boundary) -> &'static str {
    match boundary {
        Boundary::Wire => "wire",
        Boundary::Up => "up",
        Boundary::Down => "down",
    }
}

fn case(boundary: Boundary, draft: &Draft, metadata: &MetadataDraft<'_>, body: &[u8]) -> Value {
    let mut plain = BytesMut::new();
    metadata.write(&mut plain);
    plain.extend_from_slice(body);
    let header = Header::make(draft, boundary, plain.len()).expect("a header");
    json!({ "door": door(boundary), "frame": hex::write([&header.to_bytes()[..], &plain].concat()) })
}

/// As an agent submits it: times and hops are the daemon's.
fn up(message: MessageType, shape: Shape, content: ContentType) -> Draft {
    Draft { timestamp: 0, hops: 0, ..draft(message, shape, content, 0) }
}

fn to_node(content: ContentType) -> Draft {
    Draft { destination: AgentId::ZERO, ..up(MessageType::Request, Shape::Once, content) }
}

fn down(message: MessageType, shape: Shape, content: ContentType) -> Draft {
    Draft { hops: 0, ..draft(message, shape, content, 0) }
}

fn error() -> bytes::Bytes {
    let original = draft(MessageType::Error, Shape::Notice, ContentType::Json, 0).id;
    ErrorBody { code: ErrorCode::POLICY, message: "no".into(), original, retry_after_ms: 0 }.write(ContentType::Json)
}

const MESSAGES: Shape = Shape::Durable(FlowKind::Messages);
const ANSWERS: Shape = Shape::Durable(FlowKind::Answers);

pub(crate) fn write() {
    let mut cases = Cases::new("local/frames.json");
    upwards(&mut cases);
    downwards(&mut cases);
    refused_up(&mut cases);
    refused_down(&mut cases);
    cases.write("Frames at the agent's door.");
}

fn subject(subject: &str) -> MetadataDraft<'_> {
    MetadataDraft { subject: Some(subject), ..Default::default() }
}

fn upwards(cases: &mut Cases) {
    use {ContentType as C, MessageType as M};
    let mut take = |name: &str, draft: Draft, metadata: MetadataDraft<'_>, body: &[u8]| {
        cases.take(name, case(Boundary::Up, &draft, &metadata, body));
    };
    let attach = Attach { name: "planner".into(), ..Default::default() }.write(C::MessagePack);
    let nobody = Draft { source: AgentId::ZERO, ..to_node(C::MessagePack) };
    take("attach", nobody, subject("agent.attach"), &attach);
    let credit = MetadataDraft { credit_messages: Some(100), credit_bytes: Some(1 << 33), ..Default::default() };
    take("attach with credit", nobody, MetadataDraft { subject: Some("agent.attach"), ..credit.clone() }, &attach);
    take("detach", to_node(C::None), subject("agent.detach"), b"");
    let number = MetadataDraft { delivery_number: Some(77), ..Default::default() };
    take("working", to_node(C::None), MetadataDraft { subject: Some("agent.working"), ..number.clone() }, b"");
    take("credit up", to_node(C::None), MetadataDraft { subject: Some("agent.credit"), ..credit }, b"");
    take("resolve", to_node(C::Json), subject("agent.resolve"), br#"{"address":"writer@gpu7"}"#);
    take("a question to the node", to_node(C::None), subject("node.status"), b"");
    take("a question without a subject", to_node(C::None), MetadataDraft::default(), b"");
    take("a question from no agent", Draft { source: AgentId::ZERO, ..to_node(C::None) }, subject("node.status"), b"");
    take(
        "an order to the node",
        to_node(C::Json),
        subject("node.outbox.drop"),
        br#"{"message_id":"5f3a91c2d07be844"}"#,
    );
    take(
        "an order from no agent",
        Draft { source: AgentId::ZERO, ..to_node(C::None) },
        subject("node.clock.trust"),
        b"",
    );
    let heard = MetadataDraft { last_stage: Some(Stage::Handled), subject: Some("store"), ..Default::default() };
    take("submit a REQUEST once", up(M::Request, Shape::Once, C::Text), subject("s"), b"hi");
    take("submit a durable REQUEST", up(M::Request, MESSAGES, C::Text), heard.clone(), b"hi");
    take(
        "submit it again",
        up(M::Request, MESSAGES, C::Text),
        MetadataDraft { again: true, handled_wanted: true, expiry: Some(NOW), ..heard },
        b"hi",
    );
    let topic = MetadataDraft { topic: Some("news"), last_stage: Some(Stage::None), ..Default::default() };
    take(
        "submit a durable BROADCAST to all",
        Draft { destination: AgentId::ZERO, ..up(M::Broadcast, MESSAGES, C::Text) },
        topic,
        b"hi",
    );
    take("submit a RESPONSE once", up(M::Response, Shape::Once, C::Text), MetadataDraft::default(), b"hi");
    take(
        "respond",
        up(M::Response, ANSWERS, C::Text),
        MetadataDraft { last_stage: Some(Stage::Stored), ..number.clone() },
        b"hi",
    );
    take("ping", up(M::Ping, Shape::Ping, C::Octets), MetadataDraft::default(), b"12345678");
    take(
        "ping the node",
        Draft { source: AgentId::ZERO, destination: AgentId::ZERO, ..up(M::Ping, Shape::Ping, C::None) },
        MetadataDraft::default(),
        b"",
    );
    take("handled", up(M::Ack, Shape::Handled, C::None), number.clone(), b"");
    take("refuse", up(M::Error, Shape::Notice, C::Json), number, &error());
    take("refuse what was sent once", up(M::Error, Shape::Notice, C::Json), MetadataDraft::default(), &error());
}

struct Names {
    source: Name,
    node: Name,
}

impl Names {
    fn new() -> Self {
        Self { source: "writer".parse().unwrap(), node: "gpu7".parse().unwrap() }
    }

    fn once(&self) -> MetadataDraft<'_> {
        MetadataDraft {
            source_name: Some(&self.source),
            source_node: Some(NodeId::new(AgentId::new([0x66; 32]))),
            source_node_name: Some(&self.node),
            hops: Some(1),
            received: Some(NOW + 1),
            proof: Some(Proof::Signature),
            ..Default::default()
        }
    }

    fn durable(&self) -> MetadataDraft<'_> {
        MetadataDraft {
            delivery_number: Some(u64::MAX),
            attempt: Some(1),
            lease_ms: Some(30_000),
            expiry: Some(NOW + 2),
            ..self.once()
        }
    }
}

fn downwards(cases: &mut Cases) {
    use {ContentType as C, MessageType as M};
    let names = Names::new();
    let mut take = |name: &str, draft: Draft, metadata: MetadataDraft<'_>, body: &[u8]| {
        cases.take(name, case(Boundary::Down, &draft, &metadata, body));
    };
    take(
        "delivery",
        down(M::Request, Shape::Once, C::Text),
        MetadataDraft { subject: Some("s"), ..names.once() },
        b"hi",
    );
    let local = MetadataDraft { proof: Some(Proof::SameHost), hops: Some(0), ..names.once() };
    take("delivery of a RESPONSE from this host", down(M::Response, Shape::Once, C::Text), local, b"hi");
    take(
        "delivery whose subject is agent.credit",
        down(M::Request, Shape::Once, C::None),
        MetadataDraft { subject: Some("agent.credit"), ..names.once() },
        b"",
    );
    take("answer of the node", down(M::Response, Shape::Once, C::MessagePack), MetadataDraft::default(), b"\x80");
    take(
        "answer to no agent",
        Draft { destination: AgentId::ZERO, ..down(M::Response, Shape::Once, C::None) },
        MetadataDraft::default(),
        b"",
    );
    let credit = MetadataDraft {
        subject: Some("agent.credit"),
        credit_messages: Some(1),
        credit_bytes: Some(2),
        ..Default::default()
    };
    take("credit down", down(M::Request, Shape::Once, C::None), credit, b"");
    take(
        "durable delivery",
        down(M::Request, MESSAGES, C::Text),
        MetadataDraft { handled_wanted: true, ..names.durable() },
        b"hi",
    );
    let marked = MetadataDraft { marked: true, attempt: Some(3), again: true, ..names.durable() };
    take("durable delivery, marked", down(M::Request, MESSAGES, C::Text), marked, b"hi");
    take(
        "durable delivery of a BROADCAST",
        down(M::Broadcast, MESSAGES, C::Text),
        MetadataDraft { topic: Some("news"), ..names.durable() },
        b"hi",
    );
    take("durable delivery of a RESPONSE", down(M::Response, ANSWERS, C::Text), names.durable(), b"hi");
    take("durable delivery of HANDLED", down(M::Ack, ANSWERS, C::None), names.durable(), b"");
    take("durable delivery of an ERROR", down(M::Error, ANSWERS, C::Json), names.durable(), &error());
    for (name, told) in [("accepted", Receipt::Accepted), ("stored", Receipt::Stored), ("handled", Receipt::Handled)] {
        take(
            &format!("told {name}"),
            Draft { told, ..down(M::Ack, Shape::Told, C::None) },
            MetadataDraft::default(),
            b"",
        );
    }
    take("refused", down(M::Error, Shape::Notice, C::Json), MetadataDraft::default(), &error());
    take("pong", down(M::Ack, Shape::Pong, C::None), MetadataDraft::default(), b"");
    let proved = MetadataDraft { received: None, ..names.once() };
    take("pong that tells who", down(M::Ack, Shape::Pong, C::None), proved, b"");
}

fn refused_up(cases: &mut Cases) {
    use {ContentType as C, MessageType as M};
    let names = Names::new();
    let mut refuse = |name: &str, draft: Draft, metadata: MetadataDraft<'_>, body: &[u8]| {
        cases.refuse(name, Refusal::MetadataPresence, case(Boundary::Up, &draft, &metadata, body));
    };
    let none = MetadataDraft::default();
    refuse("handled without a number", up(M::Ack, Shape::Handled, C::None), none.clone(), b"");
    refuse("respond without a number", up(M::Response, ANSWERS, C::Text), none.clone(), b"hi");
    refuse("working without a number", to_node(C::None), subject("agent.working"), b"");
    refuse("credit without credit", to_node(C::None), subject("agent.credit"), b"");
    let request = || up(M::Request, MESSAGES, C::Text);
    for (name, metadata) in [
        ("a flow id", MetadataDraft { flow_id: FlowId::new(2), ..none.clone() }),
        ("a floor", MetadataDraft { floor: Some(1), ..none.clone() }),
        ("a delivery number", MetadataDraft { delivery_number: Some(1), ..none.clone() }),
        ("a mark", MetadataDraft { marked: true, ..none.clone() }),
        ("a lease", MetadataDraft { lease_ms: Some(1), ..none.clone() }),
        ("hops", MetadataDraft { hops: Some(1), ..none.clone() }),
        ("credit", MetadataDraft { credit_messages: Some(1), ..none.clone() }),
        ("a proof of its own", names.once()),
    ] {
        refuse(&format!("submit with {name}"), request(), metadata, b"hi");
    }
    refuse("submit a BROADCAST without a topic", up(M::Broadcast, MESSAGES, C::Text), none.clone(), b"hi");
    refuse(
        "a question with a last stage",
        to_node(C::None),
        MetadataDraft { last_stage: Some(Stage::Stored), ..none.clone() },
        b"",
    );

    // What the header alone gives away; made for another boundary, read upwards.
    let mut as_up = |name: &str, reason: Refusal, mut case: Value| {
        case["door"] = json!("up");
        cases.refuse(name, reason, case);
    };
    for (name, told) in [("STORED", Receipt::Stored), ("ACCEPTED", Receipt::Accepted)] {
        let told = Draft { told, ..down(M::Ack, Shape::Told, C::None) };
        as_up(&format!("an agent says {name}"), Refusal::Receipt, case(Boundary::Down, &told, &none, b""));
    }
    as_up(
        "an agent answers a PING",
        Refusal::Receipt,
        case(Boundary::Down, &down(M::Ack, Shape::Pong, C::None), &none, b""),
    );
    let outcome = case(Boundary::Down, &down(M::Error, ANSWERS, C::Json), &names.durable(), &error());
    as_up("an agent says an outcome", Refusal::Shape, outcome);
    let to_nobody = Draft { source: AgentId::ZERO, ..to_node(C::None) };
    let mut from_nobody = case(Boundary::Up, &to_nobody, &none, b"");
    let text = from_nobody["frame"].as_str().unwrap().to_owned();
    from_nobody["frame"] = json!(format!("{}{}{}", &text[..100], "22".repeat(32), &text[164..]));
    as_up("no agent speaks to an agent", Refusal::ZeroId, from_nobody);
    let signed = up(M::Request, Shape::Once, C::None);
    let mut flagged = case(Boundary::Up, &signed, &none, b"");
    let text = flagged["frame"].as_str().unwrap().to_owned();
    flagged["frame"] = json!(format!("{}0002{}", &text[..172], &text[176..]));
    as_up("an agent signs", Refusal::Shape, flagged.clone());
    flagged["frame"] = json!(format!("{}0001{}", &text[..172], &text[176..]));
    as_up("an agent seals", Refusal::Shape, flagged.clone());
    flagged["frame"] = json!(format!("{}00000005", &text[..184]) + &text[192..]);
    as_up("an agent takes a place", Refusal::Shape, flagged);
}

fn refused_down(cases: &mut Cases) {
    use {ContentType as C, MessageType as M};
    let names = Names::new();
    let mut refuse = |name: &str, draft: Draft, metadata: MetadataDraft<'_>| {
        cases.refuse(name, Refusal::MetadataPresence, case(Boundary::Down, &draft, &metadata, b""));
    };
    let once = || down(M::Request, Shape::Once, C::None);
    let durable = || down(M::Request, MESSAGES, C::None);
    refuse("a delivery that proves nothing", once(), MetadataDraft::default());
    refuse("a delivery without hops", once(), MetadataDraft { hops: None, ..names.once() });
    refuse("a delivery with a number", once(), MetadataDraft { delivery_number: Some(1), ..names.once() });
    refuse("a delivery with a mark", once(), MetadataDraft { marked: true, ..names.once() });
    refuse(
        "a durable delivery without a number",
        durable(),
        MetadataDraft { delivery_number: None, ..names.durable() },
    );
    refuse("a durable delivery without an attempt", durable(), MetadataDraft { attempt: None, ..names.durable() });
    refuse("a durable delivery without a lease", durable(), MetadataDraft { lease_ms: None, ..names.durable() });
    refuse("a durable delivery without an expiry", durable(), MetadataDraft { expiry: None, ..names.durable() });
    refuse("a durable delivery with a flow", durable(), MetadataDraft { flow_id: FlowId::new(2), ..names.durable() });
    refuse("a delivery with a last stage", once(), MetadataDraft { last_stage: Some(Stage::None), ..names.once() });
    refuse(
        "told with a number",
        Draft { told: Receipt::Stored, ..down(M::Ack, Shape::Told, C::None) },
        MetadataDraft { delivery_number: Some(1), ..Default::default() },
    );
    for (name, key, value) in [
        ("an attempt of 0", 0x44, "00"),
        ("33 hops", 0x45, "21"),
        ("proof 3", 0x48, "03"),
        ("a mark that is false", 0x47, "c2"),
    ] {
        let marked = MetadataDraft { marked: true, ..names.durable() };
        let mut case = case(Boundary::Down, &durable(), &marked, b"");
        let text = case["frame"].as_str().unwrap().to_owned();
        let at = find_key(&text, key);
        case["frame"] = json!(format!("{}{value}{}", &text[..at + 2], &text[at + 4..]));
        cases.refuse(name, Refusal::MetadataValue, case);
    }
}

/// Where a key of one byte with a value of one byte stands, in digits.
fn find_key(text: &str, key: u8) -> usize {
    let values = match key {
        0x44 | 0x45 => "01",
        0x47 => "c3",
        _ => "02",
    };
    let wanted = format!("{key:02x}{values}");
    (196..text.len()).step_by(2).rev().find(|at| text[*at..].starts_with(&wanted)).expect("it stands there")
}
