//! What a node says in its own name at the agents' door: stages, refusals, answers.

use alloc::borrow::Cow;
use alloc::boxed::Box;

use bytes::Bytes;
use proto::control::{ControlBody, ErrorBody};
use proto::entry::Parts;
use proto::metadata::Stage;
use proto::{AgentId, ContentType, Draft, ErrorCode, Header, MessageId, MessageType, Receipt, Sequence, Shape};

use crate::effect::{Effect, Notes, Outgoing};
use crate::input::{ClientId, Load};
use crate::node::Node;
use crate::step::Step;
use crate::submission::end_in_words;

/// Who hears how far a submission has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Teller {
    pub(crate) client: ClientId,
    /// The last stage that it wants to hear of.
    pub(crate) stage: Stage,
}

impl Teller {
    pub(crate) const fn wants(self, receipt: Receipt) -> bool {
        match self.stage {
            Stage::None => false,
            Stage::Accepted => matches!(receipt, Receipt::Accepted),
            Stage::Stored | Stage::Handled => matches!(receipt, Receipt::Accepted | Receipt::Stored),
        }
    }
}

/// A submission that is refused or answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) client: ClientId,
    pub(crate) source: AgentId,
    pub(crate) id: MessageId,
    pub(crate) content_type: ContentType,
}

impl Asked {
    pub(crate) fn of(client: ClientId, header: &Header) -> Self {
        Self { client, source: header.source(), id: header.id(), content_type: header.content_type() }
    }
}

/// What goes wrong at the door, in a few words for people.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: ErrorCode,
    pub(crate) words: Cow<'static, str>,
    pub(crate) retry_after_ms: u32,
}

impl Failure {
    pub(crate) fn new(code: ErrorCode, words: impl Into<Cow<'static, str>>) -> Self {
        Self { code, words: words.into(), retry_after_ms: 0 }
    }

    pub(crate) fn full(words: &'static str) -> Self {
        Self { code: ErrorCode::FULL, words: words.into(), retry_after_ms: proto::limits::FULL_RETRY_MS }
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self::new(code, end_in_words(code))
    }
}

/// The encoding of an ERROR about something of this type.
pub(crate) const fn error_encoding(content_type: ContentType) -> ContentType {
    match content_type {
        ContentType::Json | ContentType::Protobuf => content_type,
        ContentType::None | ContentType::MessagePack | ContentType::Octets | ContentType::Text | ContentType::Named => {
            ContentType::MessagePack
        }
    }
}

impl Node {
    /// Tells a stage, if the teller wants to hear of it and its client is still there.
    pub(crate) fn tell_stage(
        &mut self,
        teller: Option<Teller>,
        source: AgentId,
        id: MessageId,
        receipt: Receipt,
        step: &mut Step<'_>,
    ) {
        let Some(teller) = teller.filter(|teller| teller.wants(receipt)) else { return };
        if !self.is_attached(teller.client, source) {
            return;
        }
        let draft = self.door_draft(source, id, MessageType::Ack, Shape::Told, ContentType::None, receipt, step);
        self.tell_own(teller.client, draft, Bytes::new(), step);
    }

    /// Refuses what a client submitted.
    pub(crate) fn refuse(&mut self, asked: Asked, failure: Failure, step: &mut Step<'_>) {
        let encoding = error_encoding(asked.content_type);
        let body = ErrorBody {
            code: failure.code,
            message: failure.words.into_owned().into_boxed_str(),
            original: asked.id,
            retry_after_ms: failure.retry_after_ms,
        };
        let draft =
            self.door_draft(asked.source, asked.id, MessageType::Error, Shape::Notice, encoding, Receipt::None, step);
        self.tell_own(asked.client, draft, body.write(encoding), step);
    }

    /// Answers a question to the node.
    pub(crate) fn answer(&mut self, asked: Asked, body: &impl ControlBody, step: &mut Step<'_>) {
        let encoding = error_encoding(asked.content_type);
        self.answer_bytes(asked, encoding, body.write(encoding), step);
    }

    /// Answers with nothing but that it is done.
    pub(crate) fn answer_done(&mut self, asked: Asked, step: &mut Step<'_>) {
        self.answer_bytes(asked, ContentType::None, Bytes::new(), step);
    }

    fn answer_bytes(&mut self, asked: Asked, encoding: ContentType, body: Bytes, step: &mut Step<'_>) {
        let draft =
            self.door_draft(asked.source, asked.id, MessageType::Response, Shape::Once, encoding, Receipt::None, step);
        self.tell_own(asked.client, draft, body, step);
    }

    #[expect(clippy::too_many_arguments, reason = "each is a field of the header")]
    fn door_draft(
        &self,
        destination: AgentId,
        id: MessageId,
        message_type: MessageType,
        shape: Shape,
        content_type: ContentType,
        told: Receipt,
        step: &Step<'_>,
    ) -> Draft {
        Draft {
            message_type,
            shape,
            id,
            timestamp: step.wall(),
            source: self.me.id,
            destination,
            content_type,
            hops: 0,
            sequence: Sequence::NONE,
            told,
            last: false,
        }
    }

    pub(crate) fn tell_own(&mut self, client: ClientId, draft: Draft, body: Bytes, step: &mut Step<'_>) {
        let bytes = body.len();
        let load = Load::Here(Parts { metadata: proto::Metadata::default(), body });
        let outgoing = Box::new(Outgoing { draft, notes: Notes::default(), load, bytes });
        step.ask(Effect::Tell { client, outgoing, is_delivery: false });
    }
}
