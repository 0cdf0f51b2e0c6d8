//! What the library promises when the connection breaks, against a door that is opened by hand. How it gets on with a real
//! daemon is tested with real daemons.

mod credit;
mod serve;

use std::path::PathBuf;
use std::time::Duration;

use bytes::BytesMut;
use proto::control::{AttachReply, ControlBody, ErrorBody, ResolveReply};
use proto::metadata::{Key, MetadataDraft, Proof};
use proto::{
    AgentId, Boundary, Content, ContentType, DoorEvent, Draft, ErrorCode, FlowKind, Frame, Header, HeaderError,
    MessageType, Name, NodeId, Receipt, Sequence, Shape, limits,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::{Agent, ClientError, End, Event, Incoming, Stage};

const ME: AgentId = AgentId::new([1; 32]);
const NODE: AgentId = AgentId::new([2; 32]);
const PEER: AgentId = AgentId::new([3; 32]);
const STRANGER: AgentId = AgentId::new([4; 32]);

/// How long the library may take for what it says.
const PATIENCE: Duration = Duration::from_secs(20);

/// The daemon's side of one connection.
struct Door {
    stream: UnixStream,
    arrived: BytesMut,
    /// Frames that were heard, and their bytes.
    heard: (u64, u64),
    /// Deliveries that it will take in all, as the attach said.
    credit: Option<u64>,
    /// Of what it delivers.
    lease: Duration,
}

impl Door {
    /// Takes a connection and attaches whoever comes.
    async fn open(listener: &UnixListener) -> Self {
        Self::open_with(listener, None).await
    }

    /// The same, and says before the answer how many frames it takes, and how many bytes beyond the attach.
    async fn open_with(listener: &UnixListener, allowed: Option<(u64, u64)>) -> Self {
        let (stream, _) = listener.accept().await.expect("somebody connects");
        let lease = Duration::from_secs(30);
        let mut door = Self { stream, arrived: BytesMut::new(), heard: (0, 0), credit: None, lease };
        let asked = door.hear(DoorEvent::Attach).await;
        door.credit = asked.metadata.number(Key::CreditMessages);
        if let Some((messages, bytes)) = allowed {
            door.allow((messages, door.heard.1 + bytes)).await;
        }
        let reply = AttachReply {
            agent_id: ME.to_string(),
            node_id: NODE.to_string(),
            node_name: "alpha".into(),
            lease_ms: 30_000,
            message_bytes_max: 1 << 20,
        };
        door.answer(&asked, reply.write(ContentType::MessagePack)).await;
        door
    }

    async fn hear(&mut self, wanted: DoorEvent) -> Content {
        loop {
            match Frame::take(&mut self.arrived, Boundary::Up) {
                Ok(frame) => {
                    let (header, plain) = frame.into_plain().expect("plain");
                    let bytes = (limits::HEADER_BYTES + header.payload_bytes()) as u64;
                    self.heard = (self.heard.0 + 1, self.heard.1 + bytes);
                    let content = Content::read(&header, plain).expect("content");
                    assert_eq!(DoorEvent::of(&content), Some(wanted));
                    return content;
                }
                Err(HeaderError::Short { .. }) => {}
                Err(HeaderError::Refused(refusal)) => panic!("{refusal}"),
            }
            let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.arrived)).await;
            assert_ne!(read.expect("it says something").expect("it reads"), 0, "the client left");
        }
    }

    async fn resolve(&mut self) {
        let asked = self.hear(DoorEvent::Resolve).await;
        let reply = ResolveReply { agent_id: PEER.to_string(), ..Default::default() };
        self.answer(&asked, reply.write(ContentType::MessagePack)).await;
    }

    async fn answer(&mut self, asked: &Content, body: bytes::Bytes) {
        let draft = draft(asked, MessageType::Response, Shape::Once, NODE, ContentType::MessagePack);
        self.say(&draft, &MetadataDraft::default(), &body).await;
    }

    async fn tell(&mut self, about: &Content, receipt: Receipt) {
        let draft = Draft { told: receipt, ..draft(about, MessageType::Ack, Shape::Told, NODE, ContentType::None) };
        self.say(&draft, &MetadataDraft::default(), b"").await;
    }

    async fn say(&mut self, draft: &Draft, metadata: &MetadataDraft<'_>, body: &[u8]) {
        let mut plain = BytesMut::new();
        metadata.write(&mut plain);
        plain.extend_from_slice(body);
        let header = Header::make(draft, Boundary::Down, plain.len()).expect("a header");
        let frame = [&header.to_bytes()[..], &plain].concat();
        self.stream.write_all(&frame).await.expect("it writes");
    }

    /// Delivers a durable frame.
    async fn deliver(&mut self, draft: &Draft, number: u64, body: &[u8]) {
        let (name, node) = ("peer".parse().expect("a name"), "beta".parse().expect("a name"));
        let metadata = MetadataDraft {
            expiry: Some(u64::MAX),
            delivery_number: Some(number),
            attempt: Some(1),
            lease_ms: u64::try_from(self.lease.as_millis()).ok(),
            subject: (draft.message_type == MessageType::Request).then_some("count"),
            ..proved(&name, &node)
        };
        self.say(draft, &metadata, body).await;
    }
}

fn proved<'a>(name: &'a Name, node: &'a Name) -> MetadataDraft<'a> {
    MetadataDraft {
        source_name: Some(name),
        source_node: Some(NodeId::new(NODE)),
        source_node_name: Some(node),
        hops: Some(0),
        received: Some(1),
        proof: Some(Proof::Signature),
        ..MetadataDraft::default()
    }
}

fn draft(about: &Content, kind: MessageType, shape: Shape, source: AgentId, content_type: ContentType) -> Draft {
    Draft {
        message_type: kind,
        shape,
        id: about.header.id(),
        timestamp: 1,
        source,
        destination: ME,
        content_type,
        hops: 0,
        sequence: Sequence::NONE,
        told: Receipt::None,
        last: false,
    }
}

fn listen() -> (tempfile::TempDir, PathBuf, UnixListener) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("agent.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    (folder, path, listener)
}

const ANSWER: Shape = Shape::Durable(FlowKind::Answers);

#[tokio::test(flavor = "current_thread")]
async fn only_the_one_who_was_asked_can_answer() {
    let (_folder, path, listener) = listen();
    let daemon = async {
        let mut door = Door::open(&listener).await;
        door.resolve().await;
        let asked = door.hear(DoorEvent::Submit).await;
        assert!(asked.metadata.number(Key::LastStage).is_none() && asked.header.shape() == Shape::Once);
        let (name, node) = ("peer".parse().expect("a name"), "beta".parse().expect("a name"));
        for (source, body) in [(STRANGER, b"false"), (PEER, b"right")] {
            let draft = draft(&asked, MessageType::Response, Shape::Once, source, ContentType::Text);
            door.say(&draft, &proved(&name, &node), body).await;
        }
        door
    };
    let agent = async {
        let me = Agent::attach("me").socket(&path).await.expect("it attaches");
        let answer = me.ask("peer@beta", "greet", "hello").await.expect("an answer");
        assert_eq!((answer.text(), answer.source_address().as_str()), (Ok("right"), "peer@beta"));
        let long = vec![0; limits::BODY_BYTES_MAX];
        assert!(
            matches!(me.send("peer@beta", "store", long).await, Err(ClientError::TooLarge { most, .. }) if most == 1 << 20)
        );
    };
    tokio::join!(daemon, agent);
}

#[tokio::test(flavor = "current_thread")]
async fn a_durable_message_is_sent_again_under_its_id_and_its_end_is_acknowledged() {
    let (_folder, path, listener) = listen();
    let daemon = async {
        let mut door = Door::open(&listener).await;
        door.resolve().await;
        let sent = door.hear(DoorEvent::Submit).await;
        assert!(!sent.metadata.has(Key::Again));
        door.tell(&sent, Receipt::Accepted).await;
        drop(door);
        let mut door = Door::open(&listener).await;
        let again = door.hear(DoorEvent::Submit).await;
        assert!(again.metadata.has(Key::Again), "it says so");
        assert_eq!((again.header.id(), &again.body), (sent.header.id(), &sent.body));
        door.tell(&again, Receipt::Accepted).await;
        // A late word about an attempt ends nothing.
        let late = ErrorBody {
            code: ErrorCode::PREKEY,
            message: "another prekey".into(),
            original: sent.header.id(),
            retry_after_ms: 0,
        };
        let notice = draft(&sent, MessageType::Error, Shape::Notice, PEER, ContentType::MessagePack);
        door.say(&notice, &MetadataDraft::default(), &late.write(ContentType::MessagePack)).await;
        // HANDLED says STORED too.
        let end = draft(&sent, MessageType::Ack, ANSWER, PEER, ContentType::None);
        for number in [7, 8] {
            // It comes twice if the first acknowledgement was lost.
            door.deliver(&end, number, b"").await;
            let handled = door.hear(DoorEvent::Handled).await;
            assert_eq!(handled.metadata.number(Key::DeliveryNumber), Some(number));
            assert_eq!(handled.header.id(), sent.header.id());
        }
        door
    };
    let agent = async {
        let me = Agent::attach("me").socket(&path).await.expect("it attaches");
        let mut events = me.events();
        let sent = me.send("peer@beta", "store", "this").until(Stage::Handled).await.expect("it is accepted");
        assert!(matches!(events.next().await, Some(Event::Disconnected { .. })));
        assert!(matches!(events.next().await, Some(Event::Reconnected { resubmitted: 1 })));
        sent.stored().await.expect("it is stored");
        assert!(sent.handled().await.expect("it is handled").is_none());
        me
    };
    tokio::join!(daemon, agent);
}

#[tokio::test(flavor = "current_thread")]
async fn an_end_that_nobody_waits_for_is_received_and_acknowledged() {
    let (_folder, path, listener) = listen();
    let daemon = async {
        let mut door = Door::open(&listener).await;
        door.resolve().await;
        let sent = door.hear(DoorEvent::Submit).await;
        door.tell(&sent, Receipt::Accepted).await;
        door.tell(&sent, Receipt::Stored).await;
        // Only STORED was asked for: HANDLED is of no interest, an answer is.
        door.deliver(&draft(&sent, MessageType::Ack, ANSWER, PEER, ContentType::None), 1, b"").await;
        door.hear(DoorEvent::Handled).await;
        door.deliver(&draft(&sent, MessageType::Response, ANSWER, PEER, ContentType::Text), 2, b"done").await;
        let handled = door.hear(DoorEvent::Handled).await;
        assert_eq!(handled.metadata.number(Key::DeliveryNumber), Some(2));
    };
    let agent = async {
        let me = Agent::attach("me").socket(&path).await.expect("it attaches");
        me.send("peer@beta", "store", "this").await.expect("accepted").stored().await.expect("stored");
        let Ok(Incoming::Outcome(outcome)) = me.recv().await else { panic!("an outcome") };
        assert!(matches!(outcome.end(), End::Answered));
        assert_eq!(outcome.message().text(), Ok("done"));
        me
    };
    tokio::join!(daemon, agent);
}

fn request(id: u64) -> Draft {
    Draft {
        id: proto::MessageId::new(id),
        message_type: MessageType::Request,
        shape: Shape::Durable(FlowKind::Messages),
        timestamp: 1,
        source: PEER,
        destination: ME,
        content_type: ContentType::Text,
        hops: 0,
        sequence: Sequence::NONE,
        told: Receipt::None,
        last: false,
    }
}

/// Nobody begins what the daemon delivers again, however long another connection takes.
#[tokio::test(flavor = "current_thread")]
async fn what_a_lost_connection_delivered_is_received_no_more() {
    let (_folder, path, listener) = listen();
    let (lost, is_lost) = tokio::sync::oneshot::channel();
    let daemon = async {
        let mut door = Door::open(&listener).await;
        for id in 5..8 {
            door.deliver(&request(id), id, b"a b").await;
        }
        is_lost.await.expect("it received the first");
        drop(door);
    };
    let agent = async {
        let me = Agent::attach("me").socket(&path).await.expect("it attaches");
        let mut events = me.events();
        let Ok(Incoming::Delivery(first)) = me.recv().await else { panic!("a delivery") };
        lost.send(()).expect("the door is there");
        assert!(matches!(events.next().await, Some(Event::Disconnected { .. })));
        let more = tokio::time::timeout(Duration::from_millis(100), me.recv()).await;
        assert!(more.is_err(), "the rest comes again: {more:?}");
        (me, first)
    };
    tokio::join!(daemon, agent);
}

#[tokio::test(flavor = "current_thread")]
async fn what_a_lost_connection_delivered_is_not_settled_on_the_next_one() {
    let (_folder, path, listener) = listen();
    let daemon = async {
        let mut door = Door::open(&listener).await;
        door.deliver(&request(5), 1, b"a b").await;
        door.deliver(&request(6), 2, b"a b").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(door);
        let mut door = Door::open(&listener).await;
        door.deliver(&request(5), 3, b"a b").await;
        let answer = door.hear(DoorEvent::Respond).await;
        assert_eq!(answer.metadata.number(Key::DeliveryNumber), Some(3));
        assert_eq!(answer.body, "2 words");
        door.tell(&answer, Receipt::Accepted).await;
        door
    };
    let agent = async {
        let me = Agent::attach("me").socket(&path).await.expect("it attaches");
        let Ok(Incoming::Delivery(old)) = me.recv().await else { panic!("a delivery") };
        let mut events = me.events();
        while !matches!(events.next().await, Some(Event::Reconnected { .. })) {}
        assert!(matches!(old.handled().await, Err(ClientError::Disconnected)));
        me.on("count", |message| async move { Ok(format!("{} words", message.text()?.split(' ').count())) });
        let server = me.clone();
        tokio::spawn(async move { server.serve().await });
        me
    };
    tokio::join!(daemon, agent);
}
