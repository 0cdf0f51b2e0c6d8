//! What was inside a frame: metadata and an opaque body, checked against the frame they came in.

use bytes::Bytes;

use crate::control::ErrorBody;
use crate::metadata::{Key, place};
use crate::{Boundary, ContentType, ErrorCode, Header, MessageType, Metadata, Refusal, Shape, limits};

/// A plain body that fits its header.
#[derive(Clone)]
pub struct Content {
    /// The header it came with.
    pub header: Header,
    /// What the protocol and the applications say about the body.
    pub metadata: Metadata,
    /// What one agent says to another. No daemon parses it, but for an ERROR's.
    pub body: Bytes,
}

impl Content {
    /// Reads and judges a plain body: the frame's payload where it is not sealed, else what was sealed.
    pub fn read(header: &Header, mut plain: Bytes) -> Result<Self, Refusal> {
        if header.shape() == Shape::Pong && header.boundary() == Boundary::Wire {
            let metadata = Metadata::default();
            return if plain.is_empty() {
                Ok(Self { header: *header, metadata, body: plain })
            } else {
                Err(Refusal::Length)
            };
        }
        let length = plain.first_chunk().copied().map(u16::from_be_bytes).ok_or(Refusal::Length)?;
        let length = usize::from(length);
        let body_at = limits::METADATA_LENGTH_BYTES + length;
        if length > limits::METADATA_BYTES_MAX || body_at > plain.len() {
            return Err(Refusal::MetadataLength);
        }
        let body = plain.split_off(body_at);
        let metadata = Metadata::read(plain.split_off(limits::METADATA_LENGTH_BYTES))?;
        judge_place(header, &metadata)?;
        judge_body(header, &metadata, &body)?;
        Ok(Self { header: *header, metadata, body })
    }

    /// What can be said of a durable frame from the wire whose content [`Content::read`] refused: its place in the
    /// flow, if that much is sound. The body is left out.
    #[must_use]
    pub fn read_place(header: &Header, mut plain: Bytes) -> Option<Self> {
        let (Shape::Durable(kind), Boundary::Wire) = (header.shape(), header.boundary()) else { return None };
        let length = plain.first_chunk().copied().map(u16::from_be_bytes)?;
        let body_at = limits::METADATA_LENGTH_BYTES + usize::from(length);
        if body_at > plain.len() {
            return None;
        }
        plain.truncate(body_at);
        let metadata = Metadata::read(plain.split_off(limits::METADATA_LENGTH_BYTES)).ok()?;
        let floor = metadata.number(Key::Floor)?;
        let is_sound = metadata.flow_id()?.kind() == kind && floor <= header.sequence().get().into();
        is_sound.then(|| Self { header: *header, metadata, body: Bytes::new() })
    }

    /// The body of an ERROR.
    pub fn error(&self) -> Result<ErrorBody, Refusal> {
        ErrorBody::read(self.header.content_type(), &self.body)
    }
}

fn judge_place(header: &Header, metadata: &Metadata) -> Result<(), Refusal> {
    match header.shape() {
        // The same two bytes in every one of them; nothing is said beside the bytes of the stream.
        Shape::Chunk | Shape::ChunkAck | Shape::StreamEnd => {
            if metadata.as_bytes().is_empty() {
                Ok(())
            } else {
                Err(Refusal::MetadataPresence)
            }
        }
        Shape::Once
        | Shape::Durable(_)
        | Shape::Stored
        | Shape::Pong
        | Shape::Notice
        | Shape::Ping
        | Shape::Opener
        | Shape::StreamAbort
        | Shape::Handled
        | Shape::Told => place::judge(header, metadata),
    }
}

fn judge_body(header: &Header, metadata: &Metadata, body: &Bytes) -> Result<(), Refusal> {
    let most = header.shape().body_bytes_max(header.message_type());
    if body.len() > most {
        return Err(if most == 0 { Refusal::Body } else { Refusal::TooLarge });
    }
    if header.content_type() == ContentType::None && !body.is_empty() {
        return Err(Refusal::Body);
    }
    if header.message_type() != MessageType::Error {
        return Ok(());
    }
    let error = ErrorBody::read(header.content_type(), body)?;
    if header.boundary() == Boundary::Wire && header.shape() == Shape::Notice {
        let names_flow = error.code == ErrorCode::OLDER_FLOW;
        if names_flow != metadata.has(Key::FlowId) {
            return Err(Refusal::MetadataPresence);
        }
    }
    Ok(())
}

/// Says how long the body is, never what is in it.
impl core::fmt::Debug for Content {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Content")
            .field("header", &self.header)
            .field("metadata", &self.metadata)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}
