//! A peer with a good key and bad manners: bare QUIC, bytes written by hand. It needs a TLS stack, so it lies here and
//! not beside the raw client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use keys::certificate::self_signed;
use keys::sign::{self, Signer};
use keys::tls::{Shown, Trust, dialer, listener};
use keys::{AgentKey, NodeKey};
use proto::link::{ControlMessage, Hello};
use proto::metadata::MetadataDraft;
use proto::record::NodeRecord;
use proto::{AgentId, ContentType, Draft, FlowKind, MessageId, MessageType, NodeId, Receipt, Sequence, Shape, limits};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig, TransportConfig, VarInt};
use referee::hostile::Noise;
use referee::hosts::Host;

/// How long anything at the other end is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who it is.
pub(super) struct Mallory {
    pub(super) key: Arc<NodeKey>,
    shown: Shown,
    endpoint: Endpoint,
}

/// Somebody to be harmed: a daemon, or a sink that takes everything and does nothing.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) node: NodeId,
    pub(super) address: SocketAddr,
}

/// A connection on which both have said HELLO.
pub(super) struct Link {
    pub(super) connection: Connection,
    pub(super) control: SendStream,
    receive: RecvStream,
}

impl Target {
    pub(super) fn of(host: &Host) -> Self {
        let node = NodeId::new(host.id.parse().expect("an id"));
        Self { node, address: ([127, 0, 0, 1], host.port).into() }
    }
}

impl Mallory {
    pub(super) fn new() -> Self {
        let key = Arc::new(NodeKey::make().expect("randomness"));
        let certificate = self_signed(&key, &"mallory".parse().expect("a name")).expect("a certificate");
        let endpoint = Endpoint::client(([127, 0, 0, 1], 0).into()).expect("a socket");
        Self { shown: Shown::new(Arc::clone(&key), certificate), key, endpoint }
    }

    /// Makes a daemon take this one for a peer. Before it starts.
    pub(super) fn befriend(&self, host: &Host) {
        let text = std::fs::read_to_string(host.config()).expect("a file");
        let us = format!("peers = [\"mallory={}\"", self.key.id());
        let text = text.replace("peers = [", &format!("{us}, ")).replace(", ]", "]");
        std::fs::write(host.config(), text).expect("a file");
    }

    pub(super) async fn knock(&self, target: Target) -> Connection {
        let tls = dialer(&self.shown, target.node).expect("TLS");
        let tls = QuicClientConfig::try_from(tls).expect("ciphers");
        let mut config = ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::new(greedy()));
        let dial = self.endpoint.connect_with(config, target.address, "node.invalid").expect("a dial");
        tokio::time::timeout(PATIENCE, dial).await.expect("in time").expect("let in")
    }

    pub(super) async fn link(&self, target: Target) -> Link {
        let connection = self.knock(target).await;
        let (mut control, mut receive) = connection.open_bi().await.expect("a stream");
        say(&mut control, &ControlMessage::Hello(Box::new(self.hello()))).await.expect("open");
        let mut arrived = BytesMut::new();
        loop {
            match ControlMessage::take(&mut arrived) {
                Ok(ControlMessage::Hello(_)) => return Link { connection, control, receive },
                Ok(other) => panic!("{other:?}"),
                Err(_) => {
                    let chunk = tokio::time::timeout(PATIENCE, receive.read_chunk(1 << 16, true)).await;
                    let chunk = chunk.expect("in time").expect("open").expect("more");
                    arrived.extend_from_slice(&chunk.bytes);
                }
            }
        }
    }

    /// A HELLO that is taken. Each is newer than the last one.
    pub(super) fn hello(&self) -> Hello {
        let record = NodeRecord {
            public_key: *self.key.public().as_bytes(),
            name: "mallory".parse().expect("a name"),
            addresses: Vec::new(),
            links: Vec::new(),
            certificate: None,
            sequence: wall(),
            expiry: u64::MAX,
        };
        Hello {
            speaks_ours: true,
            mesh: [0; 32],
            record: sign::node_record(&self.key, &record).expect("signed"),
            time: wall(),
            payload_max: None,
            link: Some([7; 32]),
        }
    }
}

impl Link {
    /// A stream that carries frames.
    pub(super) async fn stream(&self) -> Option<SendStream> {
        let opened = tokio::time::timeout(Duration::from_millis(500), self.connection.open_uni()).await;
        opened.ok().and_then(Result::ok)
    }

    /// What the other end says on the control stream, passed over.
    pub(super) async fn hear_some(&mut self) -> usize {
        let chunk = tokio::time::timeout(Duration::from_millis(1), self.receive.read_chunk(1 << 16, true)).await;
        chunk.ok().and_then(Result::ok).flatten().map_or(0, |chunk| chunk.bytes.len())
    }
}

fn greedy() -> TransportConfig {
    let mut config = TransportConfig::default();
    config.max_concurrent_uni_streams(VarInt::from_u32(64));
    config.datagram_receive_buffer_size(None);
    config
}

pub(super) async fn say(send: &mut SendStream, message: &ControlMessage) -> Result<(), quinn::WriteError> {
    let mut out = BytesMut::new();
    message.write(&mut out).expect("within the bound");
    send.write_all(&out).await
}

pub(super) fn wall() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

/// A PING that is signed by `key`, whoever that is.
pub(super) fn ping(key: &AgentKey, to: AgentId, id: u64) -> Bytes {
    let draft = Draft { message_type: MessageType::Ping, shape: Shape::Ping, ..draft(key.id(), to, id) };
    let frame = Signer::new().sign(key, &draft, &MetadataDraft::default(), &[]).expect("a frame");
    frame.into_bytes()
}

/// A frame of somebody that looks well from outside and holds `body` bytes of noise.
pub(super) fn sealed(source: AgentId, to: AgentId, body: usize, noise: &mut Noise) -> Bytes {
    let shape = Shape::Durable(FlowKind::Messages);
    let draft = Draft { shape, sequence: Sequence::new(1), ..draft(source, to, noise.next()) };
    let header = proto::Header::make(&draft, proto::Boundary::Wire, 64 + body).expect("a header");
    let rest = noise.bytes(header.payload_bytes());
    [&header.to_bytes()[..], &rest].concat().into()
}

fn draft(source: AgentId, destination: AgentId, id: u64) -> Draft {
    Draft {
        message_type: MessageType::Request,
        shape: Shape::Once,
        id: MessageId::new(id),
        timestamp: wall(),
        source,
        destination,
        content_type: ContentType::None,
        hops: 8,
        sequence: Sequence::NONE,
        told: Receipt::None,
        last: false,
    }
}

/// Takes whatever Mallory sends, and looks at nothing.
pub(super) fn sink(mallory: &Mallory) -> Target {
    let key = Arc::new(NodeKey::make().expect("randomness"));
    let certificate = self_signed(&key, &"sink".parse().expect("a name")).expect("a certificate");
    let shown = Shown::new(Arc::clone(&key), certificate);
    let tls = listener(&shown, Trust::Pinned([mallory.key.id()].into())).expect("TLS");
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).expect("ciphers")));
    let mut transport = greedy();
    transport.stream_receive_window(VarInt::from_u32(limits::STREAM_WINDOW_BYTES));
    transport.receive_window(VarInt::from_u32(limits::LINK_WINDOW_BYTES));
    config.transport_config(Arc::new(transport));
    let endpoint = Endpoint::server(config, ([127, 0, 0, 1], 0).into()).expect("a socket");
    let target = Target { node: key.id(), address: endpoint.local_addr().expect("an address") };
    let hello = Hello { link: None, ..Mallory { shown, key, endpoint: endpoint.clone() }.hello() };
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let hello = hello.clone();
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else { return };
                if let Ok((mut send, control)) = connection.accept_bi().await {
                    let _said = say(&mut send, &ControlMessage::Hello(Box::new(hello))).await;
                    tokio::spawn(async move {
                        discard(control).await;
                        drop(send);
                    });
                }
                while let Ok(stream) = connection.accept_uni().await {
                    tokio::spawn(discard(stream));
                }
            });
        }
    });
    target
}

async fn discard(mut stream: RecvStream) {
    while let Ok(Some(_)) = stream.read_chunk(1 << 16, true).await {}
}
