//! Two real daemons, built like the bench and lying beside it, linked over loopback and ended with it; and what the
//! system tells of a process. It decides nothing about what is measured.

use std::fs::{self, File};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use client::Node;
use tokio::time::Instant;

use crate::times::since;

/// Ticks in a second, in which the system counts processor time: fixed by the kernel's interface.
const TICKS: f64 = 100.0;
/// Longest time that anything may take to start.
const START_WITHIN: Duration = Duration::from_secs(20);
/// Longest time that a daemon may take to read its journal.
const READY_WITHIN: Duration = Duration::from_secs(600);

/// One daemon and its folder. Killed when dropped.
#[derive(Debug)]
pub struct Host {
    name: &'static str,
    id: String,
    port: u16,
    folder: PathBuf,
    child: Option<Child>,
}

/// The folder that was named on the command line, or the usual one, empty and with its whole path.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn folder(bench: &str) -> PathBuf {
    let named = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let folder = named.join(bench);
    // What an earlier run left would be kept.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder.canonicalize().unwrap()
}

/// Two that know each other, running and linked: alpha and beta.
///
/// # Panics
/// If they are not linked within a while.
pub async fn two(parent: &Path) -> (Host, Host) {
    let (mut alpha, mut beta) = (Host::make(parent, "alpha"), Host::make(parent, "beta"));
    alpha.start(Some(&beta));
    beta.start(Some(&alpha));
    alpha.is_linked().await;
    beta.is_linked().await;
    (alpha, beta)
}

impl Host {
    /// One without a peer, running.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn alone(parent: &Path) -> Self {
        let mut host = Self::make(parent, "alpha");
        host.start(None);
        host.is_ready().await;
        host
    }

    fn make(parent: &Path, name: &'static str) -> Self {
        let folder = parent.join(name);
        fs::create_dir_all(&folder).unwrap();
        let mut init = aicpd();
        let made = init.args(["init", "--name", name, "--state-dir"]).arg(folder.join("state")).output();
        let made = made.unwrap_or_else(|error| panic!("aicpd, which `cargo build --release --bins` makes: {error}"));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let id = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let port = UdpSocket::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr()).unwrap().port();
        Self { name, id, port, folder, child: None }
    }

    /// Starts it, with its state as it is.
    ///
    /// # Panics
    /// If that fails.
    pub fn start(&mut self, peer: Option<&Self>) {
        let config = self.folder.join("aicpd.toml");
        let peer = peer.map(|peer| format!("\"{}={}@127.0.0.1:{}\"", peer.name, peer.id, peer.port));
        let text = format!(
            "[node]\nname = \"{}\"\nstate_dir = {:?}\n[socket]\npath = {:?}\n[mesh]\nlisten = \"127.0.0.1:{}\"\n\
             peers = [{}]\n",
            self.name,
            self.state(),
            self.socket(),
            self.port,
            peer.unwrap_or_default()
        );
        fs::write(&config, text).unwrap();
        let log = File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut run = aicpd();
        run.arg("run").arg("--config").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(run.spawn().unwrap());
    }

    async fn is_linked(&self) {
        let begun = Instant::now();
        loop {
            if let Ok(node) = Node::connect(Some(&self.socket())).await {
                let status = node.status().await.unwrap();
                if status.peers.iter().any(|peer| peer.state == "up") {
                    return;
                }
            }
            assert!(begun.elapsed() < START_WITHIN, "{} is not linked", self.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it answers an agent, and says how long that took, in µs.
    ///
    /// # Panics
    /// If it takes minutes.
    pub async fn is_ready(&self) -> f64 {
        let begun = Instant::now();
        loop {
            if let Ok(node) = Node::connect(Some(&self.socket())).await
                && node.ping().await.is_ok()
            {
                return since(begun);
            }
            assert!(begun.elapsed() < READY_WITHIN, "{} is not ready", self.name);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Panics
    /// If it does not stop in peace.
    pub fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        let sent = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(sent.success());
        let ended = child.wait().unwrap();
        assert!(ended.success(), "{}", fs::read_to_string(self.folder.join("log")).unwrap_or_default());
    }

    /// Where it keeps what must survive.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// Where its agents find it.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("agent.sock")
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ended = child.kill();
            let _gone = child.wait();
        }
    }
}

fn aicpd() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap().with_file_name("aicpd"));
    command.env_clear();
    command
}

/// Processor time that a process has used, in µs, to a hundredth of a second.
///
/// # Panics
/// If there is no such process.
#[must_use]
pub fn processor_us(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // Its name is in brackets and may hold anything; user and system time are the 12th and 13th behind it.
    let (_, behind) = stat.rsplit_once(')').unwrap();
    let used: f64 = behind.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    used * 1_000_000.0 / TICKS
}

/// A figure that the system keeps of a process, in KiB: `VmRSS`, `VmHWM`, or `Pss`; `None` if it does not tell.
#[must_use]
pub fn memory_kib(process: u32, what: &str) -> Option<f64> {
    let file = if what == "Pss" { "smaps_rollup" } else { "status" };
    let text = fs::read_to_string(format!("/proc/{process}/{file}")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Bytes of one kind that a process has read or written, as the system counts them: `wchar`, `write_bytes`.
///
/// # Panics
/// If there is no such process, or it is not ours.
#[must_use]
pub fn io_bytes(process: u32, what: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{process}/io")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'));
    line.and_then(|figure| figure.trim().parse().ok()).unwrap()
}
