//! Frames on their way down to an agent. What cannot be written is a fault of this daemon, and is told as one.

use bytes::{Bytes, BytesMut};
use mesh::Outgoing;
use proto::control::{ErrorBody, subject};
use proto::entry::Parts;
use proto::metadata::MetadataDraft;
use proto::{
    AgentId, Boundary, ContentType, Draft, ErrorCode, Header, MessageId, MessageType, Receipt, Refusal, Sequence,
    Shape, limits,
};

use super::credit::Amount;
use crate::shared::Shared;

/// Appends a frame. If it would be refused by whoever reads it, nothing is appended.
pub(crate) fn compose(out: &mut BytesMut, outgoing: &Outgoing, parts: &Parts) -> Result<(), Refusal> {
    let mut application = Vec::new();
    let metadata = outgoing.notes.draft(parts, &mut application);
    append(out, &outgoing.draft, &metadata, &parts.body)
}

fn append(out: &mut BytesMut, draft: &Draft, metadata: &MetadataDraft<'_>, body: &[u8]) -> Result<(), Refusal> {
    const METADATA_GUESS: usize = 512;
    let begin = out.len();
    out.reserve(limits::HEADER_BYTES + METADATA_GUESS + body.len());
    out.resize(begin + limits::HEADER_BYTES, 0);
    metadata.write(out);
    out.extend_from_slice(body);
    let header = Header::make(draft, Boundary::Down, out.len() - begin - limits::HEADER_BYTES);
    let place = out.get_mut(begin..begin + limits::HEADER_BYTES);
    match (header, place) {
        (Ok(header), Some(place)) => {
            place.copy_from_slice(&header.to_bytes());
            Ok(())
        }
        (header, _) => {
            out.truncate(begin);
            Err(header.err().unwrap_or(Refusal::Length))
        }
    }
}

/// The node's own answer to a question.
pub(crate) fn answer(shared: &Shared, asked: &Header, content_type: ContentType, body: &[u8]) -> Option<Bytes> {
    let draft = Draft { content_type, ..draft(shared, MessageType::Response, Shape::Once, asked.id(), asked.source()) };
    let mut out = BytesMut::new();
    append(&mut out, &draft, &MetadataDraft::default(), body).ok()?;
    Some(out.freeze())
}

/// What was wrong with something that a client sent.
pub(crate) fn error_frame(
    shared: &Shared,
    original: MessageId,
    destination: AgentId,
    asked: ContentType,
    code: ErrorCode,
    message: &str,
) -> Option<Bytes> {
    let content_type = content_type_of_answer(asked);
    let body = ErrorBody { code, message: message.into(), original, retry_after_ms: 0 }.write(content_type);
    let draft = Draft { content_type, ..draft(shared, MessageType::Error, Shape::Notice, original, destination) };
    let mut out = BytesMut::new();
    append(&mut out, &draft, &MetadataDraft::default(), &body).ok()?;
    Some(out.freeze())
}

/// The daemon answers as it was asked, where it can write that.
pub(crate) const fn content_type_of_answer(asked: ContentType) -> ContentType {
    match asked {
        ContentType::Protobuf => ContentType::Protobuf,
        ContentType::Json => ContentType::Json,
        ContentType::None | ContentType::MessagePack | ContentType::Octets | ContentType::Text | ContentType::Named => {
            ContentType::MessagePack
        }
    }
}

/// How much the daemon will take in all on this connection. It is about no agent.
pub(super) fn credit_frame(shared: &Shared, told: Amount) -> Option<Bytes> {
    let draft = draft(shared, MessageType::Request, Shape::Once, MessageId::new(told.frames), AgentId::ZERO);
    let metadata = MetadataDraft {
        subject: Some(subject::CREDIT),
        credit_messages: Some(told.frames),
        credit_bytes: Some(told.bytes),
        ..MetadataDraft::default()
    };
    let mut out = BytesMut::new();
    append(&mut out, &draft, &metadata, &[]).ok()?;
    Some(out.freeze())
}

fn draft(shared: &Shared, message_type: MessageType, shape: Shape, id: MessageId, destination: AgentId) -> Draft {
    Draft {
        message_type,
        shape,
        id,
        timestamp: shared.clock.now().wall.0,
        source: shared.node.agent(),
        destination,
        content_type: ContentType::None,
        hops: 0,
        sequence: Sequence::NONE,
        told: Receipt::None,
        last: false,
    }
}
