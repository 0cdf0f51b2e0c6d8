//! Entries of every kind and form, as bytes and as what they say. Cases that are there stay; new ones are added.

use std::path::Path;

use bytes::Bytes;
use proto::entry::{DeadLetter, Entry, EntryNumber, Letter, Mark, Parts, Place, Received, Stub};
use proto::record::CarriedRecord;
use proto::{AgentId, ContentType, FlowId, MessageId, MessageType, Metadata, NodeId};
use referee::{hex, show};
use serde_json::{Value, json};

pub(crate) fn make(path: &Path) {
    let mut cases: Vec<Value> =
        std::fs::read_to_string(path).map(|text| referee::judge::cases(&text)).unwrap_or_default();
    for (name, entry) in all() {
        let bytes = entry.write();
        let name = format!("{name}, form {}", bytes.get(1).expect("a form"));
        if cases.iter().all(|case| case["name"] != name.as_str()) {
            cases.push(json!({ "name": name, "entry": hex::write(&bytes), "says": show::entry(&entry) }));
        }
    }
    let about = "Entries of the journal, before they are sealed. A case is never changed; a new form is a new case.";
    let lines: Vec<_> = cases.iter().map(Value::to_string).collect();
    crate::write(path, &format!("{{\"about\": {},\n\"cases\": [\n{}\n]}}\n", json!(about), lines.join(",\n")));
}

fn letter(message_type: MessageType, flags: [bool; 2]) -> Letter {
    Letter {
        source: AgentId::new([0x11; 32]),
        destination: AgentId::new([0x22; 32]),
        id: MessageId::new(0x0123_4567_89ab_cdef),
        message_type,
        content_type: ContentType::Json,
        timestamp: 1_700_000_000_000_000_001,
        expiry: 1_700_086_400_000_000_002,
        handled_wanted: flags[0],
        again: flags[1],
    }
}

fn place(flow: u64, sequence: u32) -> Place {
    Place { flow: FlowId::new(flow).expect("in range"), sequence }
}

/// The expiry, as an agent may set it, and a body.
fn parts() -> Parts {
    let metadata = [&[0x81, 2, 0xcf][..], &1_700_086_400_000_000_002_u64.to_be_bytes()].concat();
    Parts { metadata: Metadata::read(Bytes::from(metadata)).expect("a map"), body: Bytes::from_static(b"{\"n\":1}") }
}

fn received(message_type: MessageType, hops: u8, marked: bool) -> Received {
    let source_node = NodeId::new(AgentId::new([0x33; 32]));
    let letter = letter(message_type, [true, false]);
    Received { letter, received: 1_700_000_000_500_000_000, source_node, hops, marked }
}

fn revived(timestamp: u64) -> Entry {
    Entry::Revived { entry: EntryNumber::new(7), timestamp, expiry: timestamp + 86_400_000_000_000 }
}

fn stub(is_request: bool) -> Entry {
    let Letter { source, destination, id, expiry, .. } = letter(MessageType::Request, [true, false]);
    Entry::Stub(Stub { source, destination, id, expiry, is_request })
}

/// Records that stand in the vectors between languages.
fn record(kind: &str) -> Entry {
    let text = std::fs::read_to_string(referee::root().join("proto/vectors/records.json")).expect("the vectors");
    let cases = referee::judge::cases(&text);
    let case = cases.iter().find(|case| case["kind"] == kind).expect("a record");
    let bytes = hex::read(case["record"].as_str().expect("hex"));
    Entry::Record(CarriedRecord::read(bytes.into()).expect("a record"))
}

fn all() -> Vec<(String, Entry)> {
    let types = [
        ("request", MessageType::Request),
        ("response", MessageType::Response),
        ("ack", MessageType::Ack),
        ("error", MessageType::Error),
        ("broadcast", MessageType::Broadcast),
    ];
    let mut all = Vec::new();
    for (name, message_type) in types {
        let letter = letter(message_type, [false, false]);
        all.push((format!("owned {name}"), Entry::Owned { letter, place: place(2, 1), parts: parts() }));
        let received = received(message_type, 1, false);
        all.push((format!("received {name}"), Entry::Received { received, parts: parts() }));
    }
    let mark = |place| {
        let (source, destination) = (AgentId::new([0x11; 32]), AgentId::new([0x22; 32]));
        Entry::Mark(Mark { source, destination, place, keep_until: 1_700_087_000_000_000_000 })
    };
    let dead = |code, again| {
        let dead =
            DeadLetter { letter: letter(MessageType::Request, [true, again]), code, since: 1_700_000_001_000_000_000 };
        Entry::Dead { dead, parts: parts() }
    };
    let letter = letter(MessageType::Request, [true, true]);
    let others = [
        (
            "owned with all flags at the last place",
            Entry::Owned { letter, place: place(i64::MAX as u64, u32::MAX), parts: parts() },
        ),
        ("owned without parts", Entry::Owned { letter, place: place(1, 0), parts: Parts::default() }),
        ("moved", Entry::Moved(EntryNumber::new(7), place(4, 9))),
        (
            "received here and marked",
            Entry::Received { received: received(MessageType::Request, 0, true), parts: Parts::default() },
        ),
        ("stub of a request", stub(true)),
        ("stub of a broadcast", stub(false)),
        ("mark of messages", mark(place(1_700_000_000_000_000_002, 300))),
        ("mark of answers", mark(place(1_700_000_000_000_000_003, u32::MAX))),
        ("record of an agent", record("agent")),
        ("record of a node", record("node")),
        ("birth", Entry::Birth(1_700_000_000_000_000_000)),
        ("marks dropped", Entry::MarksDropped(1_700_000_000_000_000_000)),
        ("delivered nothing", Entry::Delivered(Vec::new())),
        ("delivered", Entry::Delivered([1, 2, u64::MAX].map(EntryNumber::new).to_vec())),
        ("dead, given up", dead(4014, false)),
        ("dead, its end unknown", dead(4004, true)),
        ("clock suspended", Entry::ClockSuspended(1_700_000_000_000_000_000)),
        ("died", Entry::Died { entry: EntryNumber::new(7), code: 4014, since: 1_700_000_001_000_000_000 }),
        ("revived", revived(1_700_000_002_000_000_000)),
        ("clock", Entry::Clock(1_700_000_000_000_000_000)),
    ];
    all.extend(others.map(|(name, entry)| (name.to_owned(), entry)));
    all
}
