//! Nodes join a mesh, know each other, and leave it: with real daemons, by the commands that people type.

mod doors;
mod hostile;
mod lists;
mod membership;
mod tickets;
mod trust;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use referee::hosts::{Host, binary, free_port, until};
use referee::members::{all_are_linked, alone, echo_answers, mesh, said, ticket};
use referee::net::Wire;

/// A user with nothing but the two programs. Daemons that they start end with this.
struct User {
    home: PathBuf,
}

impl User {
    fn new(parent: &Path, name: &str) -> Self {
        let home = parent.join(name);
        fs::create_dir_all(&home).expect("a folder");
        Self { home }
    }

    fn ctl(&self, words: &[&str]) -> Output {
        let mut ctl = Command::new(binary("aicpctl"));
        ctl.arg("--socket").arg(self.home.join("agent.sock")).args(words).env_clear();
        ctl.env("PATH", "/usr/bin:/bin").env("HOME", &self.home).env("NO_COLOR", "1").output().expect("aicpctl runs")
    }

    fn state(&self) -> String {
        self.home.join("state").display().to_string()
    }

    /// The daemons that work with a state folder of this user's.
    fn daemons(&self) -> Vec<String> {
        let state = self.state();
        let processes = fs::read_dir("/proc").expect("/proc").filter_map(Result::ok);
        let is_ours = |line: Vec<u8>| String::from_utf8_lossy(&line).split('\0').any(|word| word == state);
        let pids = processes.filter_map(|entry| entry.file_name().into_string().ok());
        pids.filter(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(is_ours)).collect()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        for pid in self.daemons() {
            let _ended = Command::new("kill").args(["-KILL", &pid]).status();
        }
    }
}

#[test]
fn two_commands_on_two_hosts_that_have_nothing_give_a_message_both_ways() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alpha, beta) = (User::new(folder.path(), "a"), User::new(folder.path(), "b"));
    let place = |user: &User| [format!("127.0.0.1:{}", free_port()), user.state()];
    let [listen, state] = place(&alpha);
    let words = ["up", "--invite", "--mesh", "lab", "--name", "alpha", "--listen", &listen, "--state-dir", &state];
    let told = said(&alpha.ctl(&words));
    assert!(told.contains("✓ mesh lab made") && told.contains("✓ node alpha"), "{told}");
    let command = told.lines().find_map(|line| line.strip_prefix("aicpctl ")).expect("what to type on the other host");
    let [listen, state] = place(&beta);
    let mut words: Vec<&str> = command.split(' ').collect();
    words.extend(["--name", "beta", "--listen", &listen, "--state-dir", &state]);
    let begun = Instant::now();
    let told = said(&beta.ctl(&words));
    println!(
        "from join to the first message, the start of the daemon included: {:.2} s",
        begun.elapsed().as_secs_f64()
    );
    assert!(told.contains("✓ joined mesh lab as beta (alpha's key matches the ticket)"), "{told}");
    assert!(told.contains("✓ first message: echo@alpha answered in"), "{told}");
    // Alpha has to hear of beta's agent first.
    until("an answer the other way", Duration::from_secs(20), || {
        let answer = alpha.ctl(&["ask", "echo@beta", "and back"]);
        (answer.status.success() && answer.stdout.starts_with(b"and back")).then_some(())
    });
    let status = said(&beta.ctl(&["status"]));
    assert!(status.contains("mesh lab"), "{status}");
}

#[test]
fn two_hosts_on_a_wire_find_each_other_by_the_addresses_of_their_interfaces() {
    let Some(wire) = Wire::lay() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut hosts: Vec<Host> = ["alpha", "beta"].iter().map(|name| Host::make(folder.path(), name)).collect();
    for (host, end) in hosts.iter_mut().zip(wire.ends()) {
        host.live_at(end);
        host.configure_open();
        host.start();
    }
    let [alpha, beta] = hosts.as_slice() else { panic!("two hosts") };
    assert_eq!(alpha.status()["listen"].as_array().expect("a list").len(), 0, "nothing listens before it is up");
    said(&alpha.ctl(&["up"]));
    said(&beta.ctl(&["join", &ticket(alpha)]));
    echo_answers(alpha, "echo@beta");
    echo_answers(beta, "echo@alpha");
    let peers = referee::members::peers(beta);
    let addresses = peers["peers"][0]["addresses"].as_array().expect("addresses").clone();
    assert_eq!(addresses, ["10.77.0.1:7727"], "its loopback is nobody else's business");
}

#[test]
fn a_member_is_called_and_listens_as_before_after_a_restart_of_its_daemon() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hosts = mesh(folder.path(), &["alpha", "beta"]);
    all_are_linked(&hosts);
    let before = hosts[1].status();
    assert!(hosts[1].stop().success());
    hosts[1].start();
    all_are_linked(&hosts);
    let after = hosts[1].status();
    for key in ["node_name", "node_id", "mesh_id", "mesh_name", "listen", "certificate_until_ms"] {
        assert_eq!(before[key], after[key], "{key}");
    }
}

#[test]
fn agents_are_never_refused_while_the_daemon_restarts_in_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let alpha = alone(folder.path(), "alpha");
    let socket = alpha.socket();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let knocking = std::thread::spawn(move || {
        let mut knocks = 0_u32;
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            std::os::unix::net::UnixStream::connect(&socket).map_err(|error| format!("{error} after {knocks}"))?;
            knocks += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok::<u32, String>(knocks)
    });
    // Each of them restarts it.
    for command in ["up", "down", "up"] {
        said(&alpha.ctl(&[command]));
    }
    stop.send(()).expect("it knocks");
    let knocks = knocking.join().expect("a thread").expect("nobody is refused");
    assert!(knocks > 20, "{knocks}");
}
