//! What a message costs that is kept until its end is known, stage by stage, beside the journal alone:
//! `cargo build --release -p aicp-benches -p aicp-daemon --bins && target/release/bench-durable [folder]`. The folder
//! decides which disk is measured.
//!
//! Two daemons over loopback, the sender in this process, a receiver that handles at once in one of its own. Rounds take
//! turns with as many records of the same length in a journal that nobody else uses, synced in batches as large as what
//! is in flight. Segments that are begun meanwhile count on both sides.

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a bench prints and stops at the first fault"
)]

use std::path::Path;

use benches::hosts::{Host, folder, processor_us, two};
use benches::load::{STAGES, is_known, send_many};
use benches::roles::{self, Role};
use benches::times::{Times, since};
use benches::{BODY_BYTES, runtime};
use bytes::Bytes;
use client::Agent;
use store::{FileDisk, Options, RecordNumber, Store, Transaction};
use tokio::time::Instant;

const TO: &str = "handle@beta";
const LIMIT_BYTES: u64 = 512 << 20;
/// In flight, rounds, and messages in a round. An agent may await 1,024 outcomes and no more.
const LOADS: [(usize, usize, usize); 3] = [(1, 9, 300), (64, 9, 2048), (512, 9, 4096)];

fn main() {
    if !roles::played() {
        let folder = folder("bench-durable");
        runtime().block_on(run(&folder));
    }
}

async fn run(folder: &Path) {
    let (alpha, beta) = two(folder).await;
    let other = Role::start(roles::HANDLE, &beta.socket());
    let me = Agent::attach("sender").socket(alpha.socket()).await.unwrap();
    is_known(&me, TO).await;
    let mut journal = Journal::new(&folder.join("journal"));
    send_many(&me, TO, 64, 1024).await;
    println!("{BODY_BYTES} bytes, kept on both hosts; µs from the submission on");
    for (in_flight, rounds, count) in LOADS {
        let mut load = Load::default();
        for round in 0..rounds {
            load.round(round, &mut journal, &me, (in_flight, count), [&alpha, &beta], &other).await;
        }
        load.print(in_flight, rounds * count);
    }
}

/// What was measured with so many in flight.
#[derive(Default)]
struct Load {
    stages: [Times; 3],
    ours: Times,
    bare: Times,
    commits: Times,
    ratios: Times,
    /// Processor time: alpha, beta, sender, receiver.
    used: [f64; 4],
}

impl Load {
    async fn round(
        &mut self,
        round: usize,
        journal: &mut Journal,
        me: &Agent,
        (in_flight, count): (usize, usize),
        [alpha, beta]: [&Host; 2],
        other: &Role,
    ) {
        let processes = [alpha.process(), beta.process(), std::process::id(), other.process()];
        let mut bare = 0.0;
        // Who goes first changes from round to round.
        if round.is_multiple_of(2) {
            bare = journal.write(count, in_flight, &mut self.commits);
        }
        let before = processes.map(processor_us);
        let (stages, took) = send_many(me, TO, in_flight, count).await;
        let used = processes.map(processor_us);
        if !round.is_multiple_of(2) {
            bare = journal.write(count, in_flight, &mut self.commits);
        }
        (0..used.len()).for_each(|at| self.used[at] += used[at] - before[at]);
        self.stages.iter_mut().zip(&stages).for_each(|(all, one)| all.join(one));
        let rate = |took: f64| count as f64 * 1_000_000.0 / took;
        self.ours.note(rate(took));
        self.bare.note(rate(bare));
        self.ratios.note(bare / took);
    }

    fn print(&self, in_flight: usize, messages: usize) {
        println!("\n{in_flight} in flight, {messages} messages");
        println!("{:<12}{:>10}{:>10}", "", "p50", "p99");
        for (name, times) in STAGES.iter().zip(&self.stages) {
            println!("{name:<12}{:>10.0}{:>10.0}", times.median(), times.quantile(0.99));
        }
        println!(
            "{:<12}{:>10.0}{:>10.0}  a commit of {in_flight}",
            "journal",
            self.commits.median(),
            self.commits.quantile(0.99)
        );
        let (ours, bare) = (self.ours.median(), self.bare.median());
        println!("handled messages/s {ours:.0}, records/s of the journal alone {bare:.0}");
        println!("ratio, round by round: {}", self.ratios.quartiles());
        let used = self.used.map(|used| used / messages as f64);
        println!(
            "processor µs a message: alpha {:.1}, beta {:.1}, sender {:.1}, receiver {:.1}",
            used[0], used[1], used[2], used[3]
        );
    }
}

/// The journal alone: what is appended is forgotten between the rounds.
struct Journal {
    store: Store<FileDisk>,
    body: Bytes,
    next: u64,
}

impl Journal {
    fn new(folder: &Path) -> Self {
        let disk = FileDisk::open(folder).unwrap();
        let (store, _) = Store::open(disk, &Options::new([7; 16], LIMIT_BYTES)).unwrap();
        Self { store, body: vec![0x5A; BODY_BYTES].into(), next: 1 }
    }

    /// Appends so many in batches, and syncs each batch; how long all of it took.
    fn write(&mut self, count: usize, batch: usize, commits: &mut Times) -> f64 {
        let (first, begun) = (self.next, Instant::now());
        for _ in 0..count / batch {
            let commit = Instant::now();
            for _ in 0..batch {
                let put = Transaction::new().put(RecordNumber::new(self.next), self.body.clone());
                self.store.append(put).unwrap();
                self.next += 1;
            }
            self.store.sync().unwrap();
            commits.note(since(commit));
        }
        let took = since(begun);
        let forget = |all: Transaction, number| all.forget(RecordNumber::new(number));
        self.store.append((first..self.next).fold(Transaction::new(), forget)).unwrap();
        self.store.tidy(usize::MAX).unwrap();
        took
    }
}
