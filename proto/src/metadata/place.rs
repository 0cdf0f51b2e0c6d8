//! Which key must, may or must not stand in which frame: the tables of `docs/PROTOCOL.md`, sections 4 and 12.

use super::{Key, Metadata};
use crate::{Boundary, ContentType, FlowKind, Header, MessageType, Refusal, Shape};

/// Subjects of the node's own agent that change what stands in a frame.
pub(crate) const CREDIT: &str = "agent.credit";
pub(crate) const WORKING: &str = "agent.working";
pub(crate) const ATTACH: &str = "agent.attach";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Must,
    May,
    Never,
}

impl Place {
    const fn must_if(is_so: bool) -> Self {
        if is_so { Self::Must } else { Self::Never }
    }

    const fn may_if(is_so: bool) -> Self {
        if is_so { Self::May } else { Self::Never }
    }
}

/// Judges every key, and the relations between some of them and the header.
pub(crate) fn judge(header: &Header, metadata: &Metadata) -> Result<(), Refusal> {
    let frame = FrameView::new(header, metadata);
    for key in Key::ALL {
        let there = metadata.has(key);
        let fits = match frame.place(key) {
            Place::Must => there,
            Place::May => true,
            Place::Never => !there,
        };
        if !fits {
            return Err(Refusal::MetadataPresence);
        }
    }
    if metadata.has_application_entries() && !frame.carries_application_keys() {
        return Err(Refusal::MetadataPresence);
    }
    frame.judge_delivery_keys(metadata)?;
    judge_flow(header, metadata)
}

/// The floor never passes the frame's own place, and the flow id names the frame's kind.
fn judge_flow(header: &Header, metadata: &Metadata) -> Result<(), Refusal> {
    let Shape::Durable(kind) = header.shape() else { return Ok(()) };
    if header.boundary() != Boundary::Wire {
        return Ok(());
    }
    let floor_fits = metadata.number(Key::Floor).is_some_and(|floor| floor <= header.sequence().get().into());
    let kind_fits = metadata.flow_id().is_some_and(|flow| flow.kind() == kind);
    if floor_fits && kind_fits { Ok(()) } else { Err(Refusal::MetadataValue) }
}

/// What every delivery tells.
const DELIVERED: [Key; 6] =
    [Key::SourceName, Key::SourceNode, Key::SourceNodeName, Key::Hops, Key::Received, Key::Proof];

/// What the tables ask about a frame.
struct FrameView {
    boundary: Boundary,
    shape: Shape,
    message: MessageType,
    named: bool,
    subject: NodeSubject,
    to_node: bool,
}

/// At the door only, and only in a `once` REQUEST.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NodeSubject {
    Attach,
    Working,
    Credit,
    Other,
}

impl FrameView {
    fn new(header: &Header, metadata: &Metadata) -> Self {
        // In a BROADCAST, zeros are all who want the topic.
        let is_broadcast = header.message_type() == MessageType::Broadcast;
        let to_node = header.boundary() == Boundary::Up && header.destination().is_zero() && !is_broadcast;
        // An agent's own message may have any subject; a delivery tells what was proved about its source.
        let says_node_itself = header.boundary() == Boundary::Down && !DELIVERED.iter().any(|key| metadata.has(*key));
        let asks = header.shape() == Shape::Once && header.message_type() == MessageType::Request;
        let subject = match metadata.subject() {
            Some(ATTACH) if asks && to_node => NodeSubject::Attach,
            Some(WORKING) if asks && to_node => NodeSubject::Working,
            Some(CREDIT) if asks && (to_node || says_node_itself) => NodeSubject::Credit,
            Some(_) | None => NodeSubject::Other,
        };
        Self {
            boundary: header.boundary(),
            shape: header.shape(),
            message: header.message_type(),
            named: header.content_type() == ContentType::Named,
            subject,
            to_node,
        }
    }

    fn carries_application_keys(&self) -> bool {
        self.is_spoken() && matches!(self.shape, Shape::Once | Shape::Durable(_) | Shape::Opener)
    }

    /// Whether agents say this to each other.
    const fn is_spoken(&self) -> bool {
        matches!(self.message, MessageType::Request | MessageType::Response | MessageType::Broadcast)
    }

    const fn is_durable(&self) -> bool {
        matches!(self.shape, Shape::Durable(_))
    }

    fn place(&self, key: Key) -> Place {
        let on_wire = self.boundary == Boundary::Wire;
        match key {
            Key::ContentTypeName => Place::must_if(self.named),
            Key::Expiry if self.is_durable() && self.boundary == Boundary::Up => Place::May,
            Key::Expiry if self.is_durable() => Place::Must,
            Key::Expiry => Place::may_if(self.shape == Shape::Once),
            // In a notice only with error code 4015; judged once the body is read.
            Key::FlowId if self.shape == Shape::Notice => Place::may_if(on_wire),
            Key::FlowId => Place::must_if(on_wire && (self.is_durable() || self.shape == Shape::Stored)),
            Key::Subject | Key::Traceparent | Key::SessionId | Key::Capability => {
                Place::may_if(self.carries_application_keys())
            }
            Key::Topic => Place::must_if(self.message == MessageType::Broadcast),
            Key::StreamId | Key::StreamSecret => Place::must_if(on_wire && self.shape == Shape::Opener),
            Key::TotalLength => Place::may_if(self.shape == Shape::Opener),
            Key::Floor => Place::must_if(on_wire && self.is_durable()),
            Key::HandledWanted if on_wire && self.message == MessageType::Request => Place::must_if(self.is_durable()),
            Key::HandledWanted => {
                let asks = matches!(self.message, MessageType::Request | MessageType::Broadcast);
                Place::may_if(asks && self.is_durable())
            }
            Key::Again => Place::may_if(self.is_durable()),
            Key::DeliveryNumber
            | Key::SourceName
            | Key::SourceNode
            | Key::SourceNodeName
            | Key::Attempt
            | Key::Hops
            | Key::Received
            | Key::Marked
            | Key::Proof
            | Key::LastStage
            | Key::Lease
            | Key::CreditMessages
            | Key::CreditBytes => match self.boundary {
                Boundary::Wire => Place::Never,
                Boundary::Up => self.place_up(key),
                Boundary::Down => self.place_down(key),
            },
        }
    }

    fn place_up(&self, key: Key) -> Place {
        if key == Key::DeliveryNumber {
            if self.shape == Shape::Notice {
                // What was sent once has no number, and can be refused all the same.
                return Place::May;
            }
            let answers = matches!(self.shape, Shape::Handled | Shape::Durable(FlowKind::Answers));
            return Place::must_if(answers || self.subject == NodeSubject::Working);
        }
        if key == Key::LastStage {
            let submits = self.is_spoken() && matches!(self.shape, Shape::Once | Shape::Durable(_));
            return Place::may_if(submits && !self.to_node);
        }
        self.place_of_credit(key)
    }

    fn place_down(&self, key: Key) -> Place {
        let durable = self.is_durable();
        if matches!(key, Key::DeliveryNumber | Key::Attempt | Key::Lease) {
            return Place::must_if(durable);
        }
        if key == Key::Marked {
            return Place::may_if(durable);
        }
        if !DELIVERED.contains(&key) {
            return self.place_of_credit(key);
        }
        if durable {
            return Place::Must;
        }
        // In a `once` all of them or none: `judge_delivery_keys`.
        let tells = self.shape == Shape::Once && self.subject != NodeSubject::Credit;
        Place::may_if(tells || (self.shape == Shape::Pong && key != Key::Received))
    }

    /// Of the keys that are left, only those of credit ever stand.
    const fn place_of_credit(&self, key: Key) -> Place {
        match (key, self.subject) {
            (Key::CreditMessages | Key::CreditBytes, NodeSubject::Credit) => Place::Must,
            (Key::CreditMessages | Key::CreditBytes, NodeSubject::Attach) => Place::May,
            (_, NodeSubject::Credit | NodeSubject::Attach | NodeSubject::Working | NodeSubject::Other) => Place::Never,
        }
    }

    /// A `once` delivery tells all that was proved, the node's own answer and credit tell nothing.
    fn judge_delivery_keys(&self, metadata: &Metadata) -> Result<(), Refusal> {
        if self.boundary != Boundary::Down || self.shape != Shape::Once {
            return Ok(());
        }
        let there = DELIVERED.iter().filter(|key| metadata.has(**key)).count();
        let none_fits = self.message == MessageType::Response || self.subject == NodeSubject::Credit;
        if there == DELIVERED.len() || (there == 0 && none_fits) { Ok(()) } else { Err(Refusal::MetadataPresence) }
    }
}
