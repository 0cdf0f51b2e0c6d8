//! The agents' door, frame by frame, with the account that credit needs: what was said, and what was heard.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use proto::control::{Attach, AttachReply, ControlBody, Resolve};
use proto::metadata::{Key, MetadataDraft, Stage};
use proto::{
    AgentId, Boundary, Content, ContentType, DoorEvent, Draft, FlowKind, Frame, Header, MessageId, MessageType,
    Receipt, Sequence, Shape, limits,
};

/// How long a daemon may take for what it says.
const PATIENCE: Duration = Duration::from_secs(30);

/// Frames, or deliveries, and their bytes with their headers.
pub(super) type Amount = (u64, u64);

/// One connection.
pub(super) struct Door {
    pub(super) me: AgentId,
    socket: UnixStream,
    arrived: BytesMut,
    next: u64,
    /// What it has said.
    pub(super) said: Amount,
    /// What the daemon says it will take, each time that it said so.
    pub(super) told: Vec<Amount>,
    /// Deliveries, in order, and what they count for.
    pub(super) deliveries: Vec<Content>,
    pub(super) given: Amount,
    /// Submissions that were refused.
    pub(super) refused: Vec<Content>,
    /// Submissions that are stored.
    pub(super) stored: usize,
}

impl Door {
    pub(super) fn open(path: &Path) -> Self {
        let socket = UnixStream::connect(path).expect("the door is open");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self {
            me: AgentId::ZERO,
            socket,
            arrived: BytesMut::new(),
            next: 1,
            said: (0, 0),
            told: Vec::new(),
            deliveries: Vec::new(),
            given: (0, 0),
            refused: Vec::new(),
            stored: 0,
        }
    }

    /// Connects and attaches, with credit or without.
    pub(super) fn attached(path: &Path, name: &str, credit: Option<Amount>) -> Self {
        let mut door = Self::open(path);
        let id = door.say_attach(name, credit);
        let answer = door.answer(id);
        let reply = AttachReply::read(answer.header.content_type(), &answer.body).expect("a reply");
        door.me = reply.agent_id.parse().expect("an id");
        door
    }

    pub(super) fn say_attach(&mut self, name: &str, credit: Option<Amount>) -> MessageId {
        let body = Attach { name: name.into(), ..Attach::default() }.write(ContentType::Json);
        self.ask("agent.attach", credit, ContentType::Json, &body)
    }

    pub(super) fn say_credit(&mut self, credit: Amount) {
        self.ask("agent.credit", Some(credit), ContentType::None, b"");
    }

    /// Asks something that the node answers in turn: all that it had to say before is heard when this returns.
    pub(super) fn catch_up(&mut self) {
        let body = Resolve { address: "echo".into() }.write(ContentType::Json);
        let id = self.ask("agent.resolve", None, ContentType::Json, &body);
        self.answer(id);
    }

    pub(super) fn ask(
        &mut self,
        subject: &str,
        credit: Option<Amount>,
        content_type: ContentType,
        body: &[u8],
    ) -> MessageId {
        let metadata = MetadataDraft {
            subject: Some(subject),
            credit_messages: credit.map(|credit| credit.0),
            credit_bytes: credit.map(|credit| credit.1),
            ..MetadataDraft::default()
        };
        self.say(Shape::Once, AgentId::ZERO, content_type, &metadata, body)
    }

    /// Submits a message that is kept, and wants to hear that it is stored.
    pub(super) fn send(&mut self, to: AgentId, body: &[u8]) {
        let metadata = MetadataDraft { last_stage: Some(Stage::Stored), ..MetadataDraft::default() };
        self.say(Shape::Durable(FlowKind::Messages), to, ContentType::Octets, &metadata, body);
    }

    /// Submits one that is not.
    pub(super) fn send_once(&mut self, to: AgentId, body: &[u8]) {
        self.say(Shape::Once, to, ContentType::Octets, &MetadataDraft::default(), body);
    }

    /// Waits until so many submissions are stored.
    pub(super) fn await_stored(&mut self, count: usize) {
        while self.stored < count {
            self.hear();
        }
    }

    fn say(
        &mut self,
        shape: Shape,
        destination: AgentId,
        content_type: ContentType,
        metadata: &MetadataDraft<'_>,
        body: &[u8],
    ) -> MessageId {
        self.next += 1;
        let draft = Draft {
            message_type: MessageType::Request,
            shape,
            id: MessageId::new(self.next),
            timestamp: 0,
            source: self.me,
            destination,
            content_type,
            hops: 0,
            sequence: Sequence::NONE,
            told: Receipt::None,
            last: false,
        };
        let mut plain = BytesMut::new();
        metadata.write(&mut plain);
        plain.extend_from_slice(body);
        let header = Header::make(&draft, Boundary::Up, plain.len()).expect("a header");
        let frame = [&header.to_bytes()[..], &plain].concat();
        self.socket.write_all(&frame).expect("the door takes it");
        self.said = (self.said.0 + 1, self.said.1 + frame.len() as u64);
        draft.id
    }

    fn answer(&mut self, id: MessageId) -> Content {
        loop {
            if let Some((DoorEvent::Answer | DoorEvent::Refused, content)) = self.hear()
                && content.header.id() == id
            {
                return content;
            }
        }
    }

    /// Takes one more frame, and notes what it is.
    pub(super) fn hear(&mut self) -> Option<(DoorEvent, Content)> {
        let frame = loop {
            if let Ok(frame) = Frame::take(&mut self.arrived, Boundary::Down) {
                break frame;
            }
            let mut bytes = [0; 16 << 10];
            let length = self.socket.read(&mut bytes).expect("a word in time");
            assert!(length > 0, "the door was closed");
            self.arrived.extend_from_slice(&bytes[..length]);
        };
        let (header, plain) = frame.into_plain().expect("nothing is sealed at the door");
        let bytes = (limits::HEADER_BYTES + header.payload_bytes()) as u64;
        let content = Content::read(&header, plain).expect("a daemon says what it may");
        let event = DoorEvent::of(&content)?;
        if matches!(event, DoorEvent::Delivery | DoorEvent::DurableDelivery) {
            self.given = (self.given.0 + 1, self.given.1 + bytes);
            self.deliveries.push(content.clone());
        } else if event == DoorEvent::Credit {
            let number = |key| content.metadata.number(key).expect("a number");
            self.told.push((number(Key::CreditMessages), number(Key::CreditBytes)));
        } else if event == DoorEvent::Refused {
            self.refused.push(content.clone());
        } else if event == DoorEvent::Told && header.receipt() == Receipt::Stored {
            self.stored += 1;
        }
        Some((event, content))
    }
}
