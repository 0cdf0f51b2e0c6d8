//! Both doors, fuzzed while a daemon runs: conversations that are nearly right, since what is plainly wrong is refused
//! by its first bytes. `AICP_FUZZ_SECONDS=600` is the whole; a run prints its seed, and `AICP_SEED` begins with it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::BytesMut;
use proto::control::{Attach, ControlBody, subject};
use proto::link::ControlMessage;
use proto::metadata::MetadataDraft;
use proto::{AgentId, ContentType, Draft, FlowKind, MessageType, Receipt, Shape, limits};
use referee::hostile::{Noise, RawDoor, frame};
use referee::root;

use super::mallory::{Mallory, Target, ping, sealed};
use super::watch::{Meanwhile, Watch};
use super::{alone, attached, outlived, runtime, say, with_mallory};

/// Steps of one conversation.
const STEPS_MAX: u64 = 60;

/// Everything that may be asked of a node, but what ends the conversation for everybody (up, down, join, leave).
const SUBJECTS: [&str; 22] = [
    subject::ATTACH,
    subject::DETACH,
    subject::WORKING,
    subject::CREDIT,
    subject::RESOLVE,
    subject::STATUS,
    subject::AGENTS,
    subject::OUTBOX,
    subject::OUTBOX_RETRY,
    subject::OUTBOX_DROP,
    subject::DEAD,
    subject::DEAD_REQUEUE,
    subject::DEAD_PURGE,
    subject::EXPLAIN,
    subject::TAP,
    subject::CONFIG,
    subject::ALLOW_TEST,
    subject::TRUST_CLOCK,
    subject::INVITE,
    subject::PEERS,
    subject::REVOKE,
    subject::NODE,
];

fn seconds() -> Duration {
    let asked = std::env::var("AICP_FUZZ_SECONDS").ok().map(|text| text.parse().expect("a number of seconds"));
    Duration::from_secs(asked.unwrap_or(2))
}

fn seed() -> u64 {
    let seed =
        std::env::var("AICP_SEED").map_or_else(|_| now() % 1_000_000_007, |text| text.parse().expect("a number"));
    say(&format!("AICP_SEED={seed}"));
    seed
}

fn now() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |now| now.as_nanos() as u64)
}

/// Inputs that fuzzers of the decoders found interesting.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let files = std::fs::read_dir(root().join("fuzz/corpus").join(target)).expect("a corpus");
    let mut paths: Vec<PathBuf> = files.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a file")).collect()
}

fn one_of(inputs: &[Vec<u8>], noise: &mut Noise) -> Vec<u8> {
    inputs[noise.below(inputs.len() as u64) as usize].clone()
}

/// Half of them stay as they are, so that conversations get somewhere.
fn spoil(mut bytes: Vec<u8>, noise: &mut Noise) -> Vec<u8> {
    let length = bytes.len() as u64;
    if length == 0 {
        return bytes;
    }
    match noise.below(12) {
        0 => bytes[noise.below(length) as usize] ^= 1 << noise.below(8),
        1 => bytes[noise.below(length) as usize] = noise.next() as u8,
        2 => bytes.truncate(noise.below(length) as usize),
        3 => {
            let at = noise.below(length) as usize;
            let more = noise.below(40) as usize;
            bytes.splice(at..at, noise.bytes(more));
        }
        4 => {
            let (from, to) = (noise.below(length) as usize, noise.below(length) as usize);
            let end = bytes.len().min(from + 8);
            let part = bytes[from..end].to_vec();
            bytes.splice(to..to, part);
        }
        5 => {
            for _ in 0..4 {
                bytes[noise.below(length) as usize] ^= noise.next() as u8;
            }
        }
        _ => {}
    }
    bytes
}

/// One agent's conversation, nearly right.
struct Liar<'a> {
    door: RawDoor,
    noise: &'a mut Noise,
    corpora: &'a [Vec<Vec<u8>>; 2],
    known: &'a [AgentId],
    heard: Vec<Vec<u8>>,
}

impl Liar<'_> {
    fn some_agent(&mut self) -> AgentId {
        let at = self.noise.below(self.known.len() as u64) as usize;
        self.known[at]
    }

    fn drawn(&mut self, which: usize) -> Vec<u8> {
        one_of(&self.corpora[which], self.noise)
    }

    fn question(&mut self) -> Vec<u8> {
        let subject = SUBJECTS[self.noise.below(SUBJECTS.len() as u64) as usize];
        let id = self.some_agent();
        let (content_type, body) = match self.noise.below(4) {
            0 => {
                let attach = Attach { name: format!("liar{}", self.noise.below(16)), ..Attach::default() };
                (ContentType::Json, attach.write(ContentType::Json).to_vec())
            }
            1 => {
                let (message, number) = (self.noise.next(), self.noise.below(99));
                let text = format!(r#"{{"agent":"{id}","message":"{message:016x}","number":{number}}}"#);
                (ContentType::Json, text.into_bytes())
            }
            2 => (ContentType::MessagePack, self.drawn(1)),
            _ => (ContentType::Protobuf, self.drawn(1)),
        };
        let body = spoil(body, self.noise);
        let body = &body[..body.len().min(4000)];
        let content_type = if body.is_empty() { ContentType::None } else { content_type };
        let source = if self.noise.below(2) == 0 { AgentId::ZERO } else { id };
        let draft = self.door.draft(MessageType::Request, Shape::Once, source, AgentId::ZERO);
        frame(
            &Draft { content_type, ..draft },
            &MetadataDraft { subject: Some(subject), ..MetadataDraft::default() },
            body,
        )
    }

    fn message(&mut self) -> Vec<u8> {
        let (from, to) = (self.some_agent(), self.some_agent());
        let (message_type, shape) = match self.noise.below(6) {
            0 => (MessageType::Request, Shape::Once),
            1 | 2 => (MessageType::Request, Shape::Durable(FlowKind::Messages)),
            3 => (MessageType::Broadcast, Shape::Durable(FlowKind::Messages)),
            4 => (MessageType::Response, Shape::Once),
            _ => (MessageType::Ping, Shape::Ping),
        };
        let expiry = Some(now().wrapping_add(self.noise.below(4 * limits::SECOND)).wrapping_sub(limits::SECOND));
        let metadata = MetadataDraft { expiry, subject: Some("fuzz"), ..MetadataDraft::default() };
        let length = 1 + self.noise.below(2000) as usize;
        let body = self.noise.bytes(length);
        let draft = self.door.draft(message_type, shape, from, to);
        frame(&Draft { content_type: ContentType::Octets, ..draft }, &metadata, &body)
    }

    /// What it was told, back at the daemon: as a receipt, a refusal, or an answer.
    fn echo(&mut self) -> Vec<u8> {
        let Some(mut bytes) = self.heard.pop() else { return self.question() };
        let (source, destination) = (bytes[18..50].to_vec(), bytes[50..82].to_vec());
        if self.noise.below(2) == 0 && bytes.len() >= limits::HEADER_BYTES {
            bytes[18..50].copy_from_slice(&destination);
            bytes[50..82].copy_from_slice(&source);
        }
        bytes
    }

    fn step(&mut self) -> io::Result<()> {
        let bytes = match self.noise.below(8) {
            0 | 1 => self.question(),
            2 | 3 => self.message(),
            4 | 5 => self.echo(),
            6 => self.receipt(),
            _ => self.drawn(0),
        };
        let bytes = spoil(bytes, self.noise);
        self.door.say(&bytes)?;
        self.listen()
    }

    /// An acknowledgement or a refusal of what was never delivered, or to another.
    fn receipt(&mut self) -> Vec<u8> {
        let (from, to) = (self.some_agent(), self.some_agent());
        if self.noise.below(2) == 0 {
            let draft = self.door.draft(MessageType::Ack, Shape::Handled, from, to);
            return frame(&Draft { told: Receipt::Handled, ..draft }, &MetadataDraft::default(), &[]);
        }
        let draft = self.door.draft(MessageType::Error, Shape::Notice, from, to);
        let body = [self.drawn(1), vec![0]].concat();
        let draft = Draft { content_type: ContentType::MessagePack, ..draft };
        frame(&draft, &MetadataDraft::default(), &body[..body.len().min(4000)])
    }

    fn listen(&mut self) -> io::Result<()> {
        while let Some(bytes) = self.door.hear_if_any()? {
            if bytes.len() >= limits::HEADER_BYTES && self.heard.len() < 50 {
                self.heard.push(bytes);
            }
        }
        Ok(())
    }
}

/// Connection after connection until the time is over. It says how many frames were sent.
fn agents(path: &Path, echo: AgentId, seed: u64, until: Instant) -> u64 {
    let corpora = ["frame", "error_body"].map(corpus);
    let mut noise = Noise::new(seed);
    let mut known = vec![echo];
    let mut count = 0;
    while Instant::now() < until {
        let mut door = RawDoor::open(path).expect("the door is open");
        if noise.below(4) > 0 {
            let name = format!("liar{}", noise.below(16));
            let id = door.attach(&name).expect("an answer").expect("its own name");
            if !known.contains(&id) {
                known.push(id);
            }
        }
        let steps = noise.below(STEPS_MAX);
        let mut liar = Liar { door, noise: &mut noise, corpora: &corpora, known: &known, heard: Vec::new() };
        for _ in 0..steps {
            count += 1;
            // It is hung up on, as it should be.
            if liar.step().is_err() {
                break;
            }
        }
    }
    count
}

#[test]
fn conversations_of_agents_that_are_nearly_right_harm_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = alone(&folder);
    let runtime = runtime();
    let _inside = runtime.enter();
    let asker = runtime.block_on(attached("asker", &host));
    let echo = runtime.block_on(asker.resolve("echo@alpha")).expect("it is known").agent_id.parse().expect("an id");
    let watch = Watch::begin(&host);
    let until = Instant::now() + seconds();
    let (path, seed) = (host.socket(), seed());
    let harmful = Meanwhile::once(move || agents(&path, echo, seed, until));
    outlived(&asker, &watch, harmful, "frames nearly right at the agents' door");
}

/// Link after link until the time is over.
async fn peer(mallory: &Mallory, target: Target, seed: u64, until: Instant) -> u64 {
    let corpora = ["frame", "control_stream"].map(corpus);
    let mut noise = Noise::new(seed);
    let mut count = 0;
    while Instant::now() < until {
        if noise.below(8) == 0 {
            count += greet(mallory, target, &mut noise).await;
        } else {
            count += converse(mallory, target, &corpora, &mut noise).await;
        }
    }
    count
}

/// A HELLO that is nearly right.
async fn greet(mallory: &Mallory, target: Target, noise: &mut Noise) -> u64 {
    let connection = mallory.knock(target).await;
    let Ok((mut control, _receive)) = connection.open_bi().await else { return 0 };
    let mut hello = BytesMut::new();
    ControlMessage::Hello(Box::new(mallory.hello())).write(&mut hello).expect("within the bound");
    let _said = control.write_all(&spoil(hello.to_vec(), noise)).await;
    tokio::time::sleep(Duration::from_millis(noise.below(5))).await;
    1
}

async fn converse(mallory: &Mallory, target: Target, corpora: &[Vec<Vec<u8>>; 2], noise: &mut Noise) -> u64 {
    let mut link = mallory.link(target).await;
    let (us, node) = (mallory.key.as_agent(), target.node.agent());
    let steps = noise.below(STEPS_MAX);
    for step in 0..steps {
        let bytes = match noise.below(6) {
            0 => ping(us, node, noise.next()).to_vec(),
            1 | 2 => {
                let length = noise.below(3000) as usize;
                sealed(us.id(), node, length, noise).to_vec()
            }
            3 | 4 => one_of(&corpora[0], noise),
            _ => {
                let said = spoil(one_of(&corpora[1], noise), noise);
                if link.control.write_all(&said).await.is_err() {
                    return step;
                }
                link.hear_some().await;
                continue;
            }
        };
        let Some(mut stream) = link.stream().await else { return step };
        if stream.write_all(&spoil(bytes, noise)).await.is_err() {
            return step;
        }
        let _ended = stream.finish();
    }
    steps
}

#[test]
fn conversations_of_a_peer_that_are_nearly_right_harm_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let _inside = runtime.enter();
    let mallory = Mallory::new();
    let (alpha, beta) = with_mallory(&folder, &mallory);
    let asker = runtime.block_on(attached("asker", &beta));
    let target = Target::of(&alpha);
    let watch = Watch::begin(&alpha);
    let until = Instant::now() + seconds();
    let seed = seed();
    let inside = runtime.handle().clone();
    let harmful = Meanwhile::once(move || inside.block_on(peer(&mallory, target, seed, until)));
    outlived(&asker, &watch, harmful, "frames and records nearly right at the peers' door");
}
