//! Real daemons for tests: built from this tree, each with a folder of its own, on loopback, ended with the test.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::net::End;
use crate::root;

/// A binary of this workspace. Panics if it was not built from this tree.
///
/// # Panics
/// Says what to run.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    static BUILT: OnceLock<Vec<(String, PathBuf, bool)>> = OnceLock::new();
    let built = BUILT.get_or_init(binaries);
    let (_, path, is_fresh) = built.iter().find(|(known, ..)| known == name).expect("a binary of this workspace");
    assert!(*is_fresh, "{name} was not built from this tree: run `cargo build --workspace --bins --locked` first");
    path.clone()
}

/// Asks cargo for all binaries, and whether they were there already as they are now.
fn binaries() -> Vec<(String, PathBuf, bool)> {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--workspace", "--bins", "--locked", "--offline", "--quiet", "--message-format=json"]);
    // The same folder and profile as this very test.
    let exe = std::env::current_exe().expect("a path");
    let profile = exe.parent().and_then(Path::parent).expect("target/profile/deps/test");
    build.arg("--target-dir").arg(profile.parent().expect("target"));
    if profile.file_name().is_some_and(|name| name == "release") {
        build.arg("--release");
    }
    let output = build.current_dir(root()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(said) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let (Some(name), Some(path)) = (said["target"]["name"].as_str(), said["executable"].as_str()) else { continue };
        found.push((name.to_owned(), path.into(), said["fresh"].as_bool() == Some(true)));
    }
    found
}

/// How long a daemon may take to open its door, to link with another, or to stop, which is promised within this time.
const PATIENCE: Duration = Duration::from_secs(30);

/// One daemon and its folder. Killed when dropped.
#[derive(Debug)]
pub struct Host {
    /// What it is called.
    pub name: String,
    /// Its node id.
    pub id: String,
    /// Where it listens.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    level: String,
    /// The end of a wire at which it lives; without one, it lives where the test does.
    end: Option<End>,
    folder: PathBuf,
    child: Option<Child>,
    /// The library that moves its clock, and how far.
    clock: Option<(PathBuf, i64)>,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Host {
    /// Makes a folder and an identity, unless they are there. Nothing runs yet.
    ///
    /// # Panics
    /// If that fails.
    #[must_use]
    pub fn make(parent: &Path, name: &str) -> Self {
        let folder = parent.join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let mut init = bare(Command::new(binary("aicpd")));
        init.args(["init", "--name", name, "--state-dir"]).arg(folder.join("state"));
        let made = init.output().expect("aicpd runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let id = String::from_utf8(made.stdout).expect("text").trim().to_owned();
        let (address, port) = (Ipv4Addr::LOCALHOST.into(), free_port());
        let (name, level, environment) = (name.into(), "debug".into(), Vec::new());
        Self { name, id, address, port, level, end: None, folder, child: None, clock: None, environment }
    }

    /// From its next start on it lives at an end of a wire.
    pub fn live_at(&mut self, end: &End) {
        self.address = end.address;
        self.end = Some(end.clone());
    }

    /// From its next configuration on it logs each frame that it hands to a link.
    pub fn log_frames(&mut self) {
        self.level = "debug,daemon::peer::writer=trace".into();
    }

    /// Two hosts that know each other, running and linked.
    ///
    /// # Panics
    /// If they are not linked within a few seconds.
    #[must_use]
    pub fn two(parent: &Path) -> (Self, Self) {
        let mut alpha = Self::make(parent, "alpha");
        let mut beta = Self::make(parent, "beta");
        alpha.configure(&[&beta]);
        beta.configure(&[&alpha]);
        alpha.start();
        beta.start();
        alpha.await_peer("beta");
        beta.await_peer("alpha");
        (alpha, beta)
    }

    /// Writes the configuration.
    ///
    /// # Panics
    /// If that fails.
    pub fn configure(&self, peers: &[&Self]) {
        let peers: Vec<String> = peers.iter().map(|peer| peer.pin()).collect();
        self.configure_with(&peers);
    }

    /// As it stands in the `mesh.peers` of others.
    #[must_use]
    pub fn pin(&self) -> String {
        format!("{}={}@{}:{}", self.name, self.id, self.address, self.port)
    }

    /// Writes the configuration, with peers as they stand there.
    ///
    /// # Panics
    /// If that fails.
    pub fn configure_with(&self, peers: &[String]) {
        self.configure_pins(peers, &self.level);
    }

    /// The same for peers of any kind, and with another level of the log.
    ///
    /// # Panics
    /// If the configuration cannot be written.
    pub fn configure_pins(&self, peers: &[String], level: &str) {
        let text = format!(
            "[node]\nname = \"{}\"\nstate_dir = {:?}\n\n[socket]\npath = {:?}\n\n[mesh]\nlisten = \"{}:{}\"\npeers = {:?}\n\n[log]\nlevel = \"{level}\"\n",
            self.name,
            self.folder.join("state"),
            self.socket(),
            self.address,
            self.port,
            peers,
        );
        fs::write(self.config(), text).expect("a file");
    }

    /// Writes a configuration that says nothing about other nodes or the network.
    ///
    /// # Panics
    /// If that fails.
    pub fn configure_open(&self) {
        let (state, socket) = (self.folder.join("state"), self.socket());
        let text = format!(
            "[node]\nstate_dir = {state:?}\n\n[socket]\npath = {socket:?}\n\n[log]\nlevel = {:?}\n",
            self.level
        );
        fs::write(self.config(), text).expect("a file");
    }

    /// Adds to the configuration that was written.
    ///
    /// # Panics
    /// If that fails.
    pub fn configure_also(&self, more: &str) {
        let text = fs::read_to_string(self.config()).expect("a configuration");
        fs::write(self.config(), text + more).expect("a file");
    }

    /// Where its configuration lies.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join("aicpd.toml")
    }

    /// Where its agents find it.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("agent.sock")
    }

    /// Where it keeps what must survive.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// From the next start on its wall clock is that many seconds away from this one.
    pub fn set_clock(&mut self, seconds: i64) {
        let library = self.clock.take().map_or_else(|| crate::clock::library(&self.folder), |(library, _)| library);
        self.clock = Some((library, seconds));
    }

    /// Something that the daemon finds in its environment from the next start on.
    pub fn set_environment(&mut self, name: &'static str, value: PathBuf) {
        self.environment.push((name, value));
    }

    /// Starts the daemon, and waits until its door is open.
    ///
    /// # Panics
    /// If it does not open.
    pub fn start(&mut self) {
        let program = binary("aicpd");
        let command = match &self.end {
            Some(end) => end.command(&program),
            None => bare(Command::new(&program)),
        };
        self.launch(command);
    }

    /// The same, by a shell that leaves it so many open files: those that it begins with, and those that it may have.
    ///
    /// # Panics
    /// If it does not open.
    pub fn start_with_files(&mut self, soft: u64, hard: u64) {
        let mut shell = Command::new("/bin/sh");
        let limits = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"");
        shell.arg("-c").arg(limits).arg(binary("aicpd"));
        self.launch(shell);
    }

    /// The same, by a program that sets something up and then becomes the daemon.
    ///
    /// # Panics
    /// If it does not open.
    pub fn start_under(&mut self, program: &[&str]) {
        let [first, words @ ..] = program else { return self.start() };
        let mut command = bare(Command::new(first));
        command.args(words).arg(binary("aicpd"));
        self.launch(command);
    }

    /// The same, with the agents' socket open already, as a service manager passes it: it outlives the daemon.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_on(&mut self, listener: &UnixListener) {
        let mut shell = bare(Command::new("/bin/sh"));
        // The socket comes as standard input, and the shell's process is the daemon's.
        let pass = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=agent exec \"$0\" \"$@\"";
        shell.arg("-c").arg(pass).arg(binary("aicpd"));
        let copy = listener.try_clone().expect("a descriptor");
        self.launch_with(shell, Stdio::from(OwnedFd::from(copy)));
    }

    fn launch(&mut self, command: Command) {
        self.launch_with(command, Stdio::null());
    }

    fn launch_with(&mut self, mut command: Command, input: Stdio) {
        let log = File::options().create(true).append(true).open(self.folder.join("log")).expect("a file");
        let clock = self.clock.iter().flat_map(|(library, offset)| {
            [("LD_PRELOAD", library.display().to_string()), (crate::clock::OFFSET, offset.to_string())]
        });
        let child = command
            .arg("run")
            .arg("--config")
            .arg(self.config())
            .envs(clock)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(input)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("aicpd starts");
        self.child = Some(child);
        let socket = self.socket();
        until("the daemon's door opens", PATIENCE, || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok().then_some(())
        });
    }

    /// Ends it as a power switch would, but for the disk.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Asks it to stop, and waits for the end.
    ///
    /// # Panics
    /// If it does not stop within thirty seconds.
    pub fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        signal(&child, "TERM");
        until("the daemon stops", PATIENCE, || child.try_wait().expect("a child"))
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// If it does not within half a minute.
    pub fn ended(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("it runs");
        let status = until("the daemon ends", PATIENCE, || child.try_wait().expect("a child"));
        self.child = None;
        status
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Runs `aicpctl` against it.
    ///
    /// # Panics
    /// If it does not run at all.
    #[must_use]
    pub fn ctl(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = bare(Command::new(binary("aicpctl")));
        command.arg("--socket").arg(self.socket()).args(arguments).env("NO_COLOR", "1");
        command.output().expect("aicpctl runs")
    }

    /// Runs `aicpd` over its state folder, beside the daemon or without it.
    ///
    /// # Panics
    /// If it does not run at all.
    #[must_use]
    pub fn aicpd(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = bare(Command::new(binary("aicpd")));
        command.args(arguments).arg("--state-dir").arg(self.state()).output().expect("aicpd runs")
    }

    /// `aicpd fsck --json`: its exit code and what it says.
    ///
    /// # Panics
    /// If it says nothing.
    #[must_use]
    pub fn fsck(&self) -> (i32, serde_json::Value) {
        let output = self.aicpd(&["fsck", "--json"]);
        let said = serde_json::from_slice(&output.stdout);
        (output.status.code().expect("an end"), said.unwrap_or_else(|_| panic!("{output:?}")))
    }

    /// `aicpctl status --json`.
    ///
    /// # Panics
    /// If it fails.
    #[must_use]
    pub fn status(&self) -> serde_json::Value {
        let output = self.ctl(&["status", "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Messages whose end its agents await.
    ///
    /// # Panics
    /// If it does not tell.
    #[must_use]
    pub fn awaits(&self) -> u64 {
        self.status()["awaiting"].as_u64().expect("a number")
    }

    /// Waits until a peer is linked.
    ///
    /// # Panics
    /// If it is not within half a minute.
    pub fn await_peer(&self, name: &str) {
        until("the peer is linked", PATIENCE, || {
            let status = self.status();
            let peers = status["peers"].as_array()?.clone();
            peers.iter().any(|peer| peer["name"] == name && peer["state"] == "up").then_some(())
        });
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            if coverage().is_some() {
                // Who is killed does not say which lines it reached.
                signal(&child, "TERM");
                for _ in 0..100 {
                    if !matches!(child.try_wait(), Ok(None)) {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
            let _ended = child.kill();
            let _gone = child.wait();
        }
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "whoever reads why a test failed wants to see it")]
            let show = |line: &str| eprintln!("{line}");
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            show(&format!("-- the last lines of {}'s log", self.name));
            tail.iter().rev().for_each(|line| show(line));
        }
    }
}

/// Copies a folder with owners and modes, in place of what is there.
///
/// # Panics
/// If that fails.
pub fn copy_folder(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).expect("it can be removed");
    }
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp runs").success());
}

/// Sends a signal by its name.
///
/// # Panics
/// If `kill` does not run.
pub fn signal(child: &Child, name: &str) {
    signal_process(child.id(), name);
}

/// The same, to a process by its number.
///
/// # Panics
/// If `kill` does not run.
pub fn signal_process(process: u32, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status();
    assert!(sent.expect("kill runs").success());
}

/// Nothing of our environment reaches what is tested, but where it is to say which of its lines were reached.
fn bare(mut command: Command) -> Command {
    command.env_clear().envs(coverage().map(|file| (COVERAGE, file)));
    command
}

/// Set where lines are counted.
const COVERAGE: &str = "LLVM_PROFILE_FILE";

#[expect(clippy::disallowed_methods, reason = "whoever counts lines says so by the environment")]
fn coverage() -> Option<std::ffi::OsString> {
    std::env::var_os(COVERAGE)
}

/// A number from the environment, for whoever asks for more than is done by default.
#[expect(clippy::disallowed_methods, reason = "how often is asked for by whoever runs the test")]
#[must_use]
pub fn env_number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}

/// A UDP port that nobody has at the moment.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a port");
    socket.local_addr().expect("an address").port()
}

/// Waits for something that a real process does.
///
/// # Panics
/// If it does not happen in time.
#[expect(clippy::disallowed_methods, reason = "real processes are waited for by a real clock")]
pub fn until<T>(what: &str, most: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < most, "{what}: not within {most:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
