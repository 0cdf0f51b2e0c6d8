//! The peers' door as a stranger's implementation would knock at it: bare QUIC, bytes written by hand.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use keys::certificate::self_signed;
use keys::sign::{self, Signer};
use keys::tls::Shown;
use keys::{AgentKey, NodeKey};
use proto::link::{ControlMessage, Hello};
use proto::metadata::MetadataDraft;
use proto::record::{CarriedRecord, NodeRecord};
use proto::{AgentId, ContentType, Draft, ErrorCode, MessageId, MessageType, NodeId, Receipt, Sequence, Shape, limits};
use quinn::{Connection, ConnectionError, RecvStream, SendStream};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::transport;
use crate::App;

/// A daemon that knows one peer, and the key by which that peer is known.
struct House {
    app: App,
    peer: Arc<NodeKey>,
    folder: TempDir,
}

impl House {
    async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let peer = Arc::new(NodeKey::make().expect("randomness"));
        let flags = config::Flags {
            config: Some("/dev/null".into()),
            state_dir: Some(folder.path().into()),
            name: Some("house".into()),
            listen: Some("127.0.0.1:0".into()),
            peers: vec![format!("stranger={}", peer.id())],
            ..config::Flags::default()
        };
        let mut config = config::load(&flags).expect("a configuration");
        config.metrics = Some(config::MetricsListen::Unix(folder.path().join("metrics.sock")));
        let app = App::start(&config).await.expect("a daemon");
        Self { app, peer, folder }
    }

    /// What the daemon tells of itself under a name with its labels.
    async fn told(&self, name: &str) -> u64 {
        let mut door = UnixStream::connect(self.folder.path().join("metrics.sock")).await.expect("a door");
        door.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").await.expect("written");
        let mut text = String::new();
        door.read_to_string(&mut text).await.expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim().parse().expect("a number")
    }

    async fn tells(&self, name: &str, wanted: u64) {
        let waiting = async {
            while self.told(name).await != wanted {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(8), waiting).await.expect(name);
    }

    async fn knock(&self, key: &Arc<NodeKey>) -> Result<Connection, ConnectionError> {
        let certificate = self_signed(key, &"stranger".parse().expect("a name")).expect("a certificate");
        let shown = Shown::new(Arc::clone(key), certificate);
        let tls = keys::tls::dialer(&shown, self.app.node_id()).expect("TLS");
        let config = transport::client(tls, Arc::new(transport::transport())).expect("TLS");
        let endpoint = transport::endpoint(([127, 0, 0, 1], 0).into(), None).expect("a socket");
        let address = self.app.listens_on().expect("it listens");
        endpoint.connect_with(config, address, "node.invalid").expect("a dial").await
    }

    /// A link on which both have said HELLO.
    async fn link(&self) -> Link {
        let connection = self.knock(&self.peer).await.expect("linked");
        let (mut send, receive) = connection.open_bi().await.expect("a stream");
        say(&mut send, &ControlMessage::Hello(Box::new(hello(&self.peer)))).await;
        let mut link = Link { connection, send, receive, arrived: BytesMut::new() };
        let ControlMessage::Hello(theirs) = link.hear().await else { panic!("no HELLO") };
        assert_eq!(keys::verify::node_record(theirs.record).expect("sound").get().key.node_id(), self.app.node_id());
        assert_eq!(theirs.link, None);
        link
    }
}

struct Link {
    connection: Connection,
    send: SendStream,
    receive: RecvStream,
    arrived: BytesMut,
}

impl Link {
    async fn hear(&mut self) -> ControlMessage {
        loop {
            if let Ok(message) = ControlMessage::take(&mut self.arrived) {
                return message;
            }
            let chunk = self.receive.read_chunk(1 << 16, true).await.expect("open").expect("more");
            self.arrived.extend_from_slice(&chunk.bytes);
        }
    }

    /// Passes over the records that come when a link is up.
    async fn hear_notice(&mut self) -> proto::link::Notice {
        loop {
            if let ControlMessage::Notice(notice) = self.hear().await {
                return notice;
            }
        }
    }

    async fn send_stream(&self, bytes: &[u8]) -> SendStream {
        let mut stream = self.connection.open_uni().await.expect("a stream");
        stream.write_all(bytes).await.expect("written");
        stream
    }
}

async fn say(send: &mut SendStream, message: &ControlMessage) {
    let mut out = BytesMut::new();
    message.write(&mut out).expect("within the bound");
    send.write_all(&out).await.expect("written");
}

fn record(key: &NodeKey) -> CarriedRecord {
    let record = NodeRecord {
        public_key: *key.public().as_bytes(),
        name: "stranger".parse().expect("a name"),
        addresses: Vec::new(),
        links: Vec::new(),
        certificate: None,
        sequence: 1,
        expiry: u64::MAX,
    };
    sign::node_record(key, &record).expect("signed")
}

fn hello(key: &NodeKey) -> Hello {
    Hello { speaks_ours: true, mesh: [0; 32], record: record(key), time: 0, payload_max: None, link: Some([7; 32]) }
}

fn ping(from: &AgentKey, to: AgentId) -> Vec<u8> {
    let draft = Draft {
        message_type: MessageType::Ping,
        shape: Shape::Ping,
        id: MessageId::new(42),
        timestamp: std::time::UNIX_EPOCH.elapsed().map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(0)),
        source: from.id(),
        destination: to,
        content_type: ContentType::None,
        hops: 8,
        sequence: Sequence::NONE,
        told: Receipt::None,
        last: false,
    };
    let frame = Signer::new().sign(from, &draft, &MetadataDraft::default(), &[]).expect("a frame");
    frame.as_bytes().to_vec()
}

/// The code that the daemon closed the link with.
async fn closed(connection: &Connection) -> u64 {
    let closed = tokio::time::timeout(Duration::from_secs(8), connection.closed()).await.expect("closed in time");
    let ConnectionError::ApplicationClosed(close) = closed else { panic!("{closed}") };
    close.error_code.into_inner()
}

fn code(code: ErrorCode) -> u64 {
    code.get().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_to_the_node_over_a_bare_link_is_answered_by_a_signed_pong() {
    let house = House::open().await;
    let link = house.link().await;
    let stream = link.send_stream(&ping(house.peer.as_agent(), house.app.node_id().agent())).await;
    let mut answers = link.connection.accept_uni().await.expect("a stream");
    let mut header = [0; limits::HEADER_BYTES];
    answers.read_exact(&mut header).await.expect("a frame");
    let header = proto::Header::read(&header, proto::Boundary::Wire).expect("a header");
    assert_eq!((header.shape(), header.id()), (Shape::Pong, MessageId::new(42)));
    drop(stream);
    house.app.stop().await.expect("a clean stop");
    assert_eq!(closed(&link.connection).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_for_somebody_else_is_dropped_with_a_notice_and_the_link_stays() {
    let house = House::open().await;
    let mut link = house.link().await;
    let nobody = AgentId::new([9; 32]);
    let _stream = link.send_stream(&ping(house.peer.as_agent(), nobody)).await;
    let notice = link.hear_notice().await;
    assert_eq!((notice.code, notice.id, notice.destination), (ErrorCode::NO_ROUTE, MessageId::new(42), nobody));
    assert_eq!(link.connection.close_reason(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_nobody_knows_is_asked_for_and_a_kind_of_message_that_nobody_knows_is_passed_over() {
    let house = House::open().await;
    let mut link = house.link().await;
    link.send.write_all(b"\0\0\0\x02\x63x").await.expect("written");
    let stranger = AgentKey::make().expect("randomness");
    let _stream = link.send_stream(&ping(&stranger, house.app.node_id().agent())).await;
    loop {
        if let ControlMessage::Want(agent) = link.hear().await {
            assert_eq!(agent, stranger.id());
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_malformed_ends_the_link_with_its_code() {
    let house = House::open().await;
    let frame = ping(house.peer.as_agent(), house.app.node_id().agent());
    let mut version = frame.clone();
    version[0] = 2;
    let mut kind = frame.clone();
    kind[1] = 9;
    let mut unsigned = frame.clone();
    unsigned[87] &= !0x02;
    for (bytes, wanted) in
        [(version, ErrorCode::VERSION), (kind, ErrorCode::MALFORMED), (unsigned, ErrorCode::UNAUTHENTICATED)]
    {
        let link = house.link().await;
        let _stream = link.send_stream(&bytes).await;
        assert_eq!(closed(&link.connection).await, code(wanted));
    }
    let link = house.link().await;
    let mut stream = link.send_stream(&frame[..100]).await;
    stream.finish().expect("open");
    assert_eq!(closed(&link.connection).await, code(ErrorCode::MALFORMED), "a frame that was cut short");
    let mut link = house.link().await;
    link.send.write_all(&u32::MAX.to_be_bytes()).await.expect("written");
    assert_eq!(closed(&link.connection).await, code(ErrorCode::TOO_LARGE), "a control message without end");
    let mut link = house.link().await;
    link.send.finish().expect("open");
    assert_eq!(closed(&link.connection).await, code(ErrorCode::MALFORMED), "a control stream that ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_that_does_not_fit_what_tls_proved_is_refused() {
    let house = House::open().await;
    let other = NodeKey::make().expect("randomness");
    let base = hello(&house.peer);
    let mut forged = base.clone();
    forged.record = record(&other);
    let cases = [
        (forged, ErrorCode::UNAUTHENTICATED),
        (Hello { mesh: [1; 32], ..base.clone() }, ErrorCode::UNAUTHENTICATED),
        (Hello { link: None, ..base.clone() }, ErrorCode::MALFORMED),
        (Hello { speaks_ours: false, ..base }, ErrorCode::VERSION),
    ];
    for (hello, wanted) in cases {
        let connection = house.knock(&house.peer).await.expect("linked");
        let (mut send, receive) = connection.open_bi().await.expect("a stream");
        say(&mut send, &ControlMessage::Hello(Box::new(hello))).await;
        let mut link = Link { connection, send, receive, arrived: BytesMut::new() };
        if wanted == ErrorCode::VERSION {
            let notice = link.hear_notice().await;
            assert_eq!((notice.code, &*notice.text), (wanted, "speak version 1"));
        }
        assert_eq!(closed(&link.connection).await, code(wanted));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_not_configured_does_not_get_as_far_as_a_hello() {
    let house = House::open().await;
    let stranger = Arc::new(NodeKey::make().expect("randomness"));
    let error = match house.knock(&stranger).await {
        Ok(connection) => connection.closed().await,
        Err(error) => error,
    };
    assert!(matches!(error, ConnectionError::ConnectionClosed(_)), "{error}");
    let known: NodeId = house.peer.id();
    assert_ne!(known, stranger.id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_peers_door_refuses_is_told_to_the_operator_by_its_reason() {
    let house = House::open().await;
    let of = |reason: &str| format!("aicp_frames_refused_total{{door=\"peers\",reason=\"{reason}\"}}");
    let link = house.link().await;
    let frame = ping(house.peer.as_agent(), house.app.node_id().agent());
    let mut forged = frame.clone();
    // A bit of the message's id: the signature does not hold.
    forged[5] ^= 1;
    let elsewhere = ping(house.peer.as_agent(), AgentId::new([9; 32]));
    let unknown = ping(&AgentKey::make().expect("randomness"), house.app.node_id().agent());
    let mut stale = frame.clone();
    stale[10..18].copy_from_slice(&1_u64.to_be_bytes());
    let _stream = link.send_stream(&[forged.clone(), elsewhere, forged, unknown, stale].concat()).await;
    house.tells(&of("signature"), 2).await;
    house.tells(&of("not-here"), 1).await;
    house.tells(&of("unknown-source"), 1).await;
    house.tells(&of("stale"), 1).await;
    house.tells("aicp_signatures_refused_total", 2).await;
    house.tells("aicp_peer_dropped_frames_total{peer=\"stranger\"}", 5).await;
    house.tells("aicp_links_open", 1).await;
    let mut version = frame;
    version[0] = 2;
    let _stream = link.send_stream(&version).await;
    house.tells(&of("version"), 1).await;
    assert_eq!(house.told("aicp_peer_received_frames_total{peer=\"stranger\"}").await, 5);
    house.tells("aicp_links_open", 0).await;
}
