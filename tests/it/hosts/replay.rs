//! What was recorded on the wire and comes again reaches no agent a second time: now, over another link, after a restart,
//! with a moved clock, with windows full. What outlived its mark says that it was possibly delivered before.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use client::{Agent, Incoming};
use proto::link::ControlMessage;
use proto::metadata::MetadataDraft;
use proto::{ContentType, Draft, FlowKind, MessageId, MessageType, Shape, limits};
use referee::hosts::{Host, env_number, until};
use referee::moved::MovedClock;
use referee::peer::{Known, Link, Peer, Pen, Puppet, Spot, draft, random_id, wall};
use tempfile::TempDir;

const MESSAGES: Shape = Shape::Durable(FlowKind::Messages);
/// What is sent without waiting for the reader: less than a daemon hands to one client.
const BATCH: usize = 200;
const MINUTE: u64 = 60 * limits::SECOND;

/// One delivery, as the reader saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Seen {
    id: MessageId,
    is_durable: bool,
    is_marked: bool,
}

/// A daemon with an agent that handles whatever it is given, a source that sends what is real, and another peer.
struct World {
    host: Host,
    source: Peer,
    other: Peer,
    writer: Puppet,
    last: Puppet,
    reader: Agent,
    seen: Arc<Mutex<Vec<Seen>>>,
    count: usize,
    _folder: TempDir,
}

/// Real frames, as they were on the wire, and what it takes to make the durable ones anew.
struct Recorded {
    durable: Vec<Bytes>,
    once: Vec<Bytes>,
    drafts: Vec<(Draft, Spot, u64)>,
}

impl World {
    async fn open(clock: impl FnOnce(&mut Host, &Path)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, other) = (Peer::new("source"), Peer::new("other"));
        let (writer, last) = (source.agent("writer"), source.agent("last"));
        let mut host = Host::make(folder.path(), "beta");
        host.configure_pins(&[source.pin(), other.pin()], "debug");
        clock(&mut host, folder.path());
        host.start();
        let reader = Agent::attach("reader").socket(host.socket()).await.expect("attached");
        let seen = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(read(reader.clone(), Arc::clone(&seen)));
        let count = usize::try_from(env_number("AICP_REPLAYS", 150)).expect("a number");
        Self { host, source, other, writer, last, reader, seen, count, _folder: folder }
    }

    async fn link(&self, peer: &Peer) -> (Link, Known) {
        let mut link = peer.dial(&self.host).await;
        if peer.name == self.source.name {
            link.say(&ControlMessage::Record(self.writer.record.clone())).await;
            link.say(&ControlMessage::Record(self.last.record.clone())).await;
            let id = self.last.key.id().to_string();
            until("the writer is known", Duration::from_secs(10), || {
                String::from_utf8_lossy(&self.host.ctl(&["agents", "--json"]).stdout).contains(&id).then_some(())
            });
        }
        let reader = link.record("reader").await;
        (link, reader)
    }

    /// Sends real frames of both kinds, in a flow of their own, and waits until the reader has them.
    async fn record(&self, link: &mut Link, reader: Known, clock: u64, life: u64) -> Recorded {
        let mut pen = Pen::new(&self.writer.key, reader);
        let recorded = self.write(&mut pen, self.count, clock, life);
        let before = self.seen().len();
        for at in (0..self.count).step_by(BATCH) {
            let upto = self.count.min(at + BATCH);
            link.send(&recorded.durable[at..upto]).await;
            link.send(&recorded.once[at..upto]).await;
            self.await_seen(before + 2 * upto);
        }
        recorded
    }

    /// Messages that want no answer, so that none is owed to a source that takes none.
    fn write(&self, pen: &mut Pen<'_>, count: usize, clock: u64, life: u64) -> Recorded {
        let mut recorded = Recorded { durable: Vec::new(), once: Vec::new(), drafts: Vec::new() };
        let flow = clock & !1;
        for sequence in 1..=u32::try_from(count).expect("a number") {
            let draft = Draft {
                content_type: ContentType::Text,
                timestamp: clock,
                ..pen.draft(MessageType::Broadcast, MESSAGES, random_id())
            };
            let spot = Spot { flow, sequence, floor: 1 };
            recorded.durable.push(pen.durable(draft, spot, clock + life, b"durable"));
            recorded.drafts.push((draft, spot, clock + life));
            let once = Draft { message_type: MessageType::Request, shape: Shape::Once, id: random_id(), ..draft };
            recorded.once.push(pen.seal(&once, &MetadataDraft::default(), b"once"));
        }
        recorded
    }

    /// The durable ones once more, sealed afresh under the same ids and places.
    fn anew(&self, recorded: &Recorded, reader: Known) -> Vec<Bytes> {
        let mut pen = Pen::new(&self.writer.key, reader);
        let drafts = recorded.drafts.iter();
        drafts.map(|(draft, spot, expiry)| pen.durable(*draft, *spot, *expiry, b"durable")).collect()
    }

    /// All of it again, forwards and backwards, and then one message that is new: what was to come has come before it.
    async fn replay(&self, link: &mut Link, recorded: &Recorded, clock: u64) {
        for (durable, once) in recorded.durable.chunks(BATCH).zip(recorded.once.chunks(BATCH)) {
            link.send(once).await;
            link.send(durable).await;
            link.settled().await;
        }
        let backwards: Vec<Bytes> = recorded.durable.iter().chain(&recorded.once).rev().cloned().collect();
        link.send(&backwards).await;
        self.flush(link, clock).await;
    }

    /// Waits until all that the daemon has for the reader by now has been read: a message of another agent's lies behind
    /// it in the mailbox. It is sealed until it is sealed to a prekey that the reader's daemon has not erased meanwhile.
    async fn flush(&self, link: &mut Link, clock: u64) {
        link.settled().await;
        let draft =
            draft(MessageType::Request, MESSAGES, random_id(), self.last.key.id(), link.record("reader").await.id);
        let draft = Draft { timestamp: clock, ..draft };
        let spot = Spot { flow: wall() & !1, sequence: 1, floor: 1 };
        for _ in 0..100 {
            let mut pen = Pen::new(&self.last.key, link.record("reader").await);
            link.send(&[pen.durable(draft, spot, clock + MINUTE, &[])]).await;
            for _ in 0..10 {
                if self.seen().iter().any(|seen| seen.id == draft.id) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        panic!("the reader does not get what was sent last");
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("nobody panics with it").clone()
    }

    fn await_seen(&self, count: usize) {
        until("the reader has what was sent", Duration::from_secs(30), || (self.seen().len() >= count).then_some(()));
    }

    /// Whatever is durable and comes again is marked; nothing else comes again.
    fn judge(&self, circumstance: &str) {
        let mut times: BTreeMap<MessageId, u32> = BTreeMap::new();
        for seen in self.seen() {
            let before = times.entry(seen.id).or_default();
            *before += 1;
            let comes_again = *before > 1;
            assert!(!comes_again || seen.is_durable, "{circumstance}: what is sent at most once came twice");
            assert!(!comes_again || seen.is_marked, "{circumstance}: a message came twice and was not marked");
        }
    }

    /// The same, and no delivery at all since `before`, but for those that only flushed.
    fn judge_silence(&self, circumstance: &str, before: usize, flushes: usize) {
        self.judge(circumstance);
        let since = self.seen().len() - before;
        assert_eq!(since, flushes, "{circumstance}: something was delivered again");
    }

    async fn reattached(&self) {
        for _ in 0..500 {
            if self.reader.status().await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the reader does not come back");
    }
}

async fn read(reader: Agent, seen: Arc<Mutex<Vec<Seen>>>) {
    while let Ok(incoming) = reader.recv().await {
        let Incoming::Delivery(delivery) = incoming else { continue };
        let (id, is_durable, is_marked) = (delivery.id(), delivery.is_durable(), delivery.is_marked());
        seen.lock().expect("nobody panics with it").push(Seen { id, is_durable, is_marked });
        // If the daemon is gone, it comes again, marked.
        drop(delivery.handled().await);
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

#[test]
fn recorded_frames_that_come_again_at_once_or_through_another_node_are_not_delivered_again() {
    run(async {
        let world = World::open(|_, _| {}).await;
        let (mut link, reader) = world.link(&world.source).await;
        let recorded = world.record(&mut link, reader, wall(), 60 * MINUTE).await;
        world.judge("the first time");
        let before = world.seen().len();
        world.replay(&mut link, &recorded, wall()).await;
        world.judge_silence("now", before, 1);
        let (mut other, _) = world.link(&world.other).await;
        world.replay(&mut other, &recorded, wall()).await;
        world.judge_silence("through another node", before, 2);
        drop(link);
        let (mut link, _) = world.link(&world.source).await;
        world.replay(&mut link, &recorded, wall()).await;
        world.judge_silence("over a new link", before, 3);
    });
}

#[test]
fn recorded_frames_that_come_again_after_a_restart_are_not_delivered_again() {
    run(async {
        let mut world = World::open(|_, _| {}).await;
        for is_clean in [true, false] {
            let circumstance = if is_clean { "after a clean restart" } else { "after a kill" };
            let (mut link, reader) = world.link(&world.source).await;
            let recorded = world.record(&mut link, reader, wall(), 60 * MINUTE).await;
            world.flush(&mut link, wall()).await;
            if is_clean {
                assert!(world.host.stop().success());
            } else {
                world.host.kill();
            }
            world.host.start();
            world.reattached().await;
            let (mut link, reader) = world.link(&world.source).await;
            // What had not been acknowledged comes again by itself, marked.
            world.flush(&mut link, wall()).await;
            world.judge(circumstance);
            let before = world.seen().len();
            world.replay(&mut link, &recorded, wall()).await;
            world.judge_silence(circumstance, before, 1);
            // The source itself sends them again: sealed to the new prekey, under the same ids and places.
            link.send(&world.anew(&recorded, reader)).await;
            world.flush(&mut link, wall()).await;
            world.judge_silence(circumstance, before, 2);
        }
    });
}

#[test]
fn recorded_frames_that_come_again_while_windows_are_full_are_delivered_once() {
    run(async {
        let world = World::open(|_, _| {}).await;
        let (mut link, reader) = world.link(&world.source).await;
        let window = usize::try_from(limits::WINDOW_MESSAGES).expect("a number");
        let mut pen = Pen::new(&world.writer.key, reader);
        for _ in 0..world.count.div_ceil(10 * window) {
            let recorded = world.write(&mut pen, window + 50, wall(), 60 * MINUTE);
            let before = world.seen().len();
            // The first is missing: all others wait early, and those beyond the window are dropped.
            for _ in 0..3 {
                link.send(&recorded.durable[1..]).await;
                link.settled().await;
            }
            world.flush(&mut link, wall()).await;
            world.judge_silence("the first is missing", before, 1);
            let (mut other, _) = world.link(&world.other).await;
            // As a source does, again and again: what finds no room in the mailbox is not taken.
            for _ in 0..50 {
                other.send(&recorded.durable).await;
                other.settled().await;
                if world.seen().len() > before + window + 50 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let (came, status) = (world.seen().len() - before - 1, world.host.status());
            assert_eq!(came, window + 50, "what was delivered of them: {status}");
            world.flush(&mut link, wall()).await;
            world.judge_silence("windows were full", before, 2 + window + 50);
        }
    });
}

#[test]
fn recorded_frames_that_come_again_with_a_moved_clock_are_not_delivered_again() {
    run(async {
        let mut clock = None;
        let world = World::open(|host, folder| clock = Some(MovedClock::give(host, folder))).await;
        let mut clock = clock.expect("a clock");
        let (mut link, reader) = world.link(&world.source).await;
        let recorded = world.record(&mut link, reader, wall(), 60 * MINUTE).await;
        let before = world.seen().len();
        let moved = [59, -59, 5 * 60, -5 * 60, 30 * 3600, -30 * 3600, 0];
        for (flushes, seconds) in (1..).zip(moved) {
            clock.set_wall(seconds * 1_000_000_000);
            link.moved = clock.wall();
            world.replay(&mut link, &recorded, seen_by(&clock)).await;
            world.judge_silence(&format!("{seconds} s away"), before, flushes);
        }
    });
}

/// The wall clock of the daemon.
fn seen_by(clock: &MovedClock) -> u64 {
    wall().saturating_add_signed(clock.wall())
}

#[test]
fn what_is_sent_at_most_once_is_not_delivered_again_when_its_hour_comes_back() {
    run(async {
        let mut clock = None;
        let world = World::open(|host, folder| clock = Some(MovedClock::give(host, folder))).await;
        let mut clock = clock.expect("a clock");
        let (mut link, reader) = world.link(&world.source).await;
        let recorded = world.record(&mut link, reader, wall(), 60 * MINUTE).await;
        drop(link);
        // The daemon runs longer than it remembers such frames; then its clock is set back to when they were sent.
        clock.pass(Duration::from_secs(150));
        drop(world.host.status());
        clock.set_wall(0);
        drop(world.host.status());
        let (mut link, _) = world.link(&world.source).await;
        let before = world.seen().len();
        world.replay(&mut link, &recorded, wall()).await;
        world.judge_silence("its hour came back", before, 1);
    });
}

#[test]
fn what_outlived_its_mark_because_a_clock_went_back_comes_marked() {
    run(async {
        let mut clock = None;
        let world = World::open(|host, folder| clock = Some(MovedClock::give(host, folder))).await;
        let mut clock = clock.expect("a clock");
        let (mut link, reader) = world.link(&world.source).await;
        let recorded = world.record(&mut link, reader, wall(), 5 * MINUTE).await;
        drop(link);
        // All of it expires, and ten minutes later its mark is dropped.
        clock.pass(Duration::from_nanos(20 * MINUTE));
        // Whatever the daemon hears makes it look at the clock.
        drop(world.host.status());
        let (mut link, _) = world.link(&world.source).await;
        link.moved = clock.wall();
        let before = world.seen().len();
        world.replay(&mut link, &recorded, seen_by(&clock)).await;
        world.judge_silence("after a mark was dropped", before, 1);
        // The clock goes back to when it was sent. What was recorded was sealed to a prekey that is gone by now.
        clock.set_wall(0);
        link.moved = 0;
        drop(world.host.status());
        world.replay(&mut link, &recorded, wall()).await;
        world.judge_silence("with the clock put back", before, 2);
        // Its source sends it once more: to the daemon it is of an unknown flow, and has not expired.
        link.send(&world.anew(&recorded, link.record("reader").await)).await;
        world.flush(&mut link, wall()).await;
        world.judge("with the clock put back");
        let is_of_these = |seen: &&Seen| recorded.drafts.iter().any(|(draft, ..)| draft.id == seen.id);
        let again = world.seen().iter().skip(before).filter(is_of_these).count();
        assert_eq!(again, recorded.durable.len(), "the replay was meant to find no mark");
    });
}
