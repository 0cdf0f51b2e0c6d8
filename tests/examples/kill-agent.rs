//! An agent that may be killed at any moment: it writes what it does into a ledger before or after it does it, reads
//! that when it starts again, and goes on. One line is one fact: `S i id` it is about to submit, `H i` it heard that
//! it was handled, `R i why` it was refused, `D i mark` it was given a message, `A i` it has handled it.
//!
//! `kill-agent send SOCKET NAME LEDGER TO COUNT RATE` · `kill-agent receive SOCKET NAME LEDGER`

#![expect(clippy::expect_used, clippy::panic, reason = "an agent of a test stops at the first fault")]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::{Agent, Incoming, MessageId, Stage};

const UNDER_WAY_MAX: usize = 512;

/// A file of lines. A line is written at once, so a killed process leaves whole lines.
#[derive(Clone)]
struct Ledger(Arc<Mutex<File>>);

impl Ledger {
    fn open(path: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path).expect("a ledger");
        Self(Arc::new(Mutex::new(file)))
    }

    fn note(&self, line: &str) {
        let mut file = self.0.lock().expect("nobody panics with it");
        file.write_all(format!("{line}\n").as_bytes()).expect("the ledger can be written");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *words {
        ["send", socket, name, ledger, to, count, rate] => {
            let me = Agent::attach(name).socket(socket).await.expect("attached");
            let (count, rate) = (count.parse().expect("a number"), rate.parse().expect("a number"));
            // Ends that an earlier life of this agent heard of, and died before it could say so.
            let others = me.clone();
            let taker = tokio::spawn(async move { while others.recv().await.is_ok() {} });
            send(&me, Path::new(ledger), to, count, rate).await;
            taker.abort();
            // What was heard last is acknowledged before the process ends.
            me.detach().await.expect("detached");
        }
        ["receive", socket, name, ledger] => {
            let me = Agent::attach(name).socket(socket).await.expect("attached");
            receive(&me, Path::new(ledger)).await;
        }
        _ => panic!("send SOCKET NAME LEDGER TO COUNT RATE, or receive SOCKET NAME LEDGER"),
    }
}

async fn send(me: &Agent, path: &Path, to: &str, count: u64, rate: u32) {
    let before = std::fs::read_to_string(path).unwrap_or_default();
    let ledger = Ledger::open(path);
    let mut unheard = BTreeMap::new();
    let mut next = 0;
    for line in before.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match *words {
            ["S", i, id] => {
                let i: u64 = i.parse().expect("a number");
                next = next.max(i + 1);
                unheard.insert(i, MessageId::parse(id).expect("an id"));
            }
            ["H" | "R", i, ..] => {
                unheard.remove(&i.parse().expect("a number"));
            }
            _ => panic!("what is {line}"),
        }
    }
    let mut waiting = tokio::task::JoinSet::new();
    for (i, id) in unheard {
        submit(me, &ledger, to, i, Some(id), &mut waiting).await;
    }
    let mut pace = tokio::time::interval(Duration::from_secs(1) / rate);
    for i in next..count {
        pace.tick().await;
        // One agent may await 1,024 ends; a polite one stays below that while a daemon is down.
        while waiting.len() >= UNDER_WAY_MAX {
            waiting.join_next().await;
        }
        submit(me, &ledger, to, i, None, &mut waiting).await;
    }
    while waiting.join_next().await.is_some() {}
}

async fn submit(
    me: &Agent,
    ledger: &Ledger,
    to: &str,
    i: u64,
    again: Option<MessageId>,
    waiting: &mut tokio::task::JoinSet<()>,
) {
    let mut sending = me.send(to, "count", i.to_string()).until(Stage::Handled);
    sending = match again {
        Some(id) => sending.again(id),
        None => {
            let id = sending.id().expect("random bytes");
            ledger.note(&format!("S {i} {id}"));
            sending
        }
    };
    match sending.await {
        Ok(sent) => {
            let ledger = ledger.clone();
            waiting.spawn(async move {
                match sent.handled().await {
                    Ok(_) => ledger.note(&format!("H {i}")),
                    Err(error) => ledger.note(&format!("R {i} {error}")),
                }
            });
        }
        Err(error) => ledger.note(&format!("R {i} {error}")),
    }
}

async fn receive(me: &Agent, path: &Path) {
    let ledger = Ledger::open(path);
    loop {
        match me.recv().await.expect("the library keeps the connection") {
            Incoming::Delivery(delivery) => {
                let i = delivery.text().expect("text").to_owned();
                ledger.note(&format!("D {i} {}", if delivery.is_marked() { "marked" } else { "first" }));
                if delivery.handled().await.is_ok() {
                    ledger.note(&format!("A {i}"));
                }
            }
            Incoming::Outcome(_) => {}
        }
    }
}
