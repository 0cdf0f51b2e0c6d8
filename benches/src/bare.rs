//! The pipes that an exchange cannot do without, and nothing else in them: a Unix socket between two processes, and one
//! long-lived stream each way over QUIC with the same mutual TLS. Whole messages of the bench's length go there and back.

use std::collections::{BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::BytesMut;
use keys::NodeKey;
use keys::tls::{Shown, Trust, dialer, listener};
use proto::limits;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, ServerConfig, TransportConfig, VarInt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Join};
use tokio::time::Instant;

use crate::BODY_BYTES;
use crate::times::{Times, since};

/// The two ends' seeds: they protect nothing.
const SEEDS: [[u8; 32]; 2] = [[0xA1; 32], [0xB2; 32]];
/// What is asked for at a read.
const READ_BYTES: usize = 64 << 10;

/// Sends every whole message back, as many at once as have come, until the other side ends.
pub async fn echo(mut pipe: impl AsyncRead + AsyncWrite + Unpin) {
    let mut arrived = BytesMut::with_capacity(READ_BYTES);
    while matches!(pipe.read_buf(&mut arrived).await, Ok(1..)) {
        let whole = arrived.split_to(arrived.len() / BODY_BYTES * BODY_BYTES);
        if pipe.write_all(&whole).await.is_err() {
            return;
        }
        arrived.reserve(READ_BYTES);
    }
}

/// Asks once, and says how long it took.
///
/// # Panics
/// If the pipe ends.
pub async fn ask(pipe: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> f64 {
    let mut answer = [0; BODY_BYTES];
    let begun = Instant::now();
    pipe.write_all(&[0x5A; BODY_BYTES]).await.unwrap();
    pipe.read_exact(&mut answer).await.unwrap();
    since(begun)
}

/// Asks `count` times, with `in_flight` under way; how long each took, and all together.
///
/// # Panics
/// If the pipe ends.
pub async fn ask_many(
    pipe: &mut (impl AsyncRead + AsyncWrite + Unpin),
    in_flight: usize,
    count: usize,
) -> (Times, f64) {
    let messages = vec![0x5A; in_flight * BODY_BYTES];
    let mut times = Times::default();
    let mut arrived = BytesMut::with_capacity(READ_BYTES);
    let mut under_way = VecDeque::new();
    let (mut asked, mut answered, mut room) = (0, 0, in_flight);
    let begun = Instant::now();
    while answered < count {
        let more = room.min(count - asked);
        under_way.extend(std::iter::repeat_n(Instant::now(), more));
        pipe.write_all(messages.get(..more * BODY_BYTES).unwrap_or_default()).await.unwrap();
        asked += more;
        arrived.reserve(READ_BYTES);
        assert!(pipe.read_buf(&mut arrived).await.unwrap() > 0, "the pipe ended");
        room = arrived.len() / BODY_BYTES;
        drop(arrived.split_to(room * BODY_BYTES));
        answered += room;
        under_way.drain(..room).for_each(|begun| times.note(since(begun)));
    }
    (times, since(begun))
}

/// Listens on loopback for the one peer; returns where, and the peer's pipe once it has come.
///
/// # Panics
/// If it cannot.
pub async fn listen(tell: impl FnOnce(SocketAddr)) -> Join<RecvStream, SendStream> {
    let [ours, theirs] = SEEDS.map(|seed| NodeKey::from_published_seed(&seed));
    let trust = Trust::Pinned(BTreeSet::from([theirs.id()]));
    let tls = QuicServerConfig::try_from(listener(&shown(ours), trust).unwrap()).unwrap();
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(transport());
    let endpoint = Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    tell(endpoint.local_addr().unwrap());
    let connection = endpoint.accept().await.unwrap().await.unwrap();
    let (send, receive) = connection.accept_bi().await.unwrap();
    tokio::io::join(receive, send)
}

/// Dials it. The connection lasts as long as what is returned.
///
/// # Panics
/// If nobody answers.
pub async fn dial(address: SocketAddr) -> (Connection, Join<RecvStream, SendStream>) {
    let [theirs, ours] = SEEDS.map(|seed| NodeKey::from_published_seed(&seed));
    let tls = QuicClientConfig::try_from(dialer(&shown(ours), theirs.id()).unwrap()).unwrap();
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(transport());
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let connection = endpoint.connect_with(config, address, "node.invalid").unwrap().await.unwrap();
    let (send, receive) = connection.open_bi().await.unwrap();
    (connection, tokio::io::join(receive, send))
}

fn shown(key: NodeKey) -> Shown {
    let certificate = keys::certificate::self_signed(&key, &"bench".parse().unwrap()).unwrap();
    Shown::new(Arc::new(key), certificate)
}

/// The daemon's windows.
fn transport() -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config.stream_receive_window(VarInt::from_u32(limits::STREAM_WINDOW_BYTES));
    config.receive_window(VarInt::from_u32(limits::LINK_WINDOW_BYTES));
    config.send_window(limits::SEND_WINDOW_BYTES);
    Arc::new(config)
}
