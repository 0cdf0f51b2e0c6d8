//! Many agents of one node, a connection each: how fast they attach, what they take in memory, and what the node's next
//! start takes.

use std::path::Path;
use std::time::Duration;

use benches::hosts::{Host, memory_kib, processor_us};
use benches::times::{Times, since};
use client::{Agent, Node};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::resident_mib;

const AGENTS: usize = 10_000;
/// Attaches that are under way at a time.
const AT_ONCE: usize = 64;
const REST: Duration = Duration::from_secs(10);
const STATUS_TIMES: usize = 20;

pub(crate) async fn run(folder: &Path) {
    let mut host = Host::alone(folder).await;
    println!("fresh: {:.1} MiB", resident_mib(host.process()));
    let agents = attach_all(&host, "new names").await;
    look(&host, "attached, 10 s idle").await;
    ask_status(&host).await;
    println!("{} agents leave", agents.len());
    drop(agents);
    look(&host, "all gone, 10 s idle").await;
    let agents = attach_all(&host, "known names").await;
    look(&host, "attached again, 10 s idle").await;
    drop(agents);
    let begun = Instant::now();
    host.stop();
    println!("a clean stop: {:.2} s", since(begun) / 1e6);
    for _ in 0..3 {
        host.start(None);
        let took = host.is_ready().await;
        let used = processor_us(host.process());
        println!("start with {AGENTS} known agents: {:.2} s, {:.2} s of processor", took / 1e6, used / 1e6);
        tokio::time::sleep(Duration::from_secs(3)).await;
        host.stop();
    }
    host.start(None);
    host.is_ready().await;
    look(&host, "started, nobody attached, 10 s idle").await;
    let agents = attach_all(&host, "known names, after a start").await;
    look(&host, "attached again, 10 s idle").await;
    drop(agents);
}

async fn attach_all(host: &Host, what: &str) -> Vec<Agent> {
    let before = processor_us(host.process());
    let begun = Instant::now();
    let mut lanes = JoinSet::new();
    for lane in 0..AT_ONCE {
        let socket = host.socket();
        lanes.spawn(async move {
            let (mut agents, mut times) = (Vec::new(), Times::default());
            for at in (lane..AGENTS).step_by(AT_ONCE) {
                let one = Instant::now();
                agents.push(Agent::attach(format!("agent-{at:05}")).socket(&socket).await.unwrap());
                times.note(since(one));
            }
            (agents, times)
        });
    }
    let (mut agents, mut times) = (Vec::new(), Times::default());
    while let Some(lane) = lanes.join_next().await {
        let (some, took) = lane.unwrap();
        agents.extend(some);
        times.join(&took);
    }
    let took = since(begun) / 1e6;
    println!(
        "{AGENTS} attaches, {what}: {:.0}/s; p50 {:.1} ms, p99 {:.1} ms; {:.0} µs of the daemon's processor each",
        AGENTS as f64 / took,
        times.median() / 1e3,
        times.quantile(0.99) / 1e3,
        (processor_us(host.process()) - before) / AGENTS as f64
    );
    agents
}

async fn look(host: &Host, when: &str) {
    tokio::time::sleep(REST).await;
    let most = memory_kib(host.process(), "VmHWM").unwrap_or_default() / 1024.0;
    println!("{when}: {:.1} MiB (most so far {most:.1})", resident_mib(host.process()));
}

/// What one question about all of them costs everybody.
async fn ask_status(host: &Host) {
    let node = Node::connect(Some(&host.socket())).await.unwrap();
    let (mut times, before) = (Times::default(), processor_us(host.process()));
    for _ in 0..STATUS_TIMES {
        let begun = Instant::now();
        node.status().await.unwrap();
        times.note(since(begun));
    }
    let used = (processor_us(host.process()) - before) / STATUS_TIMES as f64;
    println!("status: p50 {:.1} ms, {:.1} ms of the daemon's processor", times.median() / 1e3, used / 1e3);
}
