//! What was said in the past stays closed, whatever is stolen later: keys go when their time is over, from the memory of a
//! daemon and from its disk.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use client::{Agent, Incoming, Stage};
use proto::link::ControlMessage;
use proto::metadata::{Key, MetadataDraft};
use proto::{ContentType, MessageType, Shape};
use referee::forge::{self, Sealed};
use referee::hosts::{Host, until};
use referee::memory::Memory;
use referee::moved::MovedClock;
use referee::peer::{Known, Link, Peer, Pen, Puppet, draft, open, random_id, random_seed};
use referee::search::Search;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

/// A daemon with clocks that can be moved, an agent on it, and a peer with an agent of its own.
struct World {
    host: Host,
    clock: MovedClock,
    peer: Peer,
    puppet: Puppet,
    agent: Agent,
    folder: tempfile::TempDir,
}

impl World {
    async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let peer = Peer::new("source");
        let puppet = peer.agent("writer");
        let mut host = Host::make(folder.path(), "beta");
        host.configure_pins(&[peer.pin()], "debug");
        let clock = MovedClock::give(&mut host, folder.path());
        host.start();
        let agent = Agent::attach("reader").socket(host.socket()).await.expect("attached");
        Self { host, clock, peer, puppet, agent, folder }
    }

    async fn link(&self) -> (Link, Known) {
        let mut link = self.peer.dial(&self.host).await;
        link.say(&ControlMessage::Record(self.puppet.record.clone())).await;
        let id = self.puppet.key.id().to_string();
        until("the writer is known", Duration::from_secs(10), || {
            String::from_utf8_lossy(&self.host.ctl(&["agents", "--json"]).stdout).contains(&id).then_some(())
        });
        let known = link.record("reader").await;
        (link, known)
    }

    fn memory(&self) -> Memory {
        Memory::of(self.host.process().expect("it runs"))
    }

    /// Time passes, and the daemon sees to what is due.
    fn pass(&mut self, time: Duration) {
        self.clock.pass(time);
        for _ in 0..3 {
            drop(self.host.status());
        }
    }
}

/// A question that its asker can open for ever, and nobody else once the prekey is gone.
fn question(puppet: &Puppet, to: Known, body: &str) -> Sealed {
    let draft = draft(MessageType::Request, Shape::Once, random_id(), puppet.key.id(), to.id);
    let draft = proto::Draft { content_type: ContentType::Text, ..draft };
    let mut plain = bytes::BytesMut::new();
    MetadataDraft::default().write(&mut plain);
    plain.extend_from_slice(body.as_bytes());
    forge::seal((&puppet.seed, &random_seed()), (to.prekey.id(), to.prekey.public()), &draft, &plain)
}

#[test]
fn once_a_prekey_is_erased_neither_memory_nor_disk_opens_what_was_sealed_to_it() {
    run(async {
        let mut world = World::open().await;
        let (mut link, known) = world.link().await;
        let sealed: Vec<Sealed> = (0..20).map(|i| question(&world.puppet, known, &format!("question {i}"))).collect();
        for (i, question) in sealed.iter().enumerate() {
            link.send(std::slice::from_ref(&question.frame)).await;
            let Incoming::Delivery(delivery) = world.agent.recv().await.expect("a message") else { panic!("an end") };
            assert_eq!(delivery.text().expect("text"), format!("question {i}"), "a thief's copy can be opened now");
        }
        let before = world.memory();
        let secret = before.find_secret(known.prekey.public()).expect("the daemon holds its own prekey");
        let mut search = Search::new();
        // The first and the last byte are changed before each use.
        search.add("the prekey", &secret[1..31]);
        for (i, sealed) in sealed.iter().enumerate() {
            search.add(format!("agreed on {i}"), &sealed.shared);
            search.add(format!("key of body {i}"), &sealed.body_key);
        }
        let there: BTreeSet<&str> = before.found(&search).into_iter().collect();
        let agreed = there.iter().filter(|name| name.starts_with("agreed")).count();
        assert!(there.contains("the prekey") && agreed > sealed.len() / 2, "before it is erased: {there:?}");
        drop((link, before));

        world.pass(48 * HOUR + 11 * MINUTE);
        let (link, newer) = world.link().await;
        assert_ne!(newer.prekey, known.prekey, "there is a new prekey");
        drop(link);
        let after = world.memory();
        assert!(after.find_secret(newer.prekey.public()).is_some(), "what is there is found");
        assert_eq!(after.found(&search), Vec::<&str>::new(), "in the daemon's memory");
        assert_eq!(search.found_below(world.folder.path()), Vec::new(), "and all that lies on the disk");
    });
}

#[test]
fn a_source_forgets_what_opens_what_it_sent_although_its_link_stays() {
    run(async {
        let mut world = World::open().await;
        let secret = random_seed();
        world.puppet = world.peer.agent_with_prekey("writer", &secret);
        let (mut link, _) = world.link().await;
        let sending = world.agent.send("writer@source", "kept", "what was said").until(Stage::Accepted);
        sending.await.expect("accepted");
        let frame = link.frame("the message", |frame| matches!(frame.header().shape(), Shape::Durable(_))).await;
        // It is stored, so nothing more is sent.
        let reader = link.record("reader").await;
        let content = open(frame.clone(), &reader.key, &mut world.puppet.prekeys);
        let flow = content.metadata.number(Key::FlowId).expect("a flow");
        let stored = Pen::new(&world.puppet.key, reader).stored(flow, content.header.sequence().get());
        link.send(&[stored]).await;
        until("the message is stored", Duration::from_secs(10), || {
            (world.host.status()["outbox_messages"].as_u64() == Some(0)).then_some(())
        });
        let shared = forge::agree(&secret, frame.sealed().expect("sealed").ephemeral);
        let mut search = Search::new();
        search.add("what was agreed on", &shared);
        assert!(!world.memory().found(&search).is_empty(), "the source could send more under this secret");
        // Slowly, so that the link stays.
        for _ in 0..36 {
            world.clock.pass(Duration::from_secs(20));
            link.moved = world.clock.wall();
            link.settled().await;
        }
        assert!(link.connection.close_reason().is_none(), "the link is the same");
        assert_eq!(world.memory().found(&search), Vec::<&str>::new(), "in the source's memory");
    });
}

#[test]
fn the_key_of_a_day_goes_with_the_last_message_of_that_day() {
    run(async {
        let mut world = World::open().await;
        let folder = world.host.state().join("store-keys");
        let days = || {
            let files = fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
            let names = files.map(|name| name.into_string().expect("text"));
            names.filter(|name| name.ends_with(".key")).collect::<BTreeSet<_>>()
        };
        let today =
            until("the key of today is there", Duration::from_secs(10), || Some(days()).filter(|days| days.len() == 1));
        let writer = Agent::attach("writer").socket(world.host.socket()).await.expect("attached");
        drop(Agent::attach("other").socket(world.host.socket()).await.expect("attached"));
        for text in ["first", "last"] {
            writer.send("other", "kept", text).expires_in(70 * HOUR).await.expect("accepted");
        }
        // Two days later records and prekeys are new ones; the messages still wait, under the key of their day.
        world.pass(25 * HOUR);
        world.pass(25 * HOUR);
        let other = Agent::attach("other").socket(world.host.socket()).await.expect("attached");
        for text in ["first", "last"] {
            assert!(days().is_superset(&today), "the key goes before its messages: {:?}", days());
            let Incoming::Delivery(delivery) = other.recv().await.expect("a message") else { panic!("an end") };
            assert_eq!(delivery.text().expect("text"), text);
            delivery.handled().await.expect("handled");
        }
        // That they are forgotten is synced together with whatever is kept next.
        for _ in 0..100 {
            if days().is_disjoint(&today) {
                return;
            }
            writer.send("other", "kept", "another day").expires_in(60 * HOUR).await.expect("accepted");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the key of a day is kept although nothing of that day is");
    });
}
