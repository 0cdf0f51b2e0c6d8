//! One agent that never reads, and others who ask each other at a fixed rate meanwhile.

use std::time::Duration;

use client::{Agent, Body, ClientError, ErrorCode, Incoming, Stage};
use referee::hosts::Host;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Door, agents, attach, quiet_host, raise_files};

/// Agents that ask, and as many that answer.
const PAIRS: usize = 4;
/// Between two questions of one agent. It does not wait for the answer to the last.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// Between two messages to the one who reads, or does not: twice what a socket holds each second.
const MAIL_EVERY: Duration = Duration::from_millis(10);
const MAIL_BYTES: usize = 8 << 10;
/// With it and without it by turns, so that a machine with neighbours is slow to both.
const ROUNDS: u32 = 5;
const ROUND: Duration = Duration::from_millis(900);
/// For all that is not measured.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a busy machine may add to one round and not to the other.
const NOISE: Duration = Duration::from_millis(10);

#[test]
fn one_agent_that_never_reads_leaves_the_others_as_fast_as_they_were() {
    let (count, is_full) = agents();
    raise_files();
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = quiet_host(folder.path());
    host.start();
    // They are there and say nothing.
    let crowd = attach(&host, if is_full { count } else { 100 }).1;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("threads");
    let (mut without, mut with) = (Vec::new(), Vec::new());
    let round = if is_full { 10 * ROUND } else { ROUND };
    let all = async {
        let askers = askers(&host).await;
        let _reader = reader(&host).await;
        // One that reads has been here before.
        drop(named(&host, "stuck").await);
        ask_all(&askers, &named(&host, "mailer").await, "reader@alpha", round).await;
        for at in 0..ROUNDS {
            // One agent may await 1,024 ends, and those of the mail that is not read do not come.
            let mailer = named(&host, &format!("mailer-{at}")).await;
            without.push(ask_all(&askers, &mailer, "reader@alpha", round).await);
            let mut stuck = Door::open(&host.socket());
            stuck.attach(&["stuck".into()]);
            mail(&mailer, "stuck@alpha", 256).await;
            with.push(ask_all(&askers, &mailer, "stuck@alpha", round).await);
            drop(stuck);
        }
    };
    // Where one holds up all, nothing here comes to its end.
    let ended = runtime.block_on(async { tokio::time::timeout(2 * ROUNDS * round + PATIENCE, all).await });
    assert!(ended.is_ok(), "the others get no answers any more");
    let waiting = host.status()["mailbox_messages"].as_u64().expect("a number");
    assert!(waiting > 256, "mail for the one who does not read waits: {waiting}");
    println!("p99 of each round, without: {without:?}, with: {with:?}, {waiting} messages wait");
    let (without, with) = (middle(without), middle(with));
    let noise = if is_full { Duration::ZERO } else { NOISE };
    assert!(with <= 2 * without + noise, "p99 {with:?} with one that never reads, and {without:?} without");
    drop(crowd);
}

fn middle(mut of: Vec<Duration>) -> Duration {
    of.sort();
    of[of.len() / 2]
}

async fn named(host: &Host, name: &str) -> Agent {
    Agent::attach(name).socket(host.socket()).await.expect("attached")
}

/// Those who ask; those who answer them run by themselves.
async fn askers(host: &Host) -> Vec<Agent> {
    let mut askers = Vec::new();
    for at in 0..PAIRS {
        let echo = named(host, &format!("echo-{at}")).await;
        tokio::spawn(async move {
            while let Ok(Incoming::Delivery(delivery)) = echo.recv().await {
                let body = delivery.body().clone();
                delivery.respond(body).await.expect("answered");
            }
        });
        askers.push(named(host, &format!("asker-{at}")).await);
    }
    askers
}

/// One that handles what it is given.
async fn reader(host: &Host) -> tokio::task::JoinHandle<()> {
    let reader = named(host, "reader").await;
    tokio::spawn(async move {
        while let Ok(Incoming::Delivery(delivery)) = reader.recv().await {
            delivery.handled().await.expect("handled");
        }
    })
}

async fn mail(mailer: &Agent, to: &str, count: usize) {
    for _ in 0..count {
        match mailer.send(to, "mail", Body::octets(vec![7; MAIL_BYTES])).until(Stage::Accepted).await {
            Ok(_) => {}
            // Whoever sends to the stuck one may be slowed down; nobody else may.
            Err(ClientError::Refused { code: ErrorCode::FULL, .. }) if to.starts_with("stuck") => {}
            Err(error) => panic!("mail to {to}: {error}"),
        }
    }
}

/// Everybody asks at a fixed rate, and mail goes to somebody else. The 99th of a hundred times, each counted from when
/// the question was due.
async fn ask_all(askers: &[Agent], mailer: &Agent, mail_to: &'static str, round: Duration) -> Duration {
    let begun = Instant::now();
    let mut lanes = JoinSet::new();
    for (at, asker) in askers.iter().enumerate() {
        let asker = asker.clone();
        lanes.spawn(async move {
            let mut asked = JoinSet::new();
            let mut due = begun;
            while due < begun + round {
                tokio::time::sleep_until(due).await;
                let asker = asker.clone();
                asked.spawn(async move {
                    asker.ask(format!("echo-{at}@alpha"), "time", "what is it").await.expect("an answer");
                    due.elapsed()
                });
                due += ASK_EVERY;
            }
            asked.join_all().await
        });
    }
    let mut mails = JoinSet::new();
    let mut due = begun;
    while due < begun + round {
        tokio::time::sleep_until(due).await;
        let mailer = mailer.clone();
        mails.spawn(async move { mail(&mailer, mail_to, 1).await });
        due += MAIL_EVERY;
    }
    mails.join_all().await;
    let mut times: Vec<Duration> = lanes.join_all().await.into_iter().flatten().collect();
    times.sort();
    times[times.len() * 99 / 100]
}
