//! What agents say to each other, and the keys, stand nowhere at rest and in no log.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use client::{Agent, Body, ClientError, Incoming, Refuse, Stage};
use referee::hosts::Host;
use referee::peer::random_seed;
use referee::search::Search;

/// Everything that can be logged is.
const ALL: &str = "trace,quinn=trace,quinn_proto=trace,rustls=trace";
const MARKERS: usize = 1000;
/// Bytes and letters of a marker.
const LENGTH: usize = 24;
/// A body that travels on a stream of its own.
const LARGE: usize = 100_000;

/// Draws markers, and remembers them.
struct Markers {
    drawn: Vec<Vec<u8>>,
}

impl Markers {
    fn bytes(&mut self) -> Vec<u8> {
        let marker = random_seed()[..LENGTH].to_vec();
        self.drawn.push(marker.clone());
        marker
    }

    fn word(&mut self) -> String {
        const LETTERS: &[u8; 32] = b"abcdefghijkmnopqrstuvwxyz2345678";
        let word: String =
            random_seed()[..LENGTH].iter().map(|byte| char::from(LETTERS[usize::from(byte & 31)])).collect();
        self.drawn.push(word.clone().into_bytes());
        word
    }

    /// Bytes with a marker in the middle.
    fn body(&mut self, length: usize) -> Vec<u8> {
        let mut body = vec![b'.'; length / 2];
        body.extend(self.bytes());
        body.resize(length.max(body.len()), b'.');
        body
    }
}

struct World {
    alpha: Host,
    beta: Host,
    markers: Markers,
    folder: tempfile::TempDir,
}

impl World {
    fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut alpha = Host::make(folder.path(), "alpha");
        let mut beta = Host::make(folder.path(), "beta");
        alpha.configure_pins(&[beta.pin()], ALL);
        beta.configure_pins(&[alpha.pin()], ALL);
        alpha.start();
        beta.start();
        alpha.await_peer("beta");
        Self { alpha, beta, markers: Markers { drawn: Vec::new() }, folder }
    }

    /// Sends what will wait: each with a marker in the body, the subject, and all metadata that an agent can give.
    async fn send(&mut self, from: &Agent, to: &str, count: usize) -> Vec<String> {
        let mut subjects = Vec::new();
        for i in 0..count {
            let subject = self.markers.word();
            let body = self.markers.body(if i == 0 { LARGE } else { 64 });
            let sending = from.send(to, subject.clone(), Body::octets(body)).until(Stage::Accepted);
            let sending = sending.traceparent(self.markers.word()).session(self.markers.word());
            let sending = sending.entry(self.markers.word(), &self.markers.word());
            sending.await.expect("accepted");
            subjects.push(subject);
        }
        subjects
    }

    /// Asks, answers, refusals and questions that end at once.
    async fn talk(&mut self, asker: &Agent, answerer: &Agent) {
        let answers: Vec<Vec<u8>> = (0..40).map(|i| self.markers.body(if i == 1 { LARGE } else { 50 })).collect();
        let (words, there) = ((0..2).map(|_| self.markers.word()).collect::<Vec<_>>(), answerer.clone());
        let answering = tokio::spawn(async move {
            let (mut answers, mut words) = (answers.into_iter(), words.into_iter());
            while answers.len() > 0 {
                let Incoming::Delivery(delivery) = there.recv().await.expect("a message") else { continue };
                // Some are refused at first, in words, and come again.
                if delivery.is_durable() && !delivery.is_marked() && words.len() > 0 {
                    delivery.refuse(Refuse::new(words.next().expect("a word"))).await.expect("refused");
                } else {
                    delivery.respond(Body::octets(answers.next().expect("an answer"))).await.expect("answered");
                }
            }
        });
        for i in 0..40 {
            let (subject, body) = (self.markers.word(), self.markers.body(if i == 2 { LARGE } else { 50 }));
            let ask = asker.ask(answerer.address(), subject, Body::octets(body)).traceparent(self.markers.word());
            let ask = if i % 2 == 0 { ask } else { ask.durable() };
            ask.await.expect("an answer");
        }
        answering.await.expect("all was answered");
        for _ in 0..10 {
            let unknown = asker.question(self.markers.word(), Body::octets(self.markers.bytes())).await;
            assert!(matches!(unknown, Err(ClientError::Refused { .. })), "{unknown:?}");
        }
    }

    /// Nothing that was said, and no key but in its own file.
    fn judge(&self, when: &str) {
        let mut search = Search::new();
        for (i, marker) in self.markers.drawn.iter().enumerate() {
            search.add(format!("marker {i}"), marker);
        }
        let keys = keys_below(self.folder.path());
        for (path, secret) in &keys {
            search.add(path.display().to_string(), secret);
        }
        let (own, elsewhere): (Vec<_>, Vec<_>) =
            search.found_below(self.folder.path()).into_iter().partition(|(path, name)| path == name);
        assert!(elsewhere.is_empty(), "{when}: {:?}", &elsewhere[..elsewhere.len().min(5)]);
        // What is there to be found is found.
        assert_eq!(own.len(), keys.len(), "{when}: {} keys, found {own:?}", keys.len());
        for host in [&self.alpha, &self.beta] {
            if host.process().is_some() {
                for asked in [&["status"][..], &["status", "--json"], &["agents"], &["agents", "--json"]] {
                    let output = host.ctl(asked);
                    assert!(output.status.success(), "{asked:?}");
                    assert_eq!(search.found_in(&output.stdout), Vec::<&str>::new(), "{when}: {asked:?}");
                }
            }
        }
    }
}

/// The secret halves of all key files.
fn keys_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(keys_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "key") {
            let bytes = fs::read(&path).expect("a key file");
            // The keys of the days are wrapped, and have no such beginning.
            if bytes.starts_with(b"AICPKEY1") {
                found.push((path, bytes[9..41].to_vec()));
            }
        }
    }
    found
}

/// Bytes of a journal that are not zero.
fn written(host: &Host) -> usize {
    let segments = fs::read_dir(host.state().join("store")).expect("a folder");
    let files = segments.map(|entry| fs::read(entry.expect("an entry").path()).expect("a file"));
    files.map(|bytes| bytes.iter().filter(|byte| **byte != 0).count()).sum()
}

#[test]
fn what_agents_say_and_the_keys_stand_in_no_log_and_nowhere_at_rest() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let mut world = World::open();
        let writer = Agent::attach("writer").socket(world.alpha.socket()).await.expect("attached");
        let answerer = Agent::attach("answerer").socket(world.beta.socket()).await.expect("attached");
        let reader = Agent::attach("reader").socket(world.beta.socket()).await.expect("attached");
        let neighbour = Agent::attach("neighbour").socket(world.alpha.socket()).await.expect("attached");
        for address in ["reader@beta", "answerer@beta"] {
            while writer.resolve(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        world.talk(&writer, &answerer).await;
        drop((reader, neighbour, answerer));
        // What waits in beta's mailbox, in alpha's own, and in alpha's outbox.
        let mut subjects = world.send(&writer, "reader@beta", 40).await;
        await_queue(&world.beta, "mailbox_messages", 40);
        world.send(&writer, "neighbour", 40).await;
        world.beta.kill();
        subjects.extend(world.send(&writer, "reader@beta", 40).await);
        while world.markers.drawn.len() < MARKERS {
            subjects.extend(world.send(&writer, "reader@beta", 1).await);
        }
        await_queue(&world.alpha, "outbox_messages", subjects.len() as u64 - 40);
        await_queue(&world.alpha, "mailbox_messages", 40);
        for host in [&world.alpha, &world.beta] {
            assert!(written(host) > 2 * LARGE, "{}'s journal holds what waits", host.name);
            assert!(host.log().contains("TRACE"), "{}'s log tells all", host.name);
        }
        world.judge("while messages wait");
        world.alpha.kill();
        world.judge("after kills");
        world.alpha.start();
        world.beta.start();
        await_queue(&world.beta, "mailbox_messages", subjects.len() as u64);
        assert!(world.alpha.stop().success() && world.beta.stop().success());
        world.judge("after a clean stop");
        // All of it was there.
        world.beta.start();
        let reader = Agent::attach("reader").socket(world.beta.socket()).await.expect("attached");
        for subject in &subjects {
            let Incoming::Delivery(delivery) = reader.recv().await.expect("a message") else { panic!("an outcome") };
            assert_eq!(delivery.subject(), Some(subject.as_str()));
            delivery.handled().await.expect("handled");
        }
        assert!(world.beta.stop().success());
        world.judge("after all was delivered");
    });
}

fn await_queue(host: &Host, what: &str, count: u64) {
    referee::hosts::until(&format!("{count} in {what} of {}", host.name), Duration::from_secs(20), || {
        (host.status()[what].as_u64() == Some(count)).then_some(())
    });
}

#[test]
fn a_careless_log_would_be_noticed() {
    let secret = random_seed();
    let mut search = Search::new();
    search.add("it", &secret);
    let list = format!("{:?}", &secret[..]);
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    for careless in [list, hex.to_uppercase(), hex] {
        assert_eq!(search.found_in(format!("a frame: {careless}!").as_bytes()), ["it"], "{careless}");
    }
    assert_eq!(search.found_in(&[&[7], &secret[..]].concat()), ["it"]);
    assert_eq!(search.found_in(&secret[1..]), Vec::<&str>::new());
}
