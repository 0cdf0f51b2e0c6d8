//! What is sent, kept apart from the frame, so that it can be written again with another mark. Writes frames of the
//! door and judges lengths; never touches the socket.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use proto::control::subject;
use proto::metadata::{MetadataDraft, Stage};
use proto::{
    AgentId, Boundary, ContentType, Draft, FlowKind, Header, MessageId, MessageType, Metadata, Receipt, Sequence,
    Shape, limits,
};

use crate::credit::Amount;
use crate::error::Refuse;
use crate::shared::Progress;
use crate::{Body, ClientError};

/// One submission, as long as it may have to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) message_type: MessageType,
    pub(crate) shape: Shape,
    pub(crate) destination: AgentId,
    pub(crate) body: Body,
    pub(crate) subject: Option<Cow<'static, str>>,
    pub(crate) extras: Extras,
    pub(crate) handled_wanted: bool,
    pub(crate) last_stage: Option<Stage>,
    pub(crate) delivery_number: Option<u64>,
    /// What this side will take in all.
    pub(crate) credit: Option<Amount>,
    /// An id that was drawn before, and whether it may have been submitted under it.
    pub(crate) drawn: Option<(MessageId, bool)>,
}

/// What an agent may add to a message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    pub(crate) expiry: Option<u64>,
    pub(crate) traceparent: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) capability: Option<String>,
    pub(crate) application: Vec<(String, Vec<u8>)>,
}

/// What only the moment of sending knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) id: MessageId,
    pub(crate) source: AgentId,
    pub(crate) again: bool,
}

impl Letter {
    pub(crate) fn new(message_type: MessageType, shape: Shape, destination: AgentId, body: Body) -> Self {
        Self {
            message_type,
            shape,
            destination,
            body,
            subject: None,
            extras: Extras::default(),
            handled_wanted: false,
            last_stage: None,
            delivery_number: None,
            credit: None,
            drawn: None,
        }
    }

    /// A question to the node.
    pub(crate) fn question(subject: impl Into<Cow<'static, str>>, body: Body) -> Self {
        let mut letter = Self::new(MessageType::Request, Shape::Once, AgentId::ZERO, body);
        letter.subject = Some(subject.into());
        letter
    }

    /// ACK: a delivery was handled.
    pub(crate) fn handled(destination: AgentId, number: u64) -> Self {
        let mut letter = Self::new(MessageType::Ack, Shape::Handled, destination, Body::empty());
        letter.delivery_number = Some(number);
        letter
    }

    /// ERROR: a delivery will not be handled.
    pub(crate) fn refuse(destination: AgentId, number: Option<u64>, original: MessageId, why: &Refuse) -> Self {
        let body = Body::new(ContentType::MessagePack, why.body(original).write(ContentType::MessagePack));
        let mut letter = Self::new(MessageType::Error, Shape::Notice, destination, body);
        letter.delivery_number = number;
        letter
    }

    /// Judges all that the caller chose, before anything is under way.
    pub(crate) fn judge(&self, body_bytes_max: usize) -> Result<(), ClientError> {
        let most = self.shape.body_bytes_max(self.message_type).min(body_bytes_max);
        if self.body.bytes.len() > most {
            return Err(ClientError::TooLarge { bytes: self.body.bytes.len(), most });
        }
        let extras = &self.extras;
        let texts = [
            (
                self.subject.as_deref(),
                limits::SUBJECT_BYTES_MAX,
                "a subject is 1 to 255 bytes without control characters",
            ),
            (
                self.body.content_type.name.as_deref(),
                limits::CONTENT_TYPE_BYTES_MAX,
                "a content type's name is 1 to 127 bytes without control characters",
            ),
            (
                extras.traceparent.as_deref(),
                limits::TRACEPARENT_BYTES_MAX,
                "a traceparent is 1 to 128 bytes without control characters",
            ),
            (
                extras.session.as_deref(),
                limits::CAPABILITY_BYTES_MAX,
                "a session id is 1 to 64 bytes without control characters",
            ),
            (
                extras.capability.as_deref(),
                limits::CAPABILITY_BYTES_MAX,
                "a capability is 1 to 64 bytes without control characters",
            ),
        ];
        for (text, most, what) in texts {
            let fits = |text: &str| !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control);
            if !text.is_none_or(fits) {
                return Err(ClientError::Invalid { what });
            }
        }
        if self.body.content_type.number == ContentType::None && !self.body.bytes.is_empty() {
            return Err(ClientError::Invalid { what: "a body has a content type" });
        }
        if extras.application.is_empty() { Ok(()) } else { self.judge_application() }
    }

    /// The applications' own entries may be anything that the reader on the other side takes.
    fn judge_application(&self) -> Result<(), ClientError> {
        let mut out = BytesMut::new();
        self.write_metadata(false, &mut out);
        let map = out.split_off(limits::METADATA_LENGTH_BYTES);
        if map.len() > limits::METADATA_BYTES_MAX || Metadata::read(map.freeze()).is_err() {
            return Err(ClientError::Invalid {
                what: "entries of an application's own are at most 16 KiB with distinct keys of 1 to 128 bytes",
            });
        }
        Ok(())
    }

    /// Whether it frees something at the daemon or keeps a delivery here: such a word waits for no credit.
    pub(crate) fn is_control(&self) -> bool {
        let is_about_delivery = matches!(self.shape, Shape::Handled | Shape::Notice);
        let subject = self.subject.as_deref().filter(|_| self.destination.is_zero());
        is_about_delivery || subject.is_some_and(|subject| [subject::WORKING, subject::DETACH].contains(&subject))
    }

    /// Whether its end, and not only where it lies, was asked for.
    pub(crate) fn wants_outcome(&self) -> bool {
        self.last_stage == Some(Stage::Handled)
    }

    /// Whether nothing that was asked for is still to come.
    pub(crate) fn is_last(&self, heard: &Progress) -> bool {
        match self.last_stage {
            Some(Stage::Accepted) => heard.is_accepted,
            Some(Stage::Stored) => heard.is_stored,
            Some(Stage::Handled | Stage::None) | None => false,
        }
    }

    /// Appends the frame. On error nothing is appended.
    pub(crate) fn write(&self, stamp: Stamp, out: &mut BytesMut) -> Result<(), ClientError> {
        let start = out.len();
        out.reserve(limits::HEADER_BYTES + 64 + self.body.bytes.len());
        out.put_bytes(0, limits::HEADER_BYTES);
        self.write_metadata(stamp.again, out);
        out.put_slice(&self.body.bytes);
        let plain = out.len() - start - limits::HEADER_BYTES;
        let header = match Header::make(&self.draft(stamp), Boundary::Up, plain) {
            Ok(header) => header,
            Err(refusal) => {
                out.truncate(start);
                return Err(ClientError::Invalid { what: refusal.reason() });
            }
        };
        if let Some(place) = out.get_mut(start..start + limits::HEADER_BYTES) {
            place.copy_from_slice(&header.to_bytes());
        }
        Ok(())
    }

    fn draft(&self, stamp: Stamp) -> Draft {
        Draft {
            message_type: self.message_type,
            shape: self.shape,
            id: stamp.id,
            timestamp: 0,
            source: stamp.source,
            destination: self.destination,
            content_type: self.body.content_type.number,
            hops: 0,
            sequence: Sequence::NONE,
            told: Receipt::None,
            last: false,
        }
    }

    fn write_metadata(&self, again: bool, out: &mut BytesMut) {
        let extras = &self.extras;
        let application: Vec<_> = extras.application.iter().map(|(key, value)| (key.as_str(), &value[..])).collect();
        let draft = MetadataDraft {
            content_type_name: self.body.content_type.name.as_deref(),
            expiry: extras.expiry,
            subject: self.subject.as_deref(),
            traceparent: extras.traceparent.as_deref(),
            session_id: extras.session.as_deref(),
            capability: extras.capability.as_deref(),
            handled_wanted: self.handled_wanted,
            again,
            delivery_number: self.delivery_number,
            last_stage: self.last_stage,
            credit_messages: self.credit.map(|credit| credit.count),
            credit_bytes: self.credit.map(|credit| credit.bytes),
            application: &application,
            ..MetadataDraft::default()
        };
        draft.write(out);
    }
}

/// The shape of a REQUEST that is kept until its end is known.
pub(crate) const DURABLE_MESSAGE: Shape = Shape::Durable(FlowKind::Messages);
/// The shape of a RESPONSE that is.
pub(crate) const DURABLE_ANSWER: Shape = Shape::Durable(FlowKind::Answers);
