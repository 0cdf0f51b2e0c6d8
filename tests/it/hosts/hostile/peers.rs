//! What can be done at the peers' door by a node that is let in, and by anybody who can send a datagram.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use proto::link::ControlMessage;
use proto::{AgentId, limits};
use quinn::SendStream;
use referee::hostile::Noise;

use super::mallory::{Link, Mallory, Target, ping, say, sealed};

/// As many as a debug build on one slow core can look at beside everything else.
const DATAGRAMS_PER_SECOND: u64 = 10_000;

/// All kinds of harm by a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Harm {
    Hellos,
    ControlNoise,
    UnknownSources,
    BadSignatures,
    Pings,
    HalfFrames,
    UnfinishedLarge,
    Wants,
    Resets,
    ManyStreams,
}

impl Harm {
    pub(super) const ALL: [Self; 10] = [
        Self::Hellos,
        Self::ControlNoise,
        Self::UnknownSources,
        Self::BadSignatures,
        Self::Pings,
        Self::HalfFrames,
        Self::UnfinishedLarge,
        Self::Wants,
        Self::Resets,
        Self::ManyStreams,
    ];
    /// Those that are nothing but as much as possible.
    pub(super) const FLOODS: [Self; 3] = [Self::UnknownSources, Self::BadSignatures, Self::Wants];
}

/// Does it some number of times, and says how often it could.
pub(super) async fn harm(mallory: &Mallory, target: Target, harm: Harm, count: u64) -> u64 {
    let mut noise = Noise::new(count | 1);
    match harm {
        Harm::Hellos => return hellos(mallory, target, count.min(2000) / 20, &mut noise).await,
        Harm::ControlNoise => return control_noise(mallory, target, count.min(2000) / 20, &mut noise).await,
        Harm::UnknownSources
        | Harm::BadSignatures
        | Harm::Pings
        | Harm::HalfFrames
        | Harm::UnfinishedLarge
        | Harm::Wants
        | Harm::Resets
        | Harm::ManyStreams => {}
    }
    let mut link = mallory.link(target).await;
    let us = mallory.key.as_agent();
    let node = target.node.agent();
    let done = match harm {
        Harm::UnknownSources => frames(&link, count, |i| sealed(unknown(i), node, 100, &mut noise)).await,
        Harm::BadSignatures => frames(&link, count, |_| sealed(us.id(), node, 100, &mut noise)).await,
        Harm::Pings => frames(&link, count, |i| ping(us, node, i)).await,
        Harm::HalfFrames => parts(&link, &mut noise, us.id(), node, 60_000, 59_000).await,
        Harm::UnfinishedLarge => {
            let bytes = limits::BODY_BYTES_MAX - 1000;
            parts(&link, &mut noise, us.id(), node, bytes, bytes).await
        }
        Harm::Wants => wants(&mut link, count, node).await,
        Harm::Resets => resets(&link, count.min(20_000), &sealed(us.id(), node, 50_000, &mut noise)).await,
        Harm::ManyStreams => many_streams(&link, count.min(20_000), &ping(us, node, 1)).await,
        Harm::Hellos | Harm::ControlNoise => 0,
    };
    link.connection.close(quinn::VarInt::from_u32(0), b"enough");
    done
}

/// One of the floods, as it goes on.
pub(super) struct Flood {
    link: Link,
    stream: SendStream,
    harm: Harm,
    noise: Noise,
    us: AgentId,
    node: AgentId,
}

impl Flood {
    pub(super) async fn begin(mallory: &Mallory, target: Target, harm: Harm) -> Self {
        let link = mallory.link(target).await;
        let stream = link.stream().await.expect("the first stream");
        let (us, node) = (mallory.key.id().agent(), target.node.agent());
        Self { link, stream, harm, noise: Noise::new(7), us, node }
    }

    /// That many more.
    pub(super) async fn send(&mut self, count: u64) -> u64 {
        let mut bytes = Vec::new();
        for _ in 0..count {
            let source = if self.harm == Harm::UnknownSources { unknown(self.noise.next()) } else { self.us };
            bytes.extend_from_slice(&sealed(source, self.node, 100, &mut self.noise));
        }
        if self.harm == Harm::Wants {
            wants(&mut self.link, count, self.node).await
        } else {
            self.stream.write_all(&bytes).await.map_or(0, |()| count)
        }
    }
}

/// An agent that nobody has heard of.
fn unknown(number: u64) -> AgentId {
    let mut id = [0xee; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    AgentId::new(id)
}

async fn frames(link: &Link, count: u64, mut make: impl FnMut(u64) -> bytes::Bytes) -> u64 {
    const BATCH: u64 = 64;
    let mut stream = link.stream().await.expect("the first stream");
    for batch in 0..count.div_ceil(BATCH) {
        let bytes: Vec<u8> = (0..BATCH).flat_map(|i| make(batch * BATCH + i)).collect();
        if stream.write_all(&bytes).await.is_err() {
            return batch * BATCH;
        }
    }
    let _ended = stream.finish();
    count
}

/// Dials and says what is no HELLO: nothing, noise, half of one, another's, twice.
async fn hellos(mallory: &Mallory, target: Target, count: u64, noise: &mut Noise) -> u64 {
    for i in 0..count {
        let connection = mallory.knock(target).await;
        let Ok((mut control, _receive)) = connection.open_bi().await else { continue };
        let hello = mallory.hello();
        let mut whole = bytes::BytesMut::new();
        ControlMessage::Hello(Box::new(hello.clone())).write(&mut whole).expect("within the bound");
        let _said = match i % 6 {
            0 => control.write_all(&noise.bytes(500)).await,
            1 => control.write_all(&whole[..whole.len() / 2]).await,
            2 => {
                say(&mut control, &ControlMessage::Hello(Box::new(proto::link::Hello { mesh: [1; 32], ..hello }))).await
            }
            3 => control.write_all(&u32::MAX.to_be_bytes()).await,
            4 => control.write_all(&[&whole[..], &whole].concat()).await,
            // Depth: arrays in arrays, as the value of a key that nobody knows.
            _ => control.write_all(&[&b"\0\0\xc3\x54\x01\x81\x20"[..], &[0x91; 50_000]].concat()).await,
        };
        // Frames before a HELLO are not read.
        if let Ok(mut stream) = connection.open_uni().await {
            let _early = stream.write_all(&noise.bytes(5000)).await;
        }
        if i % 4 == 0 {
            connection.close(quinn::VarInt::from_u32(0), b"");
        }
    }
    count
}

async fn control_noise(mallory: &Mallory, target: Target, count: u64, noise: &mut Noise) -> u64 {
    for i in 0..count {
        let mut link = mallory.link(target).await;
        let length = if i % 2 == 0 { 0x4000_u32 } else { noise.next() as u32 };
        let kind = [(i % 5) as u8];
        let bytes = [&length.to_be_bytes()[..], &kind, &noise.bytes(0x3fff)].concat();
        let _said = link.control.write_all(&bytes).await;
        link.hear_some().await;
    }
    count
}

/// The beginnings of frames on as many streams as there may be.
async fn parts(link: &Link, noise: &mut Noise, us: AgentId, node: AgentId, bytes: usize, sent: usize) -> u64 {
    let frame = sealed(us, node, bytes, noise);
    let mut streams = Vec::new();
    while let Some(mut stream) = link.stream().await {
        let part = frame.slice(..sent);
        let write = tokio::time::timeout(Duration::from_millis(30), stream.write_all(&part));
        let _sent = write.await;
        streams.push(stream);
    }
    assert!(streams.len() >= 16, "the protocol gives a peer at least 16");
    tokio::time::sleep(Duration::from_millis(500)).await;
    streams.len() as u64
}

/// Asks for a record again and again and never reads the answers.
async fn wants(link: &mut Link, count: u64, node: AgentId) -> u64 {
    const BATCH: u64 = 64;
    let mut want = bytes::BytesMut::new();
    ControlMessage::Want(node).write(&mut want).expect("within the bound");
    let bytes = want.repeat(BATCH as usize);
    for batch in 0..count.div_ceil(BATCH) {
        let write = tokio::time::timeout(Duration::from_secs(1), link.control.write_all(&bytes));
        if !matches!(write.await, Ok(Ok(()))) {
            return batch * BATCH;
        }
    }
    count
}

async fn resets(link: &Link, count: u64, frame: &[u8]) -> u64 {
    for i in 0..count {
        let Some(mut stream) = link.stream().await else { return i };
        if stream.write_all(&frame[..frame.len() / 2]).await.is_err() {
            return i;
        }
        let _reset = stream.reset(quinn::VarInt::from_u32(9));
    }
    count
}

/// A stream for each small frame.
async fn many_streams(link: &Link, count: u64, frame: &[u8]) -> u64 {
    for i in 0..count {
        let Some(mut stream) = link.stream().await else { return i };
        if stream.write_all(frame).await.is_err() {
            return i;
        }
        let _ended = stream.finish();
    }
    count
}

/// Datagrams from nowhere: half of them noise, half like the first packet of a connection. So many a second and no more:
/// what fills the socket's buffer keeps honest packets out before any daemon can see them.
#[expect(clippy::disallowed_methods, reason = "a pace is kept by a real clock")]
pub(super) fn datagrams(target: Target, count: u64) -> u64 {
    const INITIAL_BYTES: usize = 1200;
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a port");
    let mut noise = Noise::new(count.wrapping_mul(31));
    let mut packet = noise.bytes(INITIAL_BYTES).to_vec();
    let begun = Instant::now();
    for i in 0..count {
        if i % 100 == 0 {
            let due = Duration::from_nanos(i * 1_000_000_000 / DATAGRAMS_PER_SECOND);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        let at = noise.below(INITIAL_BYTES as u64 - 8) as usize;
        packet[at..at + 8].copy_from_slice(&noise.next().to_be_bytes());
        let length = if i % 2 == 0 {
            let dcid = noise.next().to_be_bytes();
            // A long header of version 1, two ids of eight bytes, no token, and the rest of the datagram.
            packet[..6].copy_from_slice(&[0xc0 | (at as u8 & 3), 0, 0, 0, 1, 8]);
            packet[6..14].copy_from_slice(&dcid);
            packet[14] = 8;
            packet[23] = 0;
            packet[24..26].copy_from_slice(&[0x44, 0x96]);
            INITIAL_BYTES
        } else {
            1 + noise.below(INITIAL_BYTES as u64 - 1) as usize
        };
        // A full buffer drops it, as a network would.
        let _sent = socket.send_to(&packet[..length], target.address);
    }
    count
}
