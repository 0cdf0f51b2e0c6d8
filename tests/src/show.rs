//! What was decoded, as the vectors write it.

use proto::Header;
use proto::entry::{Entry, Letter, Place};
use proto::metadata::{Key, Metadata};
use proto::record::{AgentRecord, NodeRecord, Revocations};
use serde_json::{Map, Value, json};

use crate::hex;

/// Name in the vectors, key, and how its value is written.
const NAMES: [(&str, Key, Form); 27] = [
    ("content_type_name", Key::ContentTypeName, Form::Text),
    ("expiry", Key::Expiry, Form::Long),
    ("flow_id", Key::FlowId, Form::Long),
    ("subject", Key::Subject, Form::Text),
    ("topic", Key::Topic, Form::Text),
    ("stream_id", Key::StreamId, Form::Octets),
    ("total_length", Key::TotalLength, Form::Long),
    ("stream_secret", Key::StreamSecret, Form::Octets),
    ("traceparent", Key::Traceparent, Form::Text),
    ("session_id", Key::SessionId, Form::Text),
    ("capability", Key::Capability, Form::Text),
    ("floor", Key::Floor, Form::Short),
    ("handled_wanted", Key::HandledWanted, Form::True),
    ("again", Key::Again, Form::True),
    ("delivery_number", Key::DeliveryNumber, Form::Long),
    ("source_name", Key::SourceName, Form::Text),
    ("source_node", Key::SourceNode, Form::Octets),
    ("source_node_name", Key::SourceNodeName, Form::Text),
    ("attempt", Key::Attempt, Form::Short),
    ("hops", Key::Hops, Form::Short),
    ("received", Key::Received, Form::Long),
    ("marked", Key::Marked, Form::True),
    ("proof", Key::Proof, Form::Short),
    ("last_stage", Key::LastStage, Form::Short),
    ("lease", Key::Lease, Form::Long),
    ("credit_messages", Key::CreditMessages, Form::Long),
    ("credit_bytes", Key::CreditBytes, Form::Long),
];

#[derive(Clone, Copy)]
enum Form {
    Text,
    Octets,
    Short,
    Long,
    True,
}

/// Metadata as an object of names.
#[must_use]
pub fn metadata(metadata: &Metadata) -> Value {
    let mut object = Map::new();
    for (name, key, form) in NAMES {
        if metadata.has(key) {
            let value = match form {
                Form::Text => json!(metadata.text(key).expect("a text")),
                Form::Octets => json!(hex::write(metadata.octets(key).expect("octets"))),
                Form::Short => json!(metadata.number(key).expect("a number")),
                Form::Long => json!(metadata.number(key).expect("a number").to_string()),
                Form::True => json!(true),
            };
            object.insert(name.into(), value);
        }
    }
    let application: Map<_, _> =
        metadata.application().map(|(key, value)| (key.to_owned(), json!(hex::write(value)))).collect();
    if !application.is_empty() {
        object.insert("application".into(), application.into());
    }
    object.into()
}

/// The fields of a header.
#[must_use]
pub fn header(header: &Header) -> Value {
    let bytes = header.to_bytes();
    json!({
        "version": bytes[0],
        "type": bytes[1],
        "message_id": header.id().to_string(),
        "timestamp": header.timestamp().to_string(),
        "source": hex::write(header.source().as_bytes()),
        "destination": hex::write(header.destination().as_bytes()),
        "payload_length": header.payload_bytes(),
        "flags": header.flags().bits(),
        "ttl": header.ttl(),
        "content_type": header.content_type() as u8,
        "initial_ttl": header.initial_ttl(),
        "receipt": header.receipt() as u8,
        "sequence": header.sequence().get(),
        "shape": header.shape().word(),
    })
}

/// The fields of an agent's record.
#[must_use]
pub fn agent_record(record: &AgentRecord) -> Value {
    let mut fields = json!({
        "public_key": hex::write(record.public_key),
        "name": record.name.as_str(),
        "capabilities": record.capabilities,
        "topics": record.topics,
        "host": hex::write(record.host.as_bytes()),
        "sequence": record.sequence.to_string(),
        "expiry": record.expiry.to_string(),
    });
    if let Some((public, not_after)) = &record.prekey {
        fields["prekey"] = json!(hex::write(public));
        fields["prekey_not_after"] = json!(not_after.to_string());
    }
    if !record.chain.is_empty() {
        fields["chain"] = record.chain.iter().map(hex::write).collect();
    }
    fields
}

/// The fields of a node's record.
#[must_use]
pub fn node_record(record: &NodeRecord) -> Value {
    let mut fields = json!({
        "public_key": hex::write(record.public_key),
        "name": record.name.as_str(),
        "addresses": record.addresses,
        "links": record.links.iter().map(|link| hex::write(link.as_bytes())).collect::<Vec<_>>(),
        "sequence": record.sequence.to_string(),
        "expiry": record.expiry.to_string(),
    });
    if let Some(certificate) = &record.certificate {
        fields["chain"] = json!([hex::write(certificate)]);
    }
    fields
}

/// Who is out.
#[must_use]
pub fn revocations(record: &Revocations) -> Value {
    json!({
        "mesh": hex::write(record.mesh),
        "epoch": record.epoch.to_string(),
        "nodes": record.nodes.iter().map(|node| hex::write(node.as_bytes())).collect::<Vec<_>>(),
    })
}

/// What an entry of the journal says.
#[must_use]
pub fn entry(entry: &Entry) -> Value {
    let mut says = match entry {
        Entry::Owned { letter: said, place: at, .. } => with(letter(said), "place", place(*at)),
        Entry::Moved(number, at) => json!({ "entry": number.get().to_string(), "place": place(*at) }),
        Entry::Received { received, .. } => json!({
            "letter": letter(&received.letter),
            "received": received.received.to_string(),
            "source_node": hex::write(received.source_node.as_bytes()),
            "hops": received.hops,
            "marked": received.marked,
        }),
        Entry::Stub(stub) => json!({
            "source": hex::write(stub.source.as_bytes()),
            "destination": hex::write(stub.destination.as_bytes()),
            "message_id": stub.id.to_string(),
            "expiry": stub.expiry.to_string(),
            "is_request": stub.is_request,
        }),
        Entry::Mark(mark) => json!({
            "source": hex::write(mark.source.as_bytes()),
            "destination": hex::write(mark.destination.as_bytes()),
            "place": place(mark.place),
            "keep_until": mark.keep_until.to_string(),
        }),
        Entry::Record(carried) => json!({ "record": hex::write(carried.as_bytes()) }),
        Entry::Birth(wall) | Entry::MarksDropped(wall) | Entry::ClockSuspended(wall) | Entry::Clock(wall) => {
            json!({ "wall": wall.to_string() })
        }
        Entry::Died { entry, code, since } => {
            json!({ "entry": entry.get().to_string(), "code": code, "since": since.to_string() })
        }
        Entry::Revived { entry, timestamp, expiry } => json!({
            "entry": entry.get().to_string(),
            "timestamp": timestamp.to_string(),
            "expiry": expiry.to_string(),
        }),
        Entry::Delivered(entries) => {
            json!({ "entries": entries.iter().map(|number| number.get().to_string()).collect::<Vec<_>>() })
        }
        Entry::Dead { dead, .. } => json!({
            "letter": letter(&dead.letter),
            "code": dead.code,
            "since": dead.since.to_string(),
        }),
    };
    if let Entry::Owned { parts, .. } | Entry::Received { parts, .. } | Entry::Dead { parts, .. } = entry {
        says = with(says, "metadata", hex::write(parts.metadata.as_bytes()).into());
        says = with(says, "body", hex::write(&parts.body).into());
    }
    with(says, "kind", entry.name().into())
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn letter(letter: &Letter) -> Value {
    json!({
        "source": hex::write(letter.source.as_bytes()),
        "destination": hex::write(letter.destination.as_bytes()),
        "message_id": letter.id.to_string(),
        "type": letter.message_type as u8,
        "content_type": letter.content_type as u8,
        "timestamp": letter.timestamp.to_string(),
        "expiry": letter.expiry.to_string(),
        "handled_wanted": letter.handled_wanted,
        "again": letter.again,
    })
}

fn place(place: Place) -> Value {
    json!({ "flow": place.flow.get().to_string(), "sequence": place.sequence })
}
