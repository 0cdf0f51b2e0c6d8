//! What a question to an agent on another host costs, signed and sealed both ways, beside the bare pipes it goes through:
//! `cargo build --release -p aicp-benches -p aicp-daemon --bins && target/release/bench-ask [folder]`.
//!
//! Two daemons over loopback, the asker in this process, the other agent in one of its own. A bare round trip over a Unix
//! socket and one over QUIC, each between two processes, take turns with it; three pipes are two Unix sockets and one
//! QUIC. A ratio is the median over rounds, so that a machine that others use too slows all alike.

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a bench prints and stops at the first fault"
)]

#[expect(dead_code, reason = "bench-codec has more operations than an exchange")]
#[path = "codec/ours.rs"]
mod frames;

use std::path::Path;
use std::time::Duration;

use benches::hosts::{Host, folder, processor_us, two};
use benches::roles::{self, Role};
use benches::times::{Times, since};
use benches::{BODY_BYTES, bare, runtime};
use client::{Agent, Body};
use quinn::{Connection, RecvStream, SendStream};
use tokio::io::Join;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

const TO: &str = "echo@beta";
/// Before anything is measured.
const WARM_UP: usize = 2000;
/// One at a time: rounds, and exchanges of each kind in a round.
const ROUNDS: usize = 400;
const EACH: usize = 25;
/// Many at once: how many, rounds, and exchanges in a round.
const IN_FLIGHT: usize = 64;
const MANY_ROUNDS: usize = 15;
const MANY_ASKS: usize = 3000;
const MANY_BARE: usize = 20_000;
/// Frames that are made and opened without any daemon.
const FRAMES: usize = 10_000;
/// What is compared, in the order of the figures of a round.
const KINDS: [&str; 3] = ["ask", "Unix socket", "QUIC"];

fn main() {
    if !roles::played() {
        let folder = folder("bench-ask");
        runtime().block_on(run(&folder));
    }
}

/// All that is under way.
struct World {
    alpha: Host,
    beta: Host,
    other: Role,
    me: Agent,
    body: Body,
    unix: UnixStream,
    quic: Join<RecvStream, SendStream>,
    _connection: Connection,
    _bare: [Role; 2],
}

async fn run(folder: &Path) {
    let mut world = World::new(folder).await;
    world.ask_many(WARM_UP).await;
    let one = world.one_at_a_time().await;
    let many = world.many_at_once().await;
    drop(world);
    let frames = Frames::measure();
    one.print(&frames);
    many.print(&frames);
}

impl World {
    async fn new(folder: &Path) -> Self {
        let (alpha, beta) = two(folder).await;
        let other = Role::start(roles::ECHO, &beta.socket());
        let path = folder.join("bare.sock");
        let bare = [Role::start(roles::UNIX, &path), Role::start(roles::QUIC, &path)];
        let unix = UnixStream::connect(&path).await.unwrap();
        let (connection, quic) = bare::dial(bare[1].said().parse().unwrap()).await;
        let me = Agent::attach("asker").socket(alpha.socket()).await.unwrap();
        // Its record takes a moment from host to host.
        let begun = Instant::now();
        while let Err(error) = me.ask(TO, "bench", "").await {
            assert!(begun.elapsed() < Duration::from_secs(20), "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let body = Body::octets(vec![0x5A; BODY_BYTES]);
        Self { alpha, beta, other, me, body, unix, quic, _connection: connection, _bare: bare }
    }

    async fn ask(me: &Agent, body: &Body) -> f64 {
        let begun = Instant::now();
        let answer = me.ask(TO, "bench", body.clone()).await.unwrap();
        assert_eq!(answer.body().len(), BODY_BYTES);
        since(begun)
    }

    async fn one_at_a_time(&mut self) -> One {
        let mut one = One::default();
        for round in 0..ROUNDS {
            let mut took: [Times; 3] = Default::default();
            // Who goes first changes from round to round.
            for kind in (0..KINDS.len()).map(|at| (at + round) % KINDS.len()) {
                for _ in 0..EACH {
                    took[kind].note(match kind {
                        0 => Self::ask(&self.me, &self.body).await,
                        1 => bare::ask(&mut self.unix).await,
                        _ => bare::ask(&mut self.quic).await,
                    });
                }
            }
            one.ratios.note(took[0].median() / (2.0 * took[1].median() + took[2].median()));
            one.all.iter_mut().zip(&took).for_each(|(all, took)| all.join(took));
        }
        one
    }

    /// Keeps as many asks under way as planned, each begun when another has ended.
    async fn ask_many(&self, count: usize) -> (Times, f64) {
        let begun = Instant::now();
        let mut lanes = JoinSet::new();
        for lane in 0..IN_FLIGHT {
            let share = count / IN_FLIGHT + usize::from(lane < count % IN_FLIGHT);
            let (me, body) = (self.me.clone(), self.body.clone());
            lanes.spawn(async move {
                let mut times = Times::default();
                for _ in 0..share {
                    times.note(Self::ask(&me, &body).await);
                }
                times
            });
        }
        let mut all = Times::default();
        while let Some(times) = lanes.join_next().await {
            all.join(&times.unwrap());
        }
        (all, since(begun))
    }

    async fn many_at_once(&mut self) -> Many {
        let processes = [self.alpha.process(), self.beta.process(), std::process::id(), self.other.process()];
        let mut many = Many::default();
        for round in 0..MANY_ROUNDS {
            let mut rates = [0.0; 3];
            for kind in (0..KINDS.len()).map(|at| (at + round) % KINDS.len()) {
                let before = processes.map(processor_us);
                let (times, took) = match kind {
                    0 => self.ask_many(MANY_ASKS).await,
                    1 => bare::ask_many(&mut self.unix, IN_FLIGHT, MANY_BARE).await,
                    _ => bare::ask_many(&mut self.quic, IN_FLIGHT, MANY_BARE).await,
                };
                let count = if kind == 0 { MANY_ASKS } else { MANY_BARE };
                rates[kind] = count as f64 * 1_000_000.0 / took;
                many.rates[kind].note(rates[kind]);
                many.all[kind].join(&times);
                if kind == 0 {
                    let used = processes.map(processor_us);
                    (0..processes.len()).for_each(|at| many.used[at] += used[at] - before[at]);
                }
            }
            // What the three pipes would carry if nothing ran beside each of them.
            many.ratios.note((2.0 / rates[1] + 1.0 / rates[2]) * rates[0]);
        }
        many
    }
}

/// What making and opening one frame takes, in µs.
struct Frames {
    seal: f64,
    open: f64,
}

impl Frames {
    fn measure() -> Self {
        let world = frames::World::new(BODY_BYTES);
        let (mut seal, mut open) = (Times::default(), Times::default());
        for _ in 0..FRAMES {
            let begun = Instant::now();
            let made = world.seal();
            seal.note(since(begun));
            drop(made);
            let arrived = world.sealed();
            let begun = Instant::now();
            let opened = world.open(arrived);
            open.note(since(begun));
            drop(opened);
        }
        Self { seal: seal.median(), open: open.median() }
    }

    /// A question and its answer.
    fn exchange(&self) -> f64 {
        2.0 * (self.seal + self.open)
    }
}

#[derive(Default)]
struct One {
    all: [Times; 3],
    ratios: Times,
}

impl One {
    fn print(&self, frames: &Frames) {
        println!("{BODY_BYTES} bytes there and back, one at a time, {} of each; µs", ROUNDS * EACH);
        heading();
        for (kind, times) in KINDS.iter().zip(&self.all) {
            row(kind, times);
        }
        let pipes = |share| 2.0 * self.all[1].quantile(share) + self.all[2].quantile(share);
        println!("{:<14}{:>10.1}{:>10.1}{:>10.1}", "three pipes", pipes(0.5), pipes(0.99), pipes(0.999));
        println!("ask / three pipes: {}", self.ratios.quartiles());
        let ask = self.all[0].median();
        println!("where the {ask:.0} µs go, by estimate");
        println!("  2 × seal + sign   {:>8.1}", 2.0 * frames.seal);
        println!("  2 × verify + open {:>8.1}", 2.0 * frames.open);
        println!("  three pipes       {:>8.1}", pipes(0.5));
        println!("  the rest          {:>8.1}", ask - pipes(0.5) - frames.exchange());
    }
}

#[derive(Default)]
struct Many {
    all: [Times; 3],
    rates: [Times; 3],
    ratios: Times,
    /// Processor time of the asks: alpha, beta, asker, answerer.
    used: [f64; 4],
}

impl Many {
    fn print(&self, frames: &Frames) {
        println!(
            "\n{IN_FLIGHT} at once, {MANY_ROUNDS} rounds; µs, and exchanges a second (median, quartiles of rounds)"
        );
        heading();
        for ((kind, times), rates) in KINDS.iter().zip(&self.all).zip(&self.rates) {
            row(kind, times);
            let [low, middle, high] = [0.25, 0.5, 0.75].map(|share| rates.quantile(share));
            println!("{:<14}{middle:>10.0} /s ({low:.0} to {high:.0})", "");
        }
        println!("asks a second / three pipes one after another: {}", self.ratios.quartiles());
        let used = self.used.map(|used| used / (MANY_ASKS * MANY_ROUNDS) as f64);
        println!(
            "processor µs an ask: alpha {:.1}, beta {:.1}, asker {:.1}, answerer {:.1}",
            used[0], used[1], used[2], used[3]
        );
        println!("  of these, seals and signatures {:.1}", frames.exchange());
    }
}

fn heading() {
    println!("{:<14}{:>10}{:>10}{:>10}", "", "p50", "p99", "p99.9");
}

fn row(kind: &str, times: &Times) {
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| times.quantile(share));
    println!("{kind:<14}{p50:>10.1}{p99:>10.1}{p999:>10.1}");
}
