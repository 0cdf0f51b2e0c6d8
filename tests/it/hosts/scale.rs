//! Many agents on one node: what they cost, how fast they come, and that one who does not read harms nobody.
//!
//! `AICP_AGENTS=10000 cargo test --release -p aicp-tests --test it hosts::scale -- --nocapture --test-threads=1` is the
//! full count, with the bars of a quiet machine. Without it there are 1,000, and the bars are those that a build without
//! optimisation keeps on a busy machine of two cores.

use std::path::Path;
use std::time::{Duration, Instant};

use referee::hosts::{Host, until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

mod door;
mod stuck;

use door::Door;

/// Names on each connection that many share.
const SHARED: usize = 250;
/// Clients that attach at the same time.
const THREADS: usize = 16;
/// What an idle agent may cost: 400 MiB for 10,000.
const KIB_EACH: f64 = 400.0 * 1024.0 / 10_000.0;
/// What 10,000 may take, the daemon itself included.
const KIB_ALL: f64 = 400.0 * 1024.0;

/// How many agents, and whether the bars are those of a quiet machine.
fn agents() -> (usize, bool) {
    match std::env::var("AICP_AGENTS") {
        Ok(number) => (number.parse().expect("AICP_AGENTS is a number"), true),
        Err(_) => (1_000, false),
    }
}

/// Every connection is a file of this process too.
fn raise_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("the limit can be raised");
}

/// A node whose log leaves out what would be said of each connection.
fn quiet_host(folder: &Path) -> Host {
    let host = Host::make(folder, "alpha");
    host.configure(&[]);
    let config = std::fs::read_to_string(host.config()).expect("a file");
    std::fs::write(host.config(), config.replace("\"debug\"", "\"warn\"")).expect("a file");
    host
}

/// Half of the names with a connection each, the others on shared ones. How many a second, and the open doors.
fn attach(host: &Host, count: usize) -> (f64, Vec<Door>) {
    let name = |at: usize| format!("agent-{at:05}");
    let mut clients: Vec<Vec<String>> = (0..count / 2).map(|at| vec![name(at)]).collect();
    let others: Vec<String> = (count / 2..count).map(name).collect();
    clients.extend(others.chunks(SHARED).map(<[String]>::to_vec));
    // Those with many names first, so that all threads have something to do to the end.
    clients.reverse();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let begun = Instant::now();
    let doors = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut doors = Vec::new();
                    while let Some(names) = clients.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                        let mut door = Door::open(&host.socket());
                        door.attach(names);
                        doors.push(door);
                    }
                    doors
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("attached")).collect()
    });
    (count as f64 / begun.elapsed().as_secs_f64(), doors)
}

fn resident_kib(host: &Host) -> f64 {
    let status = format!("/proc/{}/status", host.process().expect("it runs"));
    let status = std::fs::read_to_string(status).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).expect("a number")
}

fn attached(host: &Host) -> usize {
    let status = host.status();
    status["agents"].as_array().map_or(0, |agents| agents.iter().filter(|agent| agent["attached"] == true).count())
}

#[test]
fn many_agents_attach_fast_and_cost_little_while_they_are_idle() {
    let (count, is_full) = agents();
    raise_files();
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = quiet_host(folder.path());
    // As most systems begin.
    host.start_with_files(1024, getrlimit(Resource::Nofile).maximum.unwrap_or(1 << 20));
    let fresh = resident_kib(&host);

    let (new, doors) = attach(&host, count);
    drop(doors);
    // The node's own echo stays.
    until("all have left", Duration::from_secs(30), || (attached(&host) <= 1).then_some(()));
    let (known, doors) = attach(&host, count);
    until("all are attached", Duration::from_secs(30), || (attached(&host) >= count).then_some(()));
    std::thread::sleep(Duration::from_secs(if is_full { 10 } else { 1 }));
    let idle = resident_kib(&host);
    println!(
        "{count} agents: {new:.0} attaches/s of new names, {known:.0} of known ones; fresh {:.1} MiB, idle {:.1} MiB",
        fresh / 1024.0,
        idle / 1024.0
    );

    let each = (idle - fresh) / count as f64;
    assert!(each <= KIB_EACH, "an idle agent costs {each:.1} KiB, and may cost {KIB_EACH:.1}");
    assert!(idle <= KIB_ALL, "{idle} KiB for {count} idle agents");
    let least = if is_full { 1_000.0 } else { 50.0 };
    assert!(known >= least, "{known:.0} attaches/s of known names, where {least} were the least");
    assert!(new >= least, "{new:.0} attaches/s of new names, where {least} were the least");
    drop(doors);
    assert_eq!(host.stop().code(), Some(0), "with all of them it stops in peace");
}

#[test]
fn the_daemon_raises_its_limit_of_open_files_as_far_as_it_may() {
    raise_files();
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = quiet_host(folder.path());
    host.start_with_files(64, 4096);
    let doors: Vec<Door> = (0..200)
        .map(|at| {
            let mut door = Door::open(&host.socket());
            door.attach(&[format!("agent-{at}")]);
            door
        })
        .collect();
    assert!(attached(&host) >= doors.len(), "more are attached than it had files for when it began");
}

#[test]
fn with_too_few_files_the_daemon_says_so_and_whoever_is_too_many_is_turned_away_at_once() {
    raise_files();
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = quiet_host(folder.path());
    host.start_with_files(64, 600);
    let log = host.log();
    assert!(log.contains("LimitNOFILE=") && log.contains("600"), "it says what is wrong and how to mend it:\n{log}");
    let mut doors: Vec<Door> = (0..700).map(|_| Door::open(&host.socket())).collect();
    let mut last = doors.pop().expect("a door");
    let begun = Instant::now();
    assert!(last.is_turned_away(), "there is a file for each connection that is taken");
    assert!(begun.elapsed() < Duration::from_secs(5), "whoever is too many need not wait");
    drop(doors);
    until("there is room again", Duration::from_secs(10), || host.ctl(&["status"]).status.success().then_some(()));
}
