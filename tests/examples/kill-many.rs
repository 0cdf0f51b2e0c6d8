//! An agent among several that all write to each other, and that may be killed at any moment: it sends and asks, and it
//! handles and answers. It writes what it does into a ledger before or after it does it, reads that when it starts again,
//! and goes on. One line is one fact, with the wall clock in ns where that matters:
//! `S i id to kind time` it is about to submit, `P i` it was accepted, `H i answer` it heard the end, `R i why` it was refused,
//! `D from i kind mark time` it was given a message, `A from i` it has settled it, `E` it has heard of all it sent. It
//! sends until there is a file beside the ledger whose name ends in `.stop`.
//!
//! `kill-many SOCKET NAME LEDGER RATE TO…`

#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "an agent of a test stops at a fault")]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::{Agent, AgentId, ClientError, Delivery, Incoming, Message, MessageId, Stage};
use tokio::task::JoinSet;

const UNDER_WAY_MAX: usize = 512;
/// Whoever supervises this process starts it once more.
const TAKEN_OVER: i32 = 3;
/// Every other message is a question.
const KINDS: [&str; 2] = ["count", "ask"];

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

/// A submission as it stands in the ledger.
struct Submission {
    i: u64,
    id: Option<MessageId>,
    to: String,
    kind: &'static str,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, name, path, rate, to @ ..] = arguments.as_slice() else {
        panic!("kill-many SOCKET NAME LEDGER RATE TO…")
    };
    let path = Path::new(path);
    let before = std::fs::read_to_string(path).unwrap_or_default();
    let ledger = Ledger::open(path);
    let me = attached(name, socket).await;
    tokio::spawn(receive(me.clone(), ledger.clone()));
    if !to.is_empty() {
        let to = resolved(&me, to).await;
        send(&me, &ledger, &before, rate.parse().expect("a number"), &to, &path.with_extension("stop")).await;
        ledger.note("E");
    }
    // Others may still write.
    std::future::pending::<()>().await;
}

/// The daemon may be down at this moment.
async fn attached(name: &str, socket: &str) -> Agent {
    loop {
        if let Ok(me) = Agent::attach(name).socket(socket).await {
            return me;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A question may be lost with its daemon; what is sent to an id asks none.
async fn resolved(me: &Agent, to: &[String]) -> Vec<(String, AgentId)> {
    let mut found = Vec::new();
    while found.len() < to.len() {
        let address = &to[found.len()];
        match me.resolve(address).await {
            Ok(reply) => found.push((address.clone(), reply.agent_id.parse().expect("an id"))),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    found
}

/// What an earlier life submitted and never heard the end of, and the first number that it did not use.
fn unheard(before: &str) -> (BTreeMap<u64, Submission>, u64) {
    let (mut unheard, mut next) = (BTreeMap::new(), 0);
    for line in before.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match *words {
            ["S", i, id, to, kind, _] => {
                let i: u64 = i.parse().expect("a number");
                next = next.max(i + 1);
                let kind = KINDS.into_iter().find(|known| *known == kind).expect("a kind");
                unheard.insert(i, Submission { i, id: MessageId::parse(id), to: to.to_owned(), kind });
            }
            ["H" | "R", i, ..] => {
                unheard.remove(&i.parse().expect("a number"));
            }
            ["P" | "D" | "A" | "E", ..] => {}
            _ => panic!("what is {line}"),
        }
    }
    (unheard, next)
}

async fn send(me: &Agent, ledger: &Ledger, before: &str, rate: u32, to: &[(String, AgentId)], stop: &Path) {
    let (unheard, next) = unheard(before);
    let mut waiting = JoinSet::new();
    for submission in unheard.into_values() {
        let (_, id) = to.iter().find(|(address, _)| *address == submission.to).expect("the same others");
        submit(me, ledger, submission, *id, &mut waiting);
    }
    let mut pace = tokio::time::interval(Duration::from_secs(1) / rate);
    for i in next.. {
        pace.tick().await;
        // One agent may await 1,024 ends; a polite one stays below that while a daemon is down.
        while waiting.len() >= UNDER_WAY_MAX {
            waiting.join_next().await;
        }
        if stop.exists() {
            break;
        }
        let turn = usize::try_from(i).expect("a few");
        let (to, agent) = to[turn / KINDS.len() % to.len()].clone();
        submit(me, ledger, Submission { i, id: None, to, kind: KINDS[turn % KINDS.len()] }, agent, &mut waiting);
    }
    while waiting.join_next().await.is_some() {}
}

fn submit(me: &Agent, ledger: &Ledger, submission: Submission, to: AgentId, waiting: &mut JoinSet<()>) {
    let (me, ledger) = (me.clone(), ledger.clone());
    waiting.spawn(async move {
        let i = submission.i;
        match end_of(&me, &ledger, submission, to).await {
            Ok(Some(answer)) => ledger.note(&format!("H {i} {}", answer.text().expect("text"))),
            Ok(None) => ledger.note(&format!("H {i} -")),
            Err(error) => ledger.note(&format!("R {i} {error}")),
        }
    });
}

async fn end_of(
    me: &Agent,
    ledger: &Ledger,
    submission: Submission,
    agent: AgentId,
) -> Result<Option<Message>, ClientError> {
    let Submission { i, id, to, kind } = submission;
    let mut sending = me.send(agent, kind, i.to_string()).until(Stage::Handled);
    sending = match id {
        Some(id) => sending.again(id),
        None => {
            let id = sending.id()?;
            ledger.note(&format!("S {i} {id} {to} {kind} {}", wall()));
            sending
        }
    };
    let sent = sending.await?;
    ledger.note(&format!("P {i}"));
    sent.handled().await
}

async fn receive(me: Agent, ledger: Ledger) {
    loop {
        match me.recv().await {
            Ok(Incoming::Delivery(delivery)) => take(delivery, &ledger).await,
            // An end that an earlier life of this agent waited for: that message is submitted again.
            Ok(Incoming::Outcome(_)) => {}
            // What a killed life of this agent said last may be heard after this one has begun.
            Err(ClientError::TakenOver) => std::process::exit(TAKEN_OVER),
            Err(error) => panic!("the library keeps the connection: {error}"),
        }
    }
}

async fn take(delivery: Delivery, ledger: &Ledger) {
    let (i, kind) = (delivery.text().expect("text").to_owned(), delivery.subject().unwrap_or("-").to_owned());
    let from = delivery.source_address();
    let mark = if delivery.is_marked() { "marked" } else { "first" };
    ledger.note(&format!("D {from} {i} {kind} {mark} {}", wall()));
    let settled = if kind == "ask" { delivery.respond(format!("re:{i}")).await } else { delivery.handled().await };
    if settled.is_ok() {
        ledger.note(&format!("A {from} {i}"));
    }
}

fn wall() -> u128 {
    std::time::UNIX_EPOCH.elapsed().expect("a clock").as_nanos()
}
