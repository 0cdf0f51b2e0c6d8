//! Credit at the agents' door: nobody is given more than it said it takes, and who speaks of credit hears of it.

mod door;

use std::collections::BTreeSet;
use std::time::Duration;

use client::{Agent, ClientError, Event, Incoming, Stage};
use door::Door;
use proto::metadata::Key;
use proto::{ErrorCode, limits};
use referee::hosts::{Host, until};

/// For whatever is not what a test is about.
const PLENTY: u64 = 1 << 40;
/// For real agents on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn host(folder: &std::path::Path) -> Host {
    let mut host = Host::make(folder, "alpha");
    host.configure(&[]);
    host.start();
    host
}

#[test]
fn a_client_that_takes_three_gets_three_and_the_fourth_only_after_it_said_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = host(folder.path());
    let mut reader = Door::attached(&host.socket(), "reader", Some((3, PLENTY)));
    let mut writer = Door::attached(&host.socket(), "writer", None);
    for i in 0..6 {
        writer.send(reader.me, &[i]);
    }
    writer.await_stored(6);
    reader.catch_up();
    assert_eq!(reader.given.0, 3);

    // What is sent once cannot wait: its sender hears that there is no room.
    writer.send_once(reader.me, b"now or never");
    writer.catch_up();
    let error = writer.refused.pop().expect("a refusal").error().expect("an error");
    assert_eq!(error.code, ErrorCode::FULL);

    reader.say_credit((4, PLENTY));
    reader.catch_up();
    assert_eq!(reader.given.0, 4);
    // Credit is never taken back.
    reader.say_credit((1, 1));
    reader.say_credit((6, PLENTY));
    reader.catch_up();
    let bodies: Vec<&[u8]> = reader.deliveries.iter().map(|delivery| &delivery.body[..]).collect();
    assert_eq!(bodies, [[0], [1], [2], [3], [4], [5]]);
    for delivery in &reader.deliveries {
        assert!(!delivery.metadata.has(Key::Marked) && delivery.metadata.number(Key::Attempt) == Some(1));
    }
}

#[test]
fn bytes_are_counted_as_the_client_sees_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = host(folder.path());
    let mut reader = Door::attached(&host.socket(), "reader", Some((PLENTY, 1)));
    let mut writer = Door::attached(&host.socket(), "writer", None);
    for i in 0..20 {
        writer.send(reader.me, &vec![i; 1 + 500 * usize::from(i)]);
    }
    writer.await_stored(20);
    for count in 1..=20 {
        reader.catch_up();
        assert_eq!(reader.given.0, count, "one that begins below the credit may go beyond it");
        reader.say_credit((PLENTY, reader.given.1));
        reader.catch_up();
        assert_eq!(reader.given.0, count, "nothing begins where the credit ends");
        reader.say_credit((PLENTY, reader.given.1 + 1));
    }
}

#[test]
fn one_that_says_nothing_of_credit_gets_what_comes_and_hears_nothing_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = host(folder.path());
    let mut reader = Door::attached(&host.socket(), "reader", None);
    let mut writer = Door::attached(&host.socket(), "writer", None);
    for i in 0..200 {
        writer.send(reader.me, &[i]);
    }
    writer.await_stored(200);
    reader.catch_up();
    assert_eq!(reader.given.0, 200);
    for _ in 0..600 {
        reader.catch_up();
    }
    assert!(reader.told.is_empty() && writer.told.is_empty());
}

#[test]
fn one_that_floods_hears_how_much_the_daemon_takes_and_is_never_left_without() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = host(folder.path());
    let mut flood = Door::open(&host.socket());
    flood.say_attach("flood", Some((PLENTY, PLENTY)));
    flood.hear();
    let window = (limits::SESSION_CREDIT_MESSAGES, limits::SESSION_CREDIT_BYTES);
    assert_eq!(flood.told, [(1 + window.0, flood.said.1 + window.1)], "the first word, before the answer");
    drop(flood);

    let mut flood = Door::attached(&host.socket(), "flood", Some((PLENTY, PLENTY)));
    let reader = Door::attached(&host.socket(), "reader", None).me;
    // First many, then long ones: frames and bytes run out in turn.
    for (count, bytes) in [(5 * window.0, 1), (100, 512 << 10)] {
        let body = vec![7; bytes];
        for _ in 0..count {
            flood.send_once(reader, &body);
            while flood.told.last().is_none_or(|told| flood.said.0 >= told.0 || flood.said.1 >= told.1) {
                flood.hear();
            }
            let told = flood.told.last().expect("a window");
            assert!(told.0 <= flood.said.0 + window.0 && told.1 <= flood.said.1 + window.1, "no more than its window");
        }
    }
    assert!(flood.told.len() >= 10, "{:?}", flood.told);
}

#[test]
fn an_agent_that_does_not_receive_is_given_what_it_can_keep_and_the_rest_is_refused_to_whoever_sent_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = host(folder.path());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
    let reader = runtime.block_on(async { Agent::attach("reader").socket(host.socket()).await.expect("attached") });
    let mut events = reader.events();
    let mut writer = Door::attached(&host.socket(), "writer", None);
    let count = 3000_u32;
    for i in 0..count {
        writer.send_once(reader.id(), &i.to_be_bytes());
        // As the room of its connection comes back.
        if i % 100 == 99 {
            writer.catch_up();
        }
    }
    writer.catch_up();
    let taken = count as usize - writer.refused.len();
    assert!(taken > 0 && taken <= limits::LIBRARY_INBOX_MESSAGES, "{taken}");
    let received = runtime.block_on(async {
        let mut received = BTreeSet::new();
        for _ in 0..taken {
            let next = tokio::time::timeout(PATIENCE, reader.recv()).await.expect("what was not refused is there");
            let Ok(Incoming::Delivery(delivery)) = next else { panic!("{next:?}") };
            received.insert(delivery.body().clone());
        }
        received
    });
    assert_eq!(received.len(), taken, "each of them once");
    // It takes more again, as soon as its word of that has come.
    until("the reader takes more", PATIENCE, || {
        let refused = writer.refused.len();
        writer.send_once(reader.id(), b"and now");
        writer.catch_up();
        (writer.refused.len() == refused).then_some(())
    });
    drop(reader);
    let dropped = runtime.block_on(async {
        let mut dropped = 0;
        while let Some(event) = events.next().await {
            dropped += u32::from(matches!(event, Event::Dropped { .. }));
        }
        dropped
    });
    assert_eq!(dropped, 0, "nothing that was taken was lost");
}

#[test]
fn a_slow_handler_is_given_all_of_it_once_and_in_order() {
    let count = env_number("AICP_CREDIT", 1500);
    let folder = tempfile::tempdir().expect("a folder");
    let host = host(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let reader = Agent::attach("reader").socket(host.socket()).await.expect("attached");
        let writer = Agent::attach("writer").socket(host.socket()).await.expect("attached");
        let send = async {
            let mut waiting = tokio::task::JoinSet::new();
            for i in 0..count {
                if waiting.len() >= 512 {
                    waiting.join_next().await;
                }
                let sent = writer.send("reader", "count", i.to_string()).until(Stage::Stored).await.expect("accepted");
                waiting.spawn(async move { sent.stored().await.expect("stored") });
            }
            while waiting.join_next().await.is_some() {}
        };
        let receive = async {
            for i in 0..count {
                let next = tokio::time::timeout(PATIENCE, reader.recv()).await.expect("the next one comes");
                let Ok(Incoming::Delivery(delivery)) = next else { panic!("{next:?}") };
                assert!(!delivery.is_marked() && delivery.attempt() == 1);
                assert_eq!(delivery.text(), Ok(&*i.to_string()));
                if i % 256 == 0 {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                delivery.handled().await.expect("handled");
            }
        };
        tokio::join!(send, receive);
    });
}

#[test]
fn what_a_dead_process_wrote_last_does_not_take_the_name_from_the_living() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = host(folder.path());
    let mut dead = Door::open(&host.socket());
    dead.catch_up();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads");
    let living = runtime.block_on(async { Agent::attach("reader").socket(host.socket()).await.expect("attached") });
    let left = || host.log().matches("a client left").count();
    let before = left();
    // It dies before the daemon reads its last words.
    let daemon = Stopped::new(&host);
    dead.say_attach("reader", None);
    drop(dead);
    drop(daemon);
    until("the daemon sees that it has left", PATIENCE, || (left() > before).then_some(()));
    runtime.block_on(async {
        let silent = tokio::time::timeout(Duration::from_millis(200), living.recv()).await;
        assert!(!matches!(silent, Ok(Err(ClientError::TakenOver))), "it lost its name to a dead one");
        living.resolve("reader").await.expect("it is attached as before");
        living.send("reader", "to", "itself").await.expect("accepted");
        assert!(matches!(living.recv().await, Ok(Incoming::Delivery(_))));
    });
}

/// A daemon that does nothing until this is dropped.
struct Stopped(String);

impl Stopped {
    fn new(host: &Host) -> Self {
        let stopped = Self(host.process().expect("it runs").to_string());
        stopped.signal("-STOP");
        let state = format!("/proc/{}/stat", stopped.0);
        until("the daemon is stopped", PATIENCE, || {
            let text = std::fs::read_to_string(&state).expect("a process");
            text.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T')).then_some(())
        });
        stopped
    }

    fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill").args([name, &self.0]).status();
        assert!(sent.expect("kill runs").success());
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.signal("-CONT");
    }
}

#[expect(clippy::disallowed_methods, reason = "how many is asked for by whoever runs the test")]
fn env_number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}
