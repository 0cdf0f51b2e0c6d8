//! What many cost: agents, messages that wait, records in the journal.
//! `cargo build --release -p aicp-benches -p aicp-daemon --bins && target/release/bench-scale [folder] [part]`, where the
//! part is `crowd`, `load`, `written` or `recovery`, and all of them if none is named. The folder decides which disk is
//! measured. A part `loss` loses packets and so needs a network of its own: `unshare --net target/release/bench-scale
//! [folder] loss`, as root.

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a bench prints and stops at the first fault"
)]

use std::path::Path;

use benches::hosts::{folder, memory_kib};
use benches::{roles, runtime};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

mod crowd;
mod load;
mod loss;
mod recovery;
mod written;

const PARTS: [&str; 4] = ["crowd", "load", "written", "recovery"];

fn main() {
    if roles::played() {
        return;
    }
    raise_files();
    let parts = std::env::args().nth(2).map_or_else(|| PARTS.map(str::to_owned).to_vec(), |part| vec![part]);
    let folder = folder("bench-scale");
    for part in parts {
        let folder = folder.join(&part);
        std::fs::create_dir_all(&folder).unwrap();
        println!("\n== {part}");
        runtime().block_on(run(&part, &folder));
        // A million records need not lie about.
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

async fn run(part: &str, folder: &Path) {
    match part {
        "crowd" => crowd::run(folder).await,
        "load" => load::run(folder).await,
        "loss" => loss::run(folder).await,
        "written" => written::run(folder).await,
        "recovery" => recovery::run(folder).await,
        _ => panic!("no part is called {part}: {PARTS:?} or loss"),
    }
}

/// Every agent of this process is a file.
fn raise_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// Resident memory of a process, in MiB.
fn resident_mib(process: u32) -> f64 {
    memory_kib(process, "VmRSS").unwrap_or_default() / 1024.0
}
