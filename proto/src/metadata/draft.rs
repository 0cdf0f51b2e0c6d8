//! Metadata to be written. What an agent chose, what its daemon adds at each attempt, and the applications' own
//! entries are kept apart, so that floor and AGAIN change without encoding the rest anew.

use bytes::{BufMut, BytesMut};

use super::Key;
use crate::msgpack::Writer;
use crate::{FlowId, MessageId, Name, NodeId};

/// What a daemon proved about the source of a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// It is on this host, and the kernel told its uid.
    SameHost = 1,
    /// Its signature held.
    Signature = 2,
}

/// The last stage of a message that its sender wants to hear of. The numbers are those of the receipts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Nothing but errors.
    None = 0,
    /// On the destination's disk.
    Stored = 1,
    /// Acknowledged by the destination agent.
    Handled = 2,
    /// On the source's disk.
    Accepted = 3,
}

/// All that can stand in metadata; what is absent is not written.
#[expect(missing_docs, reason = "each is a row of the table in docs/PROTOCOL.md, sections 4 and 12")]
#[derive(Clone, Default)]
pub struct MetadataDraft<'a> {
    pub content_type_name: Option<&'a str>,
    pub expiry: Option<u64>,
    pub flow_id: Option<FlowId>,
    pub subject: Option<&'a str>,
    pub topic: Option<&'a str>,
    pub stream_id: Option<MessageId>,
    pub total_length: Option<u64>,
    pub stream_secret: Option<&'a [u8; 32]>,
    pub traceparent: Option<&'a str>,
    pub session_id: Option<&'a str>,
    pub capability: Option<&'a str>,
    pub floor: Option<u32>,
    pub handled_wanted: bool,
    pub again: bool,
    pub delivery_number: Option<u64>,
    pub source_name: Option<&'a Name>,
    pub source_node: Option<NodeId>,
    pub source_node_name: Option<&'a Name>,
    pub attempt: Option<u32>,
    pub hops: Option<u8>,
    pub received: Option<u64>,
    pub marked: bool,
    pub proof: Option<Proof>,
    pub last_stage: Option<Stage>,
    pub lease_ms: Option<u64>,
    pub credit_messages: Option<u64>,
    pub credit_bytes: Option<u64>,
    /// Each a key and the MessagePack of its value.
    pub application: &'a [(&'a str, &'a [u8])],
}

impl MetadataDraft<'_> {
    /// Appends the length and the map; an empty map is written as nothing at all. Bounds are judged when it is read.
    pub fn write(&self, out: &mut BytesMut) {
        let length_at = out.len();
        out.put_u16(0);
        let entries = self.entries();
        if entries == 0 {
            return;
        }
        let mut writer = Writer::new(out);
        writer.map(entries);
        let mut map = Entries(writer);
        self.write_known(&mut map);
        for (key, value) in self.application {
            map.0.str(key);
            map.0.encoded(value);
        }
        let length = out.len() - length_at - 2;
        // A map beyond the field is caught by whoever reads it: the length then says too little.
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        if let Some(place) = out.get_mut(length_at..length_at + 2) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }

    /// In the order of their keys, the form that is also the shortest to compare.
    fn write_known(&self, map: &mut Entries<'_>) {
        map.text(Key::ContentTypeName, self.content_type_name);
        map.uint(Key::Expiry, self.expiry);
        map.uint(Key::FlowId, self.flow_id.map(FlowId::get));
        map.text(Key::Subject, self.subject);
        map.text(Key::Topic, self.topic);
        map.bin(Key::StreamId, self.stream_id.map(|id| id.get().to_be_bytes()).as_ref());
        map.uint(Key::TotalLength, self.total_length);
        map.bin(Key::StreamSecret, self.stream_secret);
        map.text(Key::Traceparent, self.traceparent);
        map.text(Key::SessionId, self.session_id);
        map.text(Key::Capability, self.capability);
        map.uint(Key::Floor, self.floor.map(u64::from));
        map.truth(Key::HandledWanted, self.handled_wanted);
        map.truth(Key::Again, self.again);
        map.uint(Key::DeliveryNumber, self.delivery_number);
        map.text(Key::SourceName, self.source_name.map(Name::as_str));
        map.bin(Key::SourceNode, self.source_node.as_ref().map(NodeId::as_bytes));
        map.text(Key::SourceNodeName, self.source_node_name.map(Name::as_str));
        map.uint(Key::Attempt, self.attempt.map(u64::from));
        map.uint(Key::Hops, self.hops.map(u64::from));
        map.uint(Key::Received, self.received);
        map.truth(Key::Marked, self.marked);
        map.uint(Key::Proof, self.proof.map(|proof| proof as u64));
        map.uint(Key::LastStage, self.last_stage.map(|stage| stage as u64));
        map.uint(Key::Lease, self.lease_ms);
        map.uint(Key::CreditMessages, self.credit_messages);
        map.uint(Key::CreditBytes, self.credit_bytes);
    }

    fn entries(&self) -> usize {
        let known = [
            self.content_type_name.is_some(),
            self.expiry.is_some(),
            self.flow_id.is_some(),
            self.subject.is_some(),
            self.topic.is_some(),
            self.stream_id.is_some(),
            self.total_length.is_some(),
            self.stream_secret.is_some(),
            self.traceparent.is_some(),
            self.session_id.is_some(),
            self.capability.is_some(),
            self.floor.is_some(),
            self.handled_wanted,
            self.again,
            self.delivery_number.is_some(),
            self.source_name.is_some(),
            self.source_node.is_some(),
            self.source_node_name.is_some(),
            self.attempt.is_some(),
            self.hops.is_some(),
            self.received.is_some(),
            self.marked,
            self.proof.is_some(),
            self.last_stage.is_some(),
            self.lease_ms.is_some(),
            self.credit_messages.is_some(),
            self.credit_bytes.is_some(),
        ];
        known.into_iter().filter(|is_there| *is_there).count() + self.application.len()
    }
}

/// Prints no values: some are secrets.
impl core::fmt::Debug for MetadataDraft<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("MetadataDraft").field("entries", &self.entries()).finish_non_exhaustive()
    }
}

/// Entries of the map, in the order in which they are written.
struct Entries<'o>(Writer<'o>);

impl Entries<'_> {
    fn uint(&mut self, key: Key, value: Option<u64>) {
        if let Some(value) = value {
            self.0.number(key as u64);
            self.0.number(value);
        }
    }

    fn text(&mut self, key: Key, value: Option<&str>) {
        if let Some(value) = value {
            self.0.number(key as u64);
            self.0.str(value);
        }
    }

    fn bin<const N: usize>(&mut self, key: Key, value: Option<&[u8; N]>) {
        if let Some(value) = value {
            self.0.number(key as u64);
            self.0.octets(value);
        }
    }

    fn truth(&mut self, key: Key, value: bool) {
        if value {
            self.0.number(key as u64);
            self.0.truth();
        }
    }
}
