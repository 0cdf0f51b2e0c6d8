//! Kept messages between two agents while others are there: with a mailbox of 10,000 that nobody empties, and with
//! 1,000 agents attached that say nothing. Rounds take turns within each setting; what comes first and last is the same.

use std::path::Path;

use benches::BODY_BYTES;
use benches::hosts::{Host, two};
use benches::load::{STAGES, is_known, send_many};
use benches::roles::{self, Role};
use benches::times::Times;
use client::{Agent, Body, Stage};
use tokio::task::JoinSet;

use crate::resident_mib;

const TO: &str = "handle@beta";
const AWAY: &str = "away";
const WAITING: usize = 10_000;
const WRITERS: usize = 20;
const CROWD: usize = 1_000;
/// In flight, and messages of a round.
const LOADS: [(usize, usize); 2] = [(1, 600), (64, 8_192)];
const ROUNDS: usize = 5;

pub(crate) async fn run(folder: &Path) {
    let (alpha, beta) = two(folder).await;
    let _other = Role::start(roles::HANDLE, &beta.socket());
    let me = Agent::attach("sender").socket(alpha.socket()).await.unwrap();
    is_known(&me, TO).await;
    send_many(&me, TO, 64, 2048).await;
    println!("{BODY_BYTES} bytes, kept on both hosts; µs from the submission on, p50 / p99");
    measure(&me, "nobody else").await;

    let crowd = attach_all(&beta, CROWD).await;
    measure(&me, "1,000 agents attached at the receiver's node").await;
    drop(crowd);

    let before = [&alpha, &beta].map(|host| resident_mib(host.process()));
    fill(&alpha, &beta).await;
    let after = [&alpha, &beta].map(|host| resident_mib(host.process()));
    println!(
        "memory before and after {WAITING} wait: alpha {:.1} and {:.1} MiB, beta {:.1} and {:.1} MiB",
        before[0], after[0], before[1], after[1]
    );
    measure(&me, "10,000 messages wait for an agent that is away").await;
    let status = client::Node::connect(Some(&beta.socket())).await.unwrap().status().await.unwrap();
    assert!(status.mailbox_messages >= WAITING as u64, "they do not wait any more");
}

async fn measure(me: &Agent, setting: &str) {
    for (in_flight, count) in LOADS {
        let (mut stages, mut rates): ([Times; 3], _) = (Default::default(), Times::default());
        for _ in 0..ROUNDS {
            let (some, took) = send_many(me, TO, in_flight, count).await;
            stages.iter_mut().zip(&some).for_each(|(all, one)| all.join(one));
            rates.note(count as f64 * 1e6 / took);
        }
        print!("{setting}; {in_flight} in flight: handled/s {}", rates.quartiles());
        for (name, times) in STAGES.iter().zip(&stages) {
            print!("; {name} {:.0} / {:.0}", times.median(), times.quantile(0.99));
        }
        println!();
    }
}

async fn attach_all(host: &Host, count: usize) -> Vec<Agent> {
    let mut attaching = JoinSet::new();
    for at in 0..count {
        let socket = host.socket();
        attaching.spawn(async move { Agent::attach(format!("agent-{at:05}")).socket(socket).await.unwrap() });
    }
    attaching.join_all().await
}

/// So many messages for an agent that was there once, from several: one agent may await 1,024 ends and no more.
async fn fill(alpha: &Host, beta: &Host) {
    Agent::attach(AWAY).socket(beta.socket()).await.unwrap().detach().await.unwrap();
    let to = format!("{AWAY}@beta");
    let mut writers = JoinSet::new();
    for at in 0..WRITERS {
        let (socket, to) = (alpha.socket(), to.clone());
        writers.spawn(async move {
            let writer = Agent::attach(format!("writer-{at}")).socket(socket).await.unwrap();
            is_known(&writer, &to).await;
            for _ in 0..WAITING / WRITERS {
                let body = Body::octets(vec![0x5A; BODY_BYTES]);
                writer.send(&to, "wait", body).until(Stage::Stored).await.unwrap().stored().await.unwrap();
            }
        });
    }
    writers.join_all().await;
}
