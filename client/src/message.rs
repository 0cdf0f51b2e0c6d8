//! What arrives: messages, deliveries that want an answer, and outcomes. Everything that the daemon proved or told about
//! them can be read; nothing that arrived is changed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::metadata::{Key, Stage};
use proto::{AgentId, Content, ContentType, MessageId, MessageType, NodeId, Shape};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::error::Refuse;
use crate::letter::{DURABLE_ANSWER, Letter};
use crate::shared::Shared;
use crate::{Body, ClientError};

pub use proto::metadata::Proof;

/// What one agent said to another, and what is known about it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Message {
    content: Content,
}

impl Message {
    pub(crate) const fn new(content: Content) -> Self {
        Self { content }
    }

    /// The message's id; in an answer, that of the message it answers.
    #[must_use]
    pub const fn id(&self) -> MessageId {
        self.content.header.id()
    }

    /// REQUEST, RESPONSE, BROADCAST, …
    #[must_use]
    pub const fn message_type(&self) -> MessageType {
        self.content.header.message_type()
    }

    /// Whether it is kept until its end is known.
    #[must_use]
    pub const fn is_durable(&self) -> bool {
        matches!(self.content.header.shape(), Shape::Durable(_))
    }

    /// Who said it.
    #[must_use]
    pub const fn source(&self) -> AgentId {
        self.content.header.source()
    }

    /// The source's name on its node.
    #[must_use]
    pub fn source_name(&self) -> &str {
        self.text_of(Key::SourceName)
    }

    /// The node that hosts the source.
    #[must_use]
    pub fn source_node(&self) -> Option<NodeId> {
        self.content.metadata.source_node()
    }

    /// That node's name.
    #[must_use]
    pub fn source_node_name(&self) -> &str {
        self.text_of(Key::SourceNodeName)
    }

    /// `name@node`, as one would address the source.
    #[must_use]
    pub fn source_address(&self) -> String {
        format!("{}@{}", self.source_name(), self.source_node_name())
    }

    /// What the daemon proved about the source.
    #[must_use]
    pub fn proof(&self) -> Option<Proof> {
        match self.number(Key::Proof)? {
            1 => Some(Proof::SameHost),
            2 => Some(Proof::Signature),
            _ => None,
        }
    }

    /// When the source's daemon accepted it, in Unix ns.
    #[must_use]
    pub const fn sent_at(&self) -> u64 {
        self.content.header.timestamp()
    }

    /// When the daemon here took it, in Unix ns.
    #[must_use]
    pub fn received_at(&self) -> Option<u64> {
        self.number(Key::Received)
    }

    /// When it stops being worth anything, in Unix ns.
    #[must_use]
    pub fn expires_at(&self) -> Option<u64> {
        self.number(Key::Expiry)
    }

    /// How many relays passed it on.
    #[must_use]
    pub fn hops(&self) -> u64 {
        self.number(Key::Hops).unwrap_or(0)
    }

    /// Which attempt to deliver it this is, from 1. What is sent once has one.
    #[must_use]
    pub fn attempt(&self) -> u64 {
        self.number(Key::Attempt).unwrap_or(1)
    }

    /// Whether it was possibly delivered before.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        self.content.metadata.has(Key::Marked)
    }

    /// The number of this delivery of a durable message.
    #[must_use]
    pub fn delivery_number(&self) -> Option<u64> {
        self.number(Key::DeliveryNumber)
    }

    /// How long a durable delivery stays with this agent from its arrival, or from the last word that work goes on.
    #[must_use]
    pub fn lease(&self) -> Option<Duration> {
        self.number(Key::Lease).map(Duration::from_millis)
    }

    /// What it is about.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.content.metadata.subject()
    }

    /// The topic of a BROADCAST.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        self.content.metadata.text(Key::Topic)
    }

    /// The capability that was asked for.
    #[must_use]
    pub fn capability(&self) -> Option<&str> {
        self.content.metadata.text(Key::Capability)
    }

    /// The session that it belongs to.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.content.metadata.text(Key::SessionId)
    }

    /// The trace that it belongs to.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.content.metadata.text(Key::Traceparent)
    }

    /// Entries of the application's own: key, and the MessagePack of the value.
    pub fn application(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.content.metadata.application()
    }

    /// What the body is.
    #[must_use]
    pub const fn content_type(&self) -> ContentType {
        self.content.header.content_type()
    }

    /// The name of the body's type, where that is a named one.
    #[must_use]
    pub fn content_type_name(&self) -> Option<&str> {
        self.content.metadata.text(Key::ContentTypeName)
    }

    /// The body's bytes.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.content.body
    }

    /// The body as text, whatever it says it is. Untrusted: escape it before it reaches a terminal.
    pub fn text(&self) -> Result<&str, core::str::Utf8Error> {
        core::str::from_utf8(&self.content.body)
    }

    /// The body, read as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.content.body)
    }

    /// The body, read as MessagePack.
    pub fn msgpack<T: DeserializeOwned>(&self) -> Result<T, rmp_serde::decode::Error> {
        rmp_serde::from_slice(&self.content.body)
    }

    fn number(&self, key: Key) -> Option<u64> {
        self.content.metadata.number(key)
    }

    fn text_of(&self, key: Key) -> &str {
        self.content.metadata.text(key).unwrap_or_default()
    }
}

/// A message to this agent. If it is durable it stays with the agent until it is handled, refused or answered, or until
/// the lease ends; after that it comes again. Dropping it does nothing.
#[derive(Debug)]
pub struct Delivery {
    pub(crate) message: Message,
    pub(crate) ticket: Option<Ticket>,
    pub(crate) shared: Arc<Shared>,
}

/// The right to settle a durable delivery. It is void on another connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) lease: Duration,
    pub(crate) until: Instant,
}

impl core::ops::Deref for Delivery {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl Delivery {
    /// The message, to be kept.
    #[must_use]
    pub const fn message(&self) -> &Message {
        &self.message
    }

    /// It is done: the daemon forgets it, and the sender hears HANDLED if it asked. Nobody waits for this of a message
    /// that is sent once.
    pub async fn handled(self) -> Result<(), ClientError> {
        let Some(ticket) = self.ticket else { return Ok(()) };
        self.shared.settle(ticket, &Letter::handled(self.message.source(), ticket.number), self.message.id()).await
    }

    /// It cannot be done now: the daemon delivers it again later, and in the end tells the sender. With a code that is for
    /// good ([`Refuse`]) it is never done, and the sender hears so at once. Whoever asked once hears at once in any case,
    /// for it does not come again.
    pub async fn refuse(self, why: impl Into<Refuse>) -> Result<(), ClientError> {
        let id = self.message.id();
        let letter = Letter::refuse(self.message.source(), self.delivery_number(), id, &why.into());
        match self.ticket {
            Some(ticket) => self.shared.settle(ticket, &letter, id).await,
            None if self.message.message_type() == MessageType::Request => self.shared.post(&letter, id).await,
            None => Ok(()),
        }
    }

    /// Answers a REQUEST, which also is its end. The answer to a durable one is on this host's disk when this returns; if
    /// the connection is lost before, whether it was taken is unknown, and the message comes again if it was not.
    pub async fn respond(self, body: impl Into<Body>) -> Result<(), ClientError> {
        self.answer(body.into()).await
    }

    pub(crate) async fn answer(&self, body: Body) -> Result<(), ClientError> {
        if self.message.message_type() != MessageType::Request {
            return Err(ClientError::Invalid { what: "only a REQUEST can be answered" });
        }
        let shape = if self.ticket.is_some() { DURABLE_ANSWER } else { Shape::Once };
        let mut letter = Letter::new(MessageType::Response, shape, self.message.source(), body);
        letter.judge(self.shared.body_bytes_max())?;
        let Some(ticket) = self.ticket else { return self.shared.post(&letter, self.message.id()).await };
        letter.delivery_number = Some(ticket.number);
        letter.last_stage = Some(Stage::Accepted);
        self.shared.respond(ticket, &letter, self.message.id()).await
    }

    /// Work goes on: the lease begins anew.
    pub async fn working(&self) -> Result<(), ClientError> {
        let Some(ticket) = self.ticket else { return Ok(()) };
        self.shared.working(ticket).await
    }
}

/// How a durable submission ended, where nobody in this process waits for it: it was sent before a restart, or whoever
/// waited has left.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub(crate) message: Message,
    pub(crate) end: End,
}

/// The end of a message.
#[derive(Clone, Debug)]
pub enum End {
    /// The destination handled it.
    Handled,
    /// The destination answered it; the answer is [`Outcome::message`].
    Answered,
    /// It ended otherwise.
    Failed(ClientError),
}

impl Outcome {
    /// The submission that it is about.
    #[must_use]
    pub const fn id(&self) -> MessageId {
        self.message.id()
    }

    /// How it ended.
    #[must_use]
    pub const fn end(&self) -> &End {
        &self.end
    }

    /// What came back.
    #[must_use]
    pub const fn message(&self) -> &Message {
        &self.message
    }
}

/// What [`crate::Agent::recv`] gives.
#[derive(Debug)]
pub enum Incoming {
    /// A message to this agent.
    Delivery(Delivery),
    /// The end of a submission that nobody waits for. Taking it acknowledges it.
    Outcome(Outcome),
}
