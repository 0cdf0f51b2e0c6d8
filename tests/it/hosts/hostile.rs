//! Whatever comes at the doors: the daemon stays up, its memory bounded, and honest agents are served. Counts are small
//! here; `AICP_HOSTILE=full` asks for the whole.

use std::io::Read;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use client::Agent;
use mallory::{Mallory, Target};
use peers::{Flood, Harm};
use proto::limits;
use referee::hostile::RawDoor;
use referee::hosts::{Host, until};
use watch::{Fared, Meanwhile, Watch, fare};

#[expect(clippy::cast_possible_truncation, reason = "small numbers of a test")]
mod agents;
#[expect(clippy::cast_possible_truncation, reason = "small numbers of a test")]
#[expect(clippy::disallowed_methods, reason = "it goes on for a time that is asked for")]
mod fuzz;
mod mallory;
#[expect(clippy::cast_possible_truncation, reason = "small numbers of a test")]
mod peers;
mod strangers;
mod watch;

const MIB: u64 = 1 << 20;

/// What a frame of a flood stands for: few here, a million of them all together where the whole is asked for.
fn many(few: u64, whole: u64) -> u64 {
    let is_full = std::env::var("AICP_HOSTILE").is_ok_and(|how| how == "full");
    if is_full { whole } else { few }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Logs what a daemon logs by default: under a flood the log must not be what is measured.
fn quiet(host: &Host) {
    let text = std::fs::read_to_string(host.config()).expect("a file");
    std::fs::write(host.config(), text.replace("level = \"debug\"", "level = \"info\"")).expect("a file");
}

#[expect(clippy::print_stdout, reason = "figures for whoever runs the full count")]
fn say(line: &str) {
    println!("{line}");
}

async fn attached(name: &str, host: &Host) -> Agent {
    Agent::attach(name).socket(host.socket()).await.expect("attached")
}

fn alone(folder: &tempfile::TempDir) -> Host {
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    quiet(&host);
    host.start();
    until("echo is there", Duration::from_secs(10), || {
        host.ctl(&["ping", "echo@alpha"]).status.success().then_some(())
    });
    host
}

/// A host with an honest peer and one that is not.
fn with_mallory(folder: &tempfile::TempDir, mallory: &Mallory) -> (Host, Host) {
    let mut alpha = Host::make(folder.path(), "alpha");
    let mut beta = Host::make(folder.path(), "beta");
    alpha.configure(&[&beta]);
    beta.configure(&[&alpha]);
    mallory.befriend(&alpha);
    for host in [&mut alpha, &mut beta] {
        quiet(host);
        host.start();
    }
    alpha.await_peer("beta");
    beta.await_peer("alpha");
    until("echo@alpha is known", Duration::from_secs(10), || {
        beta.ctl(&["ping", "echo@alpha"]).status.success().then_some(())
    });
    (alpha, beta)
}

#[test]
fn whatever_agents_do_at_their_door_the_daemon_stays_up_and_small_and_lets_go_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = alone(&folder);
    let runtime = runtime();
    let _inside = runtime.enter();
    let asker = runtime.block_on(attached("asker", &host));
    fare(&asker, "echo@alpha", Duration::from_millis(500));
    let watch = Watch::begin(&host);
    let (mut most, mut frames) = (0, 0);
    for (name, harm) in agents::ALL {
        let path = host.socket();
        let count = many(1000, 100_000);
        let harmful = Meanwhile::once(move || harm(&path, count).expect("the door is open"));
        while !harmful.is_over() {
            fare(&asker, "echo@alpha", Duration::from_millis(50));
        }
        let (sent, peak) = (harmful.end(), watch.peak());
        say(&format!("{name}: {sent} times, at most {} KiB more", peak >> 10));
        (most, frames) = (most.max(peak), frames + sent);
    }
    watch.assert_unharmed();
    say(&format!("{frames} frames and connections, at most {} KiB more", most >> 10));
    assert!(most <= 64 * MIB, "{} MiB more", most / MIB);
}

#[test]
fn whatever_a_peer_does_its_link_is_bounded_and_honest_links_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let _inside = runtime.enter();
    let mallory = Mallory::new();
    let (alpha, beta) = with_mallory(&folder, &mallory);
    let asker = runtime.block_on(attached("asker", &beta));
    let target = Target::of(&alpha);
    fare(&asker, "echo@alpha", Duration::from_millis(500));
    let (whole, mut watch) = (Watch::begin(&alpha), Watch::begin(&alpha));
    let (mut most, mut frames) = (0, 0);
    for harm in Harm::ALL {
        let count = many(1000, 150_000);
        watch.again();
        let done = runtime.block_on(peers::harm(&mallory, target, harm, count));
        let peak = watch.peak();
        say(&format!("{harm:?}: {done} times, at most {} KiB more", peak >> 10));
        (most, frames) = (most.max(peak), frames + done);
        fare(&asker, "echo@alpha", Duration::from_millis(50));
    }
    let stays = whole.peak();
    say(&format!("{frames} frames, at most {} KiB more for a link, {} KiB after all", most >> 10, stays >> 10));
    watch.assert_unharmed();
    assert!(most <= 16 * MIB, "{} KiB more for one link", most >> 10);
    assert!(stays <= 64 * MIB, "{} KiB more after all", stays >> 10);
}

#[test]
fn datagrams_from_nowhere_leave_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let _inside = runtime.enter();
    let mallory = Mallory::new();
    let (alpha, beta) = with_mallory(&folder, &mallory);
    let asker = runtime.block_on(attached("asker", &beta));
    let target = Target::of(&alpha);
    fare(&asker, "echo@alpha", Duration::from_millis(500));
    let watch = Watch::begin(&alpha);
    let count = many(50_000, 10_000_000);
    let harmful = Meanwhile::once(move || peers::datagrams(target, count));
    outlived(&asker, &watch, harmful, "datagrams");
}

/// Honest asks are answered while it goes on, and nothing is left of it but a bounded amount of memory.
fn outlived(asker: &Agent, watch: &Watch<'_>, harmful: Meanwhile, what: &str) {
    while !harmful.is_over() {
        fare(asker, "echo@alpha", Duration::from_millis(50));
    }
    let (sent, peak) = (harmful.end(), watch.peak());
    say(&format!("{sent} {what}, at most {} KiB more", peak >> 10));
    watch.assert_unharmed();
    assert!(peak <= 64 * MIB, "{} MiB more", peak / MIB);
}

/// Honest agents fare as well as if the same flood went to a sink beside the daemon. Noise of the machine only ever
/// makes it worse, so the best of a few rounds counts.
fn compare(what: &str, settle: impl Fn(), mut at_sink: impl FnMut() -> Fared, mut at_daemon: impl FnMut() -> Fared) {
    let mut rounds = String::new();
    for _ in 0..5 {
        settle();
        let (sink, daemon) = (at_sink(), at_daemon());
        let slower = daemon.p99.as_secs_f64() / sink.p99.max(NOTHING).as_secs_f64();
        let share = daemon.per_second / sink.per_second;
        rounds += &format!(
            "{what}: p99 {:?} beside a sink, {:?} under it ({slower:.2} times); {:.0} and {:.0} asks/s ({share:.2})\n",
            sink.p99, daemon.p99, sink.per_second, daemon.per_second
        );
        if slower <= 2.0 && share >= 0.5 {
            return say(rounds.trim_end());
        }
    }
    panic!("honest agents suffer:\n{rounds}");
}

/// Frames a second, or connections, or datagrams: as much as a slow machine can make beside everything else.
const FLOOD: u64 = 2000;
/// Below this a p99 is the machine's, not the daemon's.
const NOTHING: Duration = Duration::from_millis(10);

/// Waits until nothing is left of what was done before.
fn settle(asker: &Agent) {
    let patience = Duration::from_secs(60);
    until("asks are quick again", patience, || {
        (fare(asker, "echo@alpha", Duration::from_millis(20)).p99 < 5 * NOTHING).then_some(())
    });
}

fn round() -> Duration {
    Duration::from_millis(many(400, 5000))
}

#[test]
fn honest_agents_fare_under_a_flood_at_their_door_as_they_do_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = alone(&folder);
    let runtime = runtime();
    let _inside = runtime.enter();
    let asker = runtime.block_on(attached("asker", &host));
    let sink = folder.path().join("sink.sock");
    let listener = UnixListener::bind(&sink).expect("a socket");
    // It ends with the process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut stream, mut bytes) = (stream, vec![0; 64 << 10]);
                while stream.read(&mut bytes).is_ok_and(|length| length > 0) {}
            });
        }
    });
    let under = |path: std::path::PathBuf, harm: agents::Harm| {
        let flood = Meanwhile::paced(100, FLOOD, move || harm(&path, 100).unwrap_or(0));
        let fared = fare(&asker, "echo@alpha", round());
        flood.end();
        fared
    };
    for (name, harm) in agents::FLOODS {
        compare(name, || settle(&asker), || under(sink.clone(), harm), || under(host.socket(), harm));
    }
}

/// All wait in one queue, and an ask passes it four times. If a flood may fill that with what keeps the node busy, asks
/// take some hundred times as long as they should; a share of one in thirty leaves all noise of the machine aside.
#[test]
fn who_asks_more_than_the_node_can_answer_makes_nobody_wait_behind_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = alone(&folder);
    let runtime = runtime();
    let _inside = runtime.enter();
    let asker = runtime.block_on(attached("asker", &host));
    let _agents = agents::populate(&host.socket()).expect("the door is open");
    let quiet = fare(&asker, "echo@alpha", Duration::from_millis(400)).per_second;
    let mut rounds = String::new();
    for _ in 0..5 {
        let path = host.socket();
        let flood = Meanwhile::again(move || agents::flood(&path).expect("the door is open"));
        fare(&asker, "echo@alpha", Duration::from_millis(50));
        let busy = fare(&asker, "echo@alpha", Duration::from_millis(many(400, 2000))).per_second;
        flood.end();
        rounds += &format!("{quiet:.0} asks/s, and {busy:.0} behind a flood of questions\n");
        if busy >= quiet / 30.0 {
            return say(rounds.trim_end());
        }
    }
    panic!("an agent that only asks makes all others wait:\n{rounds}");
}

#[test]
fn honest_links_fare_under_a_hostile_peer_as_they_do_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = runtime();
    let _inside = runtime.enter();
    let mallory = Mallory::new();
    let (alpha, beta) = with_mallory(&folder, &mallory);
    let asker = runtime.block_on(attached("asker", &beta));
    let (sink, daemon) = (mallory::sink(&mallory), Target::of(&alpha));
    for harm in Harm::FLOODS {
        let under = |target: Target| {
            let handle = runtime.handle().clone();
            let mut peer = runtime.block_on(Flood::begin(&mallory, target, harm));
            let flood = Meanwhile::paced(50, FLOOD, move || handle.block_on(peer.send(50)));
            let fared = fare(&asker, "echo@alpha", round());
            flood.end();
            fared
        };
        compare(&format!("{harm:?}"), || settle(&asker), || under(sink), || under(daemon));
    }
    let datagram_sink = std::net::UdpSocket::bind(("127.0.0.1", 0)).expect("a port");
    let nowhere = Target { address: datagram_sink.local_addr().expect("an address"), ..sink };
    let _ends_with_the_process = std::thread::spawn(move || while datagram_sink.recv(&mut [0; 2048]).is_ok() {});
    let under = |target: Target| {
        let flood = Meanwhile::paced(100, FLOOD, move || peers::datagrams(target, 100));
        let fared = fare(&asker, "echo@alpha", round());
        flood.end();
        fared
    };
    compare("datagrams", || settle(&asker), || under(nowhere), || under(daemon));
}

#[test]
fn a_crowd_at_the_door_leaves_the_daemon_the_files_that_it_needs() {
    const FILES: usize = 700;
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    quiet(&host);
    host.start_under(&["prlimit", &format!("--nofile={FILES}:{FILES}")]);
    let watch = Watch::begin(&host);
    let mut early = RawDoor::open(&host.socket()).expect("open");
    let crowd: Vec<_> = (0..1500).map_while(|_| RawDoor::open(&host.socket()).ok()).collect();
    assert!(crowd.len() > FILES, "only {} came", crowd.len());
    // The keys of new agents are files.
    for name in ["one", "two", "three"] {
        early.attach(name).expect("answered").expect("a new agent finds room");
    }
    let most = FILES - limits::FILES_BESIDE_SESSIONS;
    until("as many are let in as may be", Duration::from_secs(10), || (watch.more_files() >= most).then_some(()));
    assert!(watch.more_files() < most + 10, "{} were let in", watch.more_files());
    let lines = host.log().matches("too many connections").count();
    assert!((1..20).contains(&lines), "a crowd fills the log: {lines} lines");
    drop((early, crowd));
    watch.assert_unharmed();
    until("the door is open again", Duration::from_secs(10), || host.ctl(&["status"]).status.success().then_some(()));
}
