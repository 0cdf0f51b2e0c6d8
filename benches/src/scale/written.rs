//! Bytes that one kept message costs the disk of each node, its answer and receipts included: what the journal grows by,
//! and what the system counts as written for the process, which also holds the zeros of new segments and whole pages.

use std::fs;
use std::path::Path;

use benches::BODY_BYTES;
use benches::hosts::{Host, io_bytes, two};
use benches::load::{is_known, send_many};
use benches::roles::{self, Role};
use benches::times::Times;
use client::Agent;
use proto::limits::JOURNAL_SEGMENT_BYTES;

const TO: &str = "handle@beta";
/// In flight, messages of a round, rounds.
const LOADS: [(usize, usize, usize); 3] = [(1, 1_000, 5), (64, 8_192, 5), (512, 16_384, 5)];

pub(crate) async fn run(folder: &Path) {
    let (alpha, beta) = two(folder).await;
    let _other = Role::start(roles::HANDLE, &beta.socket());
    let me = Agent::attach("sender").socket(alpha.socket()).await.unwrap();
    is_known(&me, TO).await;
    send_many(&me, TO, 64, 2048).await;
    println!("bytes a message of {BODY_BYTES}, handled: median of the rounds and quartiles");
    for (in_flight, count, rounds) in LOADS {
        let mut all: [[Times; 2]; 2] = Default::default();
        for _ in 0..rounds {
            let before = [&alpha, &beta].map(look);
            send_many(&me, TO, in_flight, count).await;
            let after = [&alpha, &beta].map(look);
            for (times, (after, before)) in all.iter_mut().zip(after.iter().zip(before)) {
                times[0].note((after.0 - before.0) / count as f64);
                times[1].note((after.1 - before.1) / count as f64);
            }
        }
        for (name, times) in ["alpha (sends)", "beta (receives)"].iter().zip(&all) {
            println!(
                "{in_flight:>4} in flight, {name:<16} the journal grows by {}; written {}",
                times[0].quartiles(),
                times[1].quartiles()
            );
        }
    }
}

fn look(host: &Host) -> (f64, f64) {
    (journal_bytes(&host.state().join("store")), io_bytes(host.process(), "write_bytes"))
}

/// Where the journal ends, counted from its first segment on: segments have numbers, and end in zeros.
fn journal_bytes(store: &Path) -> f64 {
    let segments = fs::read_dir(store).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name()?.to_str()?.strip_suffix(".segment")?;
        Some((u64::from_str_radix(name, 16).unwrap(), path.clone()))
    });
    let (number, newest) = segments.max().unwrap();
    let bytes = fs::read(newest).unwrap();
    let tail = bytes.iter().rposition(|byte| *byte != 0).unwrap_or_default();
    number as f64 * JOURNAL_SEGMENT_BYTES as f64 + tail as f64
}
