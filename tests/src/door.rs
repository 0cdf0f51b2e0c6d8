//! The agents' door, frame by frame: what a careless or hostile client says, and exactly what it hears.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use bytes::BytesMut;
use proto::control::{Attach, AttachReply, ControlBody, ErrorBody, Resolve, ResolveReply};
use proto::metadata::{Key, MetadataDraft};
use proto::{
    AgentId, Boundary, Content, ContentType, Draft, FlowKind, Frame, Header, MessageId, MessageType, Receipt, Sequence,
    Shape,
};

/// How long a daemon may take for what it says.
const PATIENCE: Duration = Duration::from_secs(30);
/// A durable message, at the door.
pub const DURABLE: Shape = Shape::Durable(FlowKind::Messages);

/// One connection, attached as one agent.
#[derive(Debug)]
pub struct Door {
    /// Who it is attached as; zeros before.
    pub me: AgentId,
    socket: UnixStream,
    arrived: BytesMut,
    heard: VecDeque<Content>,
}

impl Door {
    /// Connects, attached as nobody.
    ///
    /// # Panics
    /// If the door is closed.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let socket = UnixStream::connect(path).expect("the door is open");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { me: AgentId::ZERO, socket, arrived: BytesMut::new(), heard: VecDeque::new() }
    }

    /// Connects and attaches.
    ///
    /// # Panics
    /// If it is refused.
    #[must_use]
    pub fn attached(path: &Path, name: &str) -> Self {
        Self::attached_with(path, name, MetadataDraft::default())
    }

    /// The same, with credit.
    ///
    /// # Panics
    /// If it is refused.
    #[must_use]
    pub fn attached_with(path: &Path, name: &str, metadata: MetadataDraft<'_>) -> Self {
        let mut door = Self::open(path);
        let id = door.attach(name, metadata);
        let answer = door.about(id);
        let reply = AttachReply::read(answer.header.content_type(), &answer.body).expect("a reply");
        door.me = reply.agent_id.parse().expect("an id");
        door
    }

    /// Asks for a name. What is answered is still to be heard.
    pub fn attach(&mut self, name: &str, metadata: MetadataDraft<'_>) -> MessageId {
        let body = Attach { name: name.into(), ..Attach::default() }.write(ContentType::Json);
        let metadata = MetadataDraft { subject: Some("agent.attach"), ..metadata };
        let draft = draft(MessageType::Request, Shape::Once, AgentId::ZERO, AgentId::ZERO);
        self.submit(Draft { content_type: ContentType::Json, ..draft }, &metadata, &body)
    }

    /// The id behind an address, as soon as it is known here.
    ///
    /// # Panics
    /// If it does not become known.
    pub fn find(&mut self, address: &str) -> AgentId {
        crate::hosts::until("the address is known", PATIENCE, || {
            let body = Resolve { address: address.into() }.write(ContentType::Json);
            let metadata = MetadataDraft { subject: Some("agent.resolve"), ..MetadataDraft::default() };
            let draft = draft(MessageType::Request, Shape::Once, self.me, AgentId::ZERO);
            let id = self.submit(Draft { content_type: ContentType::Json, ..draft }, &metadata, &body);
            let answer = self.about(id);
            if answer.header.message_type() == MessageType::Error {
                return None;
            }
            let reply = ResolveReply::read(answer.header.content_type(), &answer.body).expect("a reply");
            Some(reply.agent_id.parse().expect("an id"))
        })
    }

    /// Gives the name back, so that the agent is known and away.
    ///
    /// # Panics
    /// If that is refused.
    pub fn leave(mut self) {
        let metadata = MetadataDraft { subject: Some("agent.detach"), ..MetadataDraft::default() };
        let id = self.request(AgentId::ZERO, Shape::Once, &metadata, b"");
        assert_eq!(self.about(id).header.message_type(), MessageType::Response);
    }

    /// Submits a REQUEST of this agent.
    pub fn request(&mut self, to: AgentId, shape: Shape, metadata: &MetadataDraft<'_>, body: &[u8]) -> MessageId {
        self.submit(draft(MessageType::Request, shape, self.me, to), metadata, body)
    }

    /// Submits anything.
    pub fn submit(&mut self, draft: Draft, metadata: &MetadataDraft<'_>, body: &[u8]) -> MessageId {
        let is_plain = draft.content_type == ContentType::None && !body.is_empty();
        let content_type = if is_plain { ContentType::Octets } else { draft.content_type };
        self.say(&frame(&Draft { content_type, ..draft }, metadata, body));
        draft.id
    }

    /// Writes bytes.
    ///
    /// # Panics
    /// If the connection has ended.
    pub fn say(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("the door takes it");
    }

    /// Acknowledges a durable delivery.
    pub fn handled(&mut self, delivery: &Content) {
        self.settle(delivery, MessageType::Ack, Shape::Handled, &[]);
    }

    /// Refuses a durable delivery for now.
    pub fn refuse(&mut self, delivery: &Content) {
        self.refuse_with(delivery, proto::ErrorCode::SERVER, "not now");
    }

    /// Refuses a delivery with that code.
    pub fn refuse_with(&mut self, delivery: &Content, code: proto::ErrorCode, words: &str) {
        let why = ErrorBody { code, message: words.into(), original: delivery.header.id(), retry_after_ms: 0 };
        self.settle(delivery, MessageType::Error, Shape::Notice, &why.write(ContentType::Json));
    }

    /// Answers a durable REQUEST.
    pub fn respond(&mut self, delivery: &Content, body: &[u8]) {
        self.settle(delivery, MessageType::Response, Shape::Durable(FlowKind::Answers), body);
    }

    fn settle(&mut self, delivery: &Content, message_type: MessageType, shape: Shape, body: &[u8]) {
        let header = &delivery.header;
        // An outcome that a daemon said itself stands under the node's name; all are settled by number.
        let draft = Draft { id: header.id(), ..draft(message_type, shape, self.me, header.source()) };
        let content_type = if message_type == MessageType::Error { ContentType::Json } else { ContentType::None };
        let delivery_number = delivery.metadata.number(Key::DeliveryNumber);
        let metadata = MetadataDraft { delivery_number, ..MetadataDraft::default() };
        self.submit(Draft { content_type, ..draft }, &metadata, body);
    }

    /// The next durable delivery.
    pub fn delivery(&mut self) -> Content {
        self.next("a delivery", |content| matches!(content.header.shape(), Shape::Durable(_)))
    }

    /// What comes under an id, but for the stages of a message.
    pub fn about(&mut self, id: MessageId) -> Content {
        self.next("a word about a message", |content| {
            content.header.id() == id && content.header.shape() != Shape::Told
        })
    }

    /// Waits until a message has reached a stage.
    pub fn told(&mut self, id: MessageId, stage: Receipt) {
        self.next("a stage", |content| {
            let header = &content.header;
            header.id() == id && header.shape() == Shape::Told && header.receipt() == stage
        });
    }

    /// Waits until a message has reached a stage, or is refused. Gives the code of the refusal.
    pub fn ends(&mut self, id: MessageId, stage: Receipt) -> Option<proto::ErrorCode> {
        let told = self.next("a stage or a refusal", |content| {
            let header = &content.header;
            header.id() == id && (header.shape() != Shape::Told || header.receipt() == stage)
        });
        told.error().ok().map(|error| error.code)
    }

    /// Whether a body has come that nobody has looked at yet.
    #[must_use]
    pub fn has_heard(&self, body: &[u8]) -> bool {
        self.heard.iter().any(|content| content.body.as_ref() == body)
    }

    /// The ERROR about a message, which must name it.
    ///
    /// # Panics
    /// If something else comes, or the ERROR is about another message.
    pub fn error(&mut self, id: MessageId) -> ErrorBody {
        let content = self.about(id);
        assert_eq!(content.header.message_type(), MessageType::Error, "{:?}", content.header);
        let error = content.error().expect("a body of an ERROR");
        assert_eq!(error.original, id, "the ERROR is about another message");
        assert!(!error.message.is_empty(), "it says why");
        error
    }

    /// Whether the daemon has ended the connection.
    pub fn has_ended(&mut self) -> bool {
        let mut bytes = [0; 4096];
        loop {
            match self.socket.read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }

    fn next(&mut self, what: &str, fits: impl Fn(&Content) -> bool) -> Content {
        let mut at = 0;
        loop {
            while at < self.heard.len() {
                if fits(&self.heard[at]) {
                    return self.heard.remove(at).expect("it is there");
                }
                at += 1;
            }
            self.hear(what);
        }
    }

    fn hear(&mut self, what: &str) {
        let mut bytes = vec![0; 1 << 16];
        let length = self.socket.read(&mut bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(length > 0, "{what}: the door was closed");
        self.arrived.extend_from_slice(&bytes[..length]);
        while let Ok(frame) = Frame::take(&mut self.arrived, Boundary::Down) {
            let (header, plain) = frame.into_plain().expect("nothing is sealed at the door");
            self.heard.push_back(Content::read(&header, plain).expect("a daemon says what it may"));
        }
    }
}

/// A header to be filled in, with an id that nobody has.
#[must_use]
pub fn draft(message_type: MessageType, shape: Shape, source: AgentId, destination: AgentId) -> Draft {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = NEXT.fetch_add(1, Ordering::Relaxed) << 32 | wall() & 0xffff_ffff;
    Draft {
        message_type,
        shape,
        id: MessageId::new(id),
        timestamp: 0,
        source,
        destination,
        content_type: ContentType::None,
        hops: 0,
        sequence: Sequence::NONE,
        told: Receipt::None,
        last: false,
    }
}

/// The wall clock, in ns.
#[must_use]
pub fn wall() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

/// The bytes of a frame up.
///
/// # Panics
/// If an agent may not say it.
#[must_use]
pub fn frame(draft: &Draft, metadata: &MetadataDraft<'_>, body: &[u8]) -> Vec<u8> {
    let mut plain = BytesMut::new();
    metadata.write(&mut plain);
    plain.extend_from_slice(body);
    let header = Header::make(draft, Boundary::Up, plain.len()).expect("a header");
    let mut bytes = header.to_bytes().to_vec();
    bytes.extend_from_slice(&plain);
    bytes
}
