//! What the daemon is to a service manager. The test itself is the manager, to real processes: it holds the socket that
//! they are passed, and hears what they say. `tests/systemd/run` does the same under a real one.

use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use referee::fuse::can_mount;
use referee::hosts::{Host, binary, env_number, until};
use referee::root;

use super::machine::Machine;
use super::traffic::{Traffic, await_agent};

const SOON: Duration = Duration::from_secs(15);

/// Whoever started the daemon, and hears it.
struct Manager(UnixDatagram);

impl Manager {
    /// From its next start on a host tells it how it is.
    fn of(host: &mut Host, folder: &Path) -> Self {
        let path = folder.join(format!("{}-notify", host.name));
        let socket = UnixDatagram::bind(&path).expect("a socket");
        host.set_environment("NOTIFY_SOCKET", path);
        Self(socket)
    }

    /// The next that is said, if it is said within this time.
    fn next(&self, within: Duration) -> Option<String> {
        let mut said = [0; 4096];
        self.0.set_read_timeout(Some(within.max(Duration::from_millis(1)))).expect("a time-out");
        let length = self.0.recv(&mut said).ok()?;
        Some(String::from_utf8_lossy(&said[..length]).into_owned())
    }

    #[expect(clippy::disallowed_methods, reason = "real processes are waited for by a real clock")]
    fn hears(&self, what: &str, within: Duration) -> Option<String> {
        let end = Instant::now() + within;
        loop {
            let said = self.next(end.saturating_duration_since(Instant::now()))?;
            if said.lines().any(|line| line.starts_with(what)) {
                return Some(said);
            }
        }
    }
}

fn single(folder: &Path) -> Host {
    let host = Host::make(folder, "alpha");
    host.configure(&[]);
    host
}

/// Whether a program of systemd is there; where `AICP_NEED_ROOT` is 1 it must be.
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says whether they may be skipped")]
fn is_there(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !is_there {
        assert!(std::env::var("AICP_NEED_ROOT").as_deref() != Ok("1"), "{program} is needed");
        #[expect(clippy::print_stdout, reason = "whoever runs the tests wants to know")]
        let () = println!("skipped: needs {program}");
    }
    is_there
}

#[test]
fn the_manager_hears_that_the_daemon_is_ready_when_its_doors_are_open_how_it_is_and_that_it_stops() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = single(folder.path());
    let manager = Manager::of(&mut host, folder.path());
    let socket = host.socket();
    std::thread::scope(|scope| {
        let listening = scope.spawn(|| {
            manager.hears("READY=1", SOON).expect("it says that it is ready");
            UnixStream::connect(&socket).expect("whoever hears that it is ready can connect at once");
        });
        host.start();
        listening.join().expect("it was ready");
    });
    let status = manager.hears("STATUS=", SOON).expect("it says how it is");
    assert!(status.contains("alpha: 0 of 0 peers up") && status.contains("outbox 0"), "{status}");
    let code = std::thread::scope(|scope| {
        let listening = scope.spawn(|| manager.hears("STOPPING=1", SOON).is_some());
        let code = host.stop().code();
        assert!(listening.join().expect("it listens"), "it does not say that it stops");
        code
    });
    assert_eq!(code, Some(0));
}

#[test]
fn a_reload_is_told_with_its_time_and_ends_when_the_new_configuration_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = single(folder.path());
    let manager = Manager::of(&mut host, folder.path());
    host.start();
    manager.hears("READY=1", SOON).expect("it is ready");
    host.configure_also("[limits]\ndeliveries = 7\n");
    assert!(!host.log().contains("limits.deliveries"));
    let process = host.process().expect("it runs");
    referee::hosts::signal_process(process, "HUP");
    let told = manager.hears("RELOADING=1", SOON).expect("it says that it reads its configuration anew");
    let since = told.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).expect("since when");
    let since: u64 = since.parse().expect("a number");
    let uptime = std::fs::read_to_string("/proc/uptime").expect("the uptime");
    let uptime: f64 = uptime.split(' ').next().expect("seconds").parse().expect("a number");
    let seconds = Duration::from_micros(since).as_secs_f64();
    // Which is told in hundredths.
    assert!(seconds <= uptime + 0.1 && seconds > uptime - 60.0, "{seconds} s, and now it is {uptime} s");
    manager.hears("READY=1", SOON).expect("it is ready again");
    until("the log tells what counts from now on", SOON, || host.log().contains("limits.deliveries").then_some(()));
    assert_eq!(host.process(), Some(process));
    assert!(host.ctl(&["status"]).status.success(), "it answers");
    assert_eq!(host.stop().code(), Some(0));
}

#[test]
fn the_watchdog_is_fed_while_the_core_and_the_journal_answer_and_not_while_the_disk_hangs() {
    if !can_mount() {
        return;
    }
    let mut chance = referee::fuse::Chance::new(1);
    let folder = tempfile::tempdir().expect("a folder");
    let mut machine = Machine::make(folder.path(), "alpha", &mut chance);
    machine.host.configure(&[]);
    let manager = Manager::of(&mut machine.host, folder.path());
    machine.host.set_environment("WATCHDOG_USEC", PathBuf::from("3000000"));
    machine.host.start();
    // The first sign comes when the journal has made its reserve, the others more often than the manager needs them.
    manager.hears("WATCHDOG=1", SOON).expect("it is alive");
    for _ in 0..4 {
        manager.hears("WATCHDOG=1", Duration::from_secs(3)).expect("it is alive");
    }
    await_agent(&machine.host, "echo");
    let message = ["send", "echo", "hello", "--wait", "handled"];
    assert!(machine.host.ctl(&message).status.success(), "its agent is there");
    machine.disk().hang(true);
    let mut send = Command::new(binary("aicpctl"));
    send.arg("--socket").arg(machine.host.socket()).args(message).env_clear();
    let mut send = send.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("aicpctl runs");
    until("the disk is asked", SOON, || (machine.disk().was_hanging() > 0).then_some(()));
    // What was said before may still lie there.
    while manager.next(Duration::from_millis(1)).is_some() {}
    let silent = manager.hears("WATCHDOG=1", Duration::from_secs(4));
    assert_eq!(silent, None, "its disk hangs, and it says that it is alive");
    machine.disk().hang(false);
    manager.hears("WATCHDOG=1", SOON).expect("it is alive again");
    assert!(send.wait().expect("it ends").success(), "what waited for the disk is lost");
}

/// Connects again and again, as agents do that have lost their daemon.
struct Knocks {
    is_enough: Arc<AtomicBool>,
    refused: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<u64>>,
}

impl Knocks {
    fn begin(socket: PathBuf) -> Self {
        let (is_enough, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (enough, count) = (Arc::clone(&is_enough), Arc::clone(&refused));
        let thread = std::thread::spawn(move || {
            let mut all = 0;
            while !enough.load(Ordering::Relaxed) {
                all += 1;
                count.fetch_add(u64::from(UnixStream::connect(&socket).is_err()), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(10));
            }
            all
        });
        Self { is_enough, refused, thread: Some(thread) }
    }

    /// How many there were, and how many of them were refused.
    fn end(mut self) -> (u64, u64) {
        self.is_enough.store(true, Ordering::Relaxed);
        let all = self.thread.take().expect("it runs").join().expect("it ends");
        (all, self.refused.load(Ordering::Relaxed))
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long a real stop takes")]
fn a_stop_under_load_drains_ends_with_zero_in_time_and_refuses_no_agent_on_a_passed_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut alpha, mut beta) = (Host::make(folder.path(), "alpha"), Host::make(folder.path(), "beta"));
    alpha.configure(&[&beta]);
    beta.configure(&[&alpha]);
    let listener = UnixListener::bind(alpha.socket()).expect("a socket");
    alpha.start_on(&listener);
    beta.start();
    alpha.await_peer("beta");
    let traffic = Traffic::start(&[(&alpha, &beta), (&beta, &alpha)], 2, 500);
    let knocks = Knocks::begin(alpha.socket());
    let stops = env_number("AICP_STOPS", 2);
    let mut longest = Duration::ZERO;
    for _ in 0..stops {
        traffic.await_accepted(40);
        let began = Instant::now();
        assert_eq!(alpha.stop().code(), Some(0));
        longest = longest.max(began.elapsed());
        alpha.start_on(&listener);
    }
    traffic.await_accepted(40);
    let (all, refused) = knocks.end();
    let ledger = traffic.finish(&[&alpha, &beta]);
    let repeats = ledger.judge();
    assert_eq!(refused, 0, "of {all} connections some were refused");
    assert!(longest < Duration::from_secs(30), "a stop took {longest:?}");
    println!(
        "{stops} stops, the longest took {longest:?}; {all} connections, none refused; {} messages, none lost, {repeats} \
         came again, marked",
        ledger.accepted.len()
    );
}

#[test]
fn the_first_agent_starts_the_daemon_through_a_socket_that_was_opened_for_it_and_outlives_it() {
    if !is_there("systemd-socket-activate") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let host = single(folder.path());
    let mut holder = Command::new("systemd-socket-activate");
    holder.arg("--listen").arg(host.socket()).arg("--fdname=agent").arg(binary("aicpd"));
    holder.arg("run").arg("--config").arg(host.config()).stdin(Stdio::null()).stderr(Stdio::null());
    let mut daemon = Ended(holder.spawn().expect("it starts"));
    until("the socket is there", SOON, || host.socket().exists().then_some(()));
    let answer = host.ctl(&["ask", "echo", "hello"]);
    assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), "hello");
    referee::hosts::signal(&daemon.0, "TERM");
    let status = until("it stops", SOON, || daemon.0.try_wait().expect("a child"));
    assert_eq!(status.code(), Some(0));
    assert!(host.socket().exists(), "it is not the daemon's to remove");
}

#[test]
fn whoever_waits_for_the_first_start_of_a_node_finds_its_built_in_agent() {
    let folder = tempfile::tempdir().expect("a folder");
    for node in 0..env_number("AICP_FIRSTS", 10) {
        let mut host = Host::make(folder.path(), &format!("alpha-{node}"));
        host.configure(&[]);
        let listener = UnixListener::bind(host.socket()).expect("a socket");
        std::thread::scope(|scope| {
            let socket = host.socket();
            let asking = scope.spawn(move || {
                let mut ctl = Command::new(binary("aicpctl"));
                ctl.arg("--socket").arg(socket).args(["ask", "echo", "hello"]).env_clear().output().expect("it runs")
            });
            host.start_on(&listener);
            let answer = asking.join().expect("it asks");
            assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
        });
    }
}

/// Killed when dropped.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _gone = self.0.wait();
    }
}

#[test]
fn keys_that_the_manager_hands_over_need_not_lie_with_the_state_and_two_are_one_too_many() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = single(folder.path());
    host.start();
    await_agent(&host, "echo");
    assert!(host.ctl(&["send", "echo", "hello", "--wait", "handled"]).status.success());
    assert_eq!(host.stop().code(), Some(0));
    let handed = folder.path().join("credentials");
    std::fs::DirBuilder::new().create(&handed).expect("a folder");
    let identity = host.state().join("identity");
    for (file, credential) in [("node.key", "aicp.node.key"), ("credential.key", "aicp.credential.key")] {
        std::fs::copy(identity.join(file), handed.join(credential)).expect("copied");
    }
    let mut command = Command::new(binary("aicpd"));
    command.arg("run").arg("--config").arg(host.config()).env_clear().env("CREDENTIALS_DIRECTORY", &handed);
    let mut refused = Ended(command.stderr(Stdio::piped()).spawn().expect("aicpd runs"));
    let status = until("it does not start", SOON, || refused.0.try_wait().expect("a child"));
    let told = std::io::read_to_string(refused.0.stderr.take().expect("piped")).expect("text");
    assert!(!status.success() && told.contains("a node has one") && told.contains("fix:"), "{told}");
    for file in ["node.key", "credential.key"] {
        std::fs::remove_file(identity.join(file)).expect("removed");
    }
    host.set_environment("CREDENTIALS_DIRECTORY", handed.clone());
    host.start();
    assert_eq!(host.status()["node_id"], *host.id, "it is another node now");
    await_agent(&host, "echo");
    assert!(host.ctl(&["send", "echo", "hello", "--wait", "handled"]).status.success());
    assert!(!identity.join("node.key").exists() && !identity.join("credential.key").exists());
}

/// The units as they are, but for the program, which lies elsewhere here.
fn units(folder: &Path) -> PathBuf {
    let units = folder.join("units");
    std::fs::create_dir(&units).expect("a folder");
    for name in ["aicpd.service", "aicpd.socket", "aicpd-mesh.socket"] {
        let text = std::fs::read_to_string(root().join("systemd").join(name)).expect("a unit");
        let text = text.replace("/usr/bin/aicpd", &binary("aicpd").display().to_string());
        std::fs::write(units.join(name), text).expect("written");
    }
    units
}

fn analyze(arguments: &[&str], unit: &Path) -> (bool, String) {
    let output = Command::new("systemd-analyze").args(arguments).arg(unit).output().expect("systemd-analyze runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said.into_owned())
}

#[test]
fn the_units_are_sound_and_expose_little_of_the_host() {
    if !is_there("systemd-analyze") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let units = units(folder.path());
    for name in ["aicpd.service", "aicpd.socket", "aicpd-mesh.socket"] {
        let (is_sound, said) = analyze(&["verify", "--man=no"], &units.join(name));
        assert!(is_sound && said.trim().is_empty(), "{name}: {said}");
    }
    let service = units.join("aicpd.service");
    let exposure = |most: &str| {
        let (is_little, said) = analyze(&["security", "--offline=true", "--threshold", most], &service);
        let level = said.lines().find(|line| line.contains("Overall exposure level")).unwrap_or(&said).to_owned();
        println!("{level}");
        (is_little, level)
    };
    let (is_little, said) = exposure("12");
    assert!(is_little, "more than 1.2: {said}");
    let drop_ins = units.join("aicpd.service.d");
    std::fs::create_dir(&drop_ins).expect("a folder");
    let drop_in = root().join("systemd/aicpd-private-network.conf");
    std::fs::copy(drop_in, drop_ins.join("private-network.conf")).expect("copied");
    let (is_little, said) = exposure("5");
    assert!(is_little, "more than 0.5 on passed sockets alone: {said}");
}
