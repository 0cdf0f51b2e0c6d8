//! What a daemon keeps in memory: `cargo build --release -p aicp-benches -p aicp-daemon --bins && target/release/bench-idle
//! [folder]`. Two fresh ones that are linked and have nothing to do, and the same ones after many questions.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints and stops at the first fault")]

use std::time::Duration;

use benches::hosts::{Host, folder, memory_kib, two};
use benches::roles::{self, Role};
use benches::{BODY_BYTES, runtime};
use client::{Agent, Body};
use tokio::task::JoinSet;

/// Between the last work and a look.
const REST: Duration = Duration::from_secs(10);
const ASKS: usize = 100_000;
const IN_FLIGHT: usize = 64;
/// While its record is on its way, a question fails at once.
const FIRST_TRIES: usize = 400;

fn main() {
    if roles::played() {
        return;
    }
    let folder = folder("bench-idle");
    runtime().block_on(async {
        let (alpha, beta) = two(&folder).await;
        println!("MiB of each daemon; PSS shares what is mapped by both");
        println!("{:<34}{:>10}{:>10}{:>10}{:>10}", "", "α RSS", "α PSS", "β RSS", "β PSS");
        look("fresh, linked, 10 s idle", &alpha, &beta).await;
        let echo = Role::start(roles::ECHO, &beta.socket());
        let me = Agent::attach("asker").socket(alpha.socket()).await.unwrap();
        ask(&me, ASKS).await;
        show("at the end of 100,000 asks", &alpha, &beta);
        look("10 s later", &alpha, &beta).await;
        ask(&me, ASKS).await;
        look("after 100,000 more, 10 s later", &alpha, &beta).await;
        drop(echo);
        me.detach().await.unwrap();
        look("the agents gone, 10 s later", &alpha, &beta).await;
        let peaks = [&alpha, &beta].map(|host| memory_kib(host.process(), "VmHWM").unwrap_or_default() / 1024.0);
        println!("most at any time (RSS): α {:.1}, β {:.1}", peaks[0], peaks[1]);
    });
}

async fn ask(me: &Agent, count: usize) {
    let body = Body::octets(vec![0x5A; BODY_BYTES]);
    for _ in 0..FIRST_TRIES {
        if me.ask("echo@beta", "bench", "").await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut lanes = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        let (me, body) = (me.clone(), body.clone());
        lanes.spawn(async move {
            for _ in 0..count / IN_FLIGHT {
                me.ask("echo@beta", "bench", body.clone()).await.unwrap();
            }
        });
    }
    while let Some(lane) = lanes.join_next().await {
        lane.unwrap();
    }
}

async fn look(when: &str, alpha: &Host, beta: &Host) {
    tokio::time::sleep(REST).await;
    show(when, alpha, beta);
}

fn show(when: &str, alpha: &Host, beta: &Host) {
    let of = |host: &Host, what| {
        memory_kib(host.process(), what).map_or_else(|| "not told".to_owned(), |kib| format!("{:.1}", kib / 1024.0))
    };
    let row = [of(alpha, "VmRSS"), of(alpha, "Pss"), of(beta, "VmRSS"), of(beta, "Pss")];
    println!("{when:<34}{:>10}{:>10}{:>10}{:>10}", row[0], row[1], row[2], row[3]);
}
