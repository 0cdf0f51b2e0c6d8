//! A message stays with its source until its destination signs for it: a peer with a valid link says everything else.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use client::{Agent, Sent, Stage};
use proto::control::ErrorBody;
use proto::link::{ControlMessage, Notice};
use proto::metadata::{Key, MetadataDraft};
use proto::{AgentId, ContentType, Draft, ErrorCode, FlowId, FlowKind, MessageId, MessageType, Shape};
use referee::forge::sign_again;
use referee::hosts::{Host, env_number, until};
use referee::peer::{Known, Link, Peer, Pen, Puppet, Spot, open, random_id, random_seed, wall};

const ANSWERS: Shape = Shape::Durable(FlowKind::Answers);
const HOUR: u64 = 3_600_000_000_000;
/// Messages that the source owns while it is lied to: of half of them the sender waits for the end.
const OWNED: usize = 40;

/// A daemon with one agent, who writes to `reader`; `reader` lives with the honest node, `mal` with the hostile one.
struct World {
    host: Host,
    honest: Peer,
    hostile: Peer,
    reader: Puppet,
    mal: Puppet,
    _folder: tempfile::TempDir,
}

impl World {
    fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (honest, hostile) = (Peer::new("honest"), Peer::new("hostile"));
        let (reader, mal) = (honest.agent("reader"), hostile.agent("mal"));
        let mut host = Host::make(folder.path(), "alpha");
        host.configure_pins(&[honest.pin(), hostile.pin()], "debug");
        host.start();
        Self { host, honest, hostile, reader, mal, _folder: folder }
    }

    async fn link(&self, peer: &Peer, agent: &Puppet) -> Link {
        let mut link = peer.dial(&self.host).await;
        link.say(&ControlMessage::Record(agent.record.clone())).await;
        let id = agent.key.id().to_string();
        until("the agent is known", Duration::from_secs(10), || {
            String::from_utf8_lossy(&self.host.ctl(&["agents", "--json"]).stdout).contains(&id).then_some(())
        });
        link
    }

    fn queued(&self) -> (u64, u64) {
        let status = self.host.status();
        (status["outbox_messages"].as_u64().expect("a number"), status["awaiting"].as_u64().expect("a number"))
    }

    fn received_from(&self, name: &str) -> u64 {
        let status = self.host.status();
        let peers = status["peers"].as_array().expect("peers").clone();
        let peer = peers.into_iter().find(|peer| peer["name"] == name).expect("the peer");
        peer["received_messages"].as_u64().expect("a number")
    }

    /// What the reader's node has seen of the messages: id, flow and place.
    async fn attempts(&mut self, link: &Link, writer: &Known, count: usize) -> BTreeMap<u32, (MessageId, u64)> {
        let mut found = BTreeMap::new();
        while found.len() < count {
            let frame = link.frame("an attempt", |frame| matches!(frame.header().shape(), Shape::Durable(_))).await;
            let content = open(frame, &writer.key, &mut self.reader.prekeys);
            let flow = content.metadata.number(Key::FlowId).expect("a flow");
            found.insert(content.header.sequence().get(), (content.header.id(), flow));
        }
        found
    }
}

async fn submit(writer: &Agent, count: usize, until: Stage) -> Vec<Sent> {
    let mut sent = Vec::new();
    for i in 0..count {
        let text = format!("{until:?} {i}");
        sent.push(writer.send("reader@honest", "kept", text).until(until).await.expect("accepted"));
    }
    sent
}

/// Whether anything at all was said about them beyond that they were accepted.
async fn is_untold(sent: &[Sent]) -> bool {
    for one in sent {
        if tokio::time::timeout(Duration::from_millis(1), one.stored()).await.is_ok() {
            return false;
        }
    }
    true
}

/// Makes lies about what was sent. All are well-formed, and none is signed for these messages by their destination.
struct Liar<'a> {
    reader: Pen<'a>,
    mal: Pen<'a>,
    hostile_node: Pen<'a>,
    hostile_seed: [u8; 32],
    attempts: Vec<(u32, MessageId, u64)>,
    /// What the reader said in an earlier flow, as it was said.
    earlier: Vec<Bytes>,
    flows: [(u64, u32); 2],
}

impl Liar<'_> {
    fn lie(&mut self, i: usize) -> Bytes {
        let (sequence, id, flow) = self.attempts[i / 16 % self.attempts.len()];
        let seed = if (i / 16).is_multiple_of(2) { self.hostile_seed } else { random_seed() };
        let by_another = |frame: Bytes| sign_again(&seed, &frame, |_| {});
        match i % 16 {
            // In the destination's name, by another key.
            0 => by_another(self.reader.stored(flow, sequence)),
            1 => by_another(self.reader.stored(flow, u32::MAX)),
            2 => by_another(self.answer(0, i, MessageType::Ack, id)),
            3 => by_another(self.answer(0, i, MessageType::Response, id)),
            4 => by_another(self.answer(0, i, MessageType::Error, id)),
            5 => by_another(self.notice(i, id)),
            // In its own name, and well signed.
            6 => self.mal.stored(flow, sequence),
            7 => self.hostile_node.stored(flow, u32::MAX),
            8 => self.answer(1, i, MessageType::Ack, id),
            9 => self.answer(1, i, MessageType::Response, id),
            10 => self.answer(1, i, MessageType::Error, id),
            // By the destination itself, about other things: another flow, the other kind, what nobody sent.
            11 => self.reader.stored(flow ^ (2 << (i / 16 % 40)), u32::MAX),
            12 => self.reader.stored(flow | 1, u32::MAX),
            13 => self.answer(0, i, MessageType::Ack, random_id()),
            // By the destination itself, and it ends nothing.
            14 => self.notice(i, id),
            // What it said before.
            _ => self.earlier[i / 16 % self.earlier.len()].clone(),
        }
    }

    /// An outcome in the answers' flow: of the reader (0), or of the hostile node's own agent (1).
    fn answer(&mut self, who: usize, i: usize, message_type: MessageType, id: MessageId) -> Bytes {
        let (flow, next) = &mut self.flows[who];
        let is_kept = who == 1 || i % 16 == 13;
        let spot = Spot { flow: *flow, sequence: *next, floor: *next };
        // What is signed by another key never takes its place.
        *next += u32::from(is_kept);
        let pen = if who == 0 { &mut self.reader } else { &mut self.mal };
        let error = ErrorBody { code: code(i), message: "no".into(), original: id, retry_after_ms: 0 };
        let (content_type, body) = match message_type {
            MessageType::Response => (ContentType::Text, Bytes::from_static(b"an answer")),
            MessageType::Error => (ContentType::MessagePack, error.write(ContentType::MessagePack)),
            MessageType::Request | MessageType::Broadcast | MessageType::Ack | MessageType::Ping => {
                (ContentType::None, Bytes::new())
            }
        };
        let draft = Draft { content_type, ..pen.draft(message_type, ANSWERS, id) };
        pen.durable(draft, spot, wall() + 72 * HOUR, &body)
    }

    fn notice(&mut self, i: usize, id: MessageId) -> Bytes {
        let error = ErrorBody { code: code(i), message: "no".into(), original: id, retry_after_ms: 0 };
        let draft = self.reader.draft(MessageType::Error, Shape::Notice, id);
        let draft = Draft { content_type: ContentType::MessagePack, ..draft };
        self.reader.sign(&draft, &MetadataDraft::default(), &error.write(ContentType::MessagePack))
    }
}

/// Codes that end a message when they come as an outcome. 4015 asks for new numbers, and is another story.
fn code(i: usize) -> ErrorCode {
    const CODES: [ErrorCode; 6] = [
        ErrorCode::OFFLINE,
        ErrorCode::TIMEOUT,
        ErrorCode::POLICY,
        ErrorCode::MALFORMED,
        ErrorCode::EXPIRED,
        ErrorCode::STORAGE,
    ];
    CODES[i / 16 % CODES.len()]
}

fn neighbours_word(i: usize, id: MessageId, source: AgentId, destination: AgentId) -> ControlMessage {
    ControlMessage::Notice(Notice { code: code(i), id, source, destination, text: "it went no further".into() })
}

#[test]
fn receipts_that_the_destination_did_not_sign_for_these_messages_have_no_effect() {
    let count = usize::try_from(env_number("AICP_FORGED", 5_000)).expect("a number");
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(lie_and_judge(count));
}

async fn lie_and_judge(count: usize) {
    let mut world = World::open();
    let writer = Agent::attach("writer").socket(world.host.socket()).await.expect("attached");
    let earlier = earlier_receipts(&mut world, &writer).await;
    // A new start begins a new flow.
    world.host.kill();
    world.host.start();
    let honest = world.link(&world.honest, &world.reader).await;
    let mut hostile = world.link(&world.hostile, &world.mal).await;
    let known = honest.record("writer").await;

    let mut sent = submit(&writer, OWNED / 2, Stage::Stored).await;
    sent.extend(submit(&writer, OWNED / 2, Stage::Handled).await);
    let attempts = world.attempts(&honest, &known, OWNED).await;
    let flow = attempts[&1].1;
    assert_eq!(world.queued(), (OWNED as u64, OWNED as u64), "owned, and awaited");

    let before = world.received_from("hostile");
    let (reader_key, mal_key, hostile_seed) = (&world.reader.key, &world.mal.key, world.hostile.seed);
    let mut liar = Liar {
        reader: Pen::new(reader_key, known),
        mal: Pen::new(mal_key, known),
        hostile_node: Pen::new(world.hostile.as_agent(), known),
        hostile_seed,
        attempts: attempts.iter().map(|(sequence, (id, flow))| (*sequence, *id, *flow)).collect(),
        earlier,
        flows: [(wall() | 1, 1), (wall() | 1, 1)],
    };
    for start in (0..count).step_by(256) {
        let lies: Vec<Bytes> = (start..count.min(start + 256)).map(|i| liar.lie(i)).collect();
        hostile.send(&lies).await;
        let (_, id, _) = liar.attempts[start % OWNED];
        hostile.say(&neighbours_word(start, id, known.id, reader_key.id())).await;
        hostile.settled().await;
    }
    let taken = world.received_from("hostile") - before;
    assert!(taken >= count as u64, "the daemon looked at {taken} of {count}");
    assert_eq!(world.queued(), (OWNED as u64, OWNED as u64), "something was settled by a lie");
    assert!(is_untold(&sent).await, "the sender was told a lie");

    let answers = liar.flows[0];
    above_what_was_sent(&mut world, &writer, (honest, hostile), sent, (flow, answers), count / 10).await;
}

/// In an earlier flow a message was honestly stored and handled.
async fn earlier_receipts(world: &mut World, writer: &Agent) -> Vec<Bytes> {
    let mut honest = world.link(&world.honest, &world.reader).await;
    let known = honest.record("writer").await;
    let sent = submit(writer, 1, Stage::Handled).await;
    let attempts = world.attempts(&honest, &known, 1).await;
    let mut pen = Pen::new(&world.reader.key, known);
    let (id, flow) = attempts[&1];
    let stored = pen.stored(flow, 1);
    let draft = pen.draft(MessageType::Ack, ANSWERS, id);
    let spot = Spot { flow: wall() | 1, sequence: 1, floor: 1 };
    let handled = pen.durable(draft, spot, wall() + 72 * HOUR, &[]);
    honest.send(&[stored.clone(), handled.clone()]).await;
    sent[0].handled().await.expect("handled");
    vec![stored, handled]
}

/// The true receipt settles what was sent. What was not sent stays, although the destination's own key signs for it; and
/// in the end all arrives and is told.
async fn above_what_was_sent(
    world: &mut World,
    writer: &Agent,
    (mut honest, mut hostile): (Link, Link),
    mut sent: Vec<Sent>,
    (flow, (answers, next)): (u64, (u64, u32)),
    count: usize,
) {
    let known = honest.record("writer").await;
    let mut pen = Pen::new(&world.reader.key, known);
    let all = u32::try_from(OWNED).expect("a few");
    honest.send(&[pen.stored(flow, all)]).await;
    for one in &sent {
        one.stored().await.expect("stored");
    }
    assert_eq!(world.queued().0, 0, "the true receipt counts");
    drop(honest);
    until("the honest node's link is down", Duration::from_secs(10), || {
        let status = world.host.status();
        status["peers"].as_array()?.iter().any(|peer| peer["name"] == "honest" && peer["state"] != "up").then_some(())
    });
    let unsent = submit(writer, OWNED, Stage::Stored).await;
    let above: Vec<Bytes> = (0..u32::try_from(count).expect("a number"))
        .map(|i| pen.stored(flow, all + 1 + i.wrapping_mul(0x9E37_79B1) % (u32::MAX - all)))
        .collect();
    hostile.send(&above).await;
    hostile.settled().await;
    assert_eq!(world.queued().0, OWNED as u64, "what never left was settled");
    assert!(is_untold(&unsent).await, "the sender was told that what never left has arrived");

    let mut honest = world.link(&world.honest, &world.reader).await;
    let attempts = world.attempts(&honest, &known, OWNED).await;
    let (first, last) = (attempts.keys().next().copied(), attempts.keys().last().copied());
    assert_eq!((first, last), (Some(all + 1), Some(2 * all)), "places");
    let mut pen = Pen::new(&world.reader.key, known);
    let mut frames = vec![pen.stored(flow, 2 * all)];
    for (sequence, one) in (next..).zip(sent.iter().chain(&unsent)) {
        let draft = pen.draft(MessageType::Ack, ANSWERS, one.id());
        let spot = Spot { flow: answers, sequence, floor: next };
        frames.push(pen.durable(draft, spot, wall() + 72 * HOUR, &[]));
    }
    honest.send(&frames).await;
    for one in sent.drain(OWNED / 2..) {
        assert!(one.handled().await.expect("handled").is_none());
    }
    for one in unsent {
        one.stored().await.expect("stored");
    }
    until("nothing is queued", Duration::from_secs(10), || (world.queued() == (0, 0)).then_some(()));
    assert!(FlowId::new(flow).is_some_and(|flow| flow.kind() == FlowKind::Messages));
}
