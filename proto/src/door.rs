//! What happens at the agent's door: the table of `docs/PROTOCOL.md`, section 12, as one function.

use crate::control::subject;
use crate::metadata::Key;
use crate::{Boundary, Content, MessageType, Shape};

/// What a frame at the door means.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DoorEvent {
    /// Up: give me this name.
    Attach,
    /// Up: I give it back.
    Detach,
    /// Up: I am still at it, extend the lease.
    Working,
    /// Both ways: how much more I will take.
    Credit,
    /// Up: who is this address?
    Resolve,
    /// Up: an order of an operator to the node.
    Order,
    /// Up: any other question to the node.
    Question,
    /// Up: carry this.
    Submit,
    /// Up: the answer to a durable REQUEST.
    Respond,
    /// Up: are you there?
    Ping,
    /// Up: I have handled a delivery.
    Handled,
    /// Up: I will not handle a delivery.
    Refuse,
    /// Down: a message that nobody waits for an acknowledgement of.
    Delivery,
    /// Down: the node's own answer.
    Answer,
    /// Down: a message that must be acknowledged.
    DurableDelivery,
    /// Down: a stage that a submission has reached.
    Told,
    /// Down: what became of a submission that went wrong.
    Refused,
    /// Down: I am there.
    Pong,
}

impl DoorEvent {
    /// What a frame means, or `None` for frames of streams and for frames from the wire.
    #[must_use]
    pub fn of(content: &Content) -> Option<Self> {
        match content.header.boundary() {
            Boundary::Wire => None,
            Boundary::Up => Self::up(content),
            Boundary::Down => Self::down(content),
        }
    }

    fn up(content: &Content) -> Option<Self> {
        let header = &content.header;
        match (header.shape(), header.message_type()) {
            (Shape::Once, MessageType::Request) if header.destination().is_zero() => {
                Some(match content.metadata.subject() {
                    Some(subject::ATTACH) => Self::Attach,
                    Some(subject::DETACH) => Self::Detach,
                    Some(subject::WORKING) => Self::Working,
                    Some(subject::CREDIT) => Self::Credit,
                    Some(subject::RESOLVE) => Self::Resolve,
                    Some(
                        subject::OUTBOX_RETRY
                        | subject::OUTBOX_DROP
                        | subject::DEAD_REQUEUE
                        | subject::DEAD_PURGE
                        | subject::TRUST_CLOCK,
                    ) => Self::Order,
                    Some(_) | None => Self::Question,
                })
            }
            (Shape::Durable(_), MessageType::Response) => Some(Self::Respond),
            (Shape::Once | Shape::Durable(_), _) => Some(Self::Submit),
            (Shape::Ping, _) => Some(Self::Ping),
            (Shape::Handled, _) => Some(Self::Handled),
            (Shape::Notice, _) => Some(Self::Refuse),
            (
                Shape::Stored
                | Shape::Pong
                | Shape::Opener
                | Shape::Chunk
                | Shape::ChunkAck
                | Shape::StreamEnd
                | Shape::StreamAbort
                | Shape::Told,
                _,
            ) => None,
        }
    }

    fn down(content: &Content) -> Option<Self> {
        let header = &content.header;
        let delivered = content.metadata.has(Key::SourceName);
        match (header.shape(), header.message_type()) {
            (Shape::Once, _) if delivered => Some(Self::Delivery),
            (Shape::Once, MessageType::Response) => Some(Self::Answer),
            (Shape::Once, _) => Some(Self::Credit),
            (Shape::Durable(_), _) => Some(Self::DurableDelivery),
            (Shape::Told, _) => Some(Self::Told),
            (Shape::Notice, _) => Some(Self::Refused),
            (Shape::Pong, _) => Some(Self::Pong),
            (
                Shape::Stored
                | Shape::Ping
                | Shape::Opener
                | Shape::Chunk
                | Shape::ChunkAck
                | Shape::StreamEnd
                | Shape::StreamAbort
                | Shape::Handled,
                _,
            ) => None,
        }
    }

    /// The word that `docs/PROTOCOL.md` and the vectors use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::Detach => "detach",
            Self::Working => "working",
            Self::Credit => "credit",
            Self::Resolve => "resolve",
            Self::Order => "order",
            Self::Question => "question",
            Self::Submit => "submit",
            Self::Respond => "respond",
            Self::Ping => "ping",
            Self::Handled => "handled",
            Self::Refuse => "refuse",
            Self::Delivery => "delivery",
            Self::Answer => "answer",
            Self::DurableDelivery => "durable delivery",
            Self::Told => "told",
            Self::Refused => "refused",
            Self::Pong => "pong",
        }
    }
}
