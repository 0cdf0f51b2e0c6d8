//! A daemon for this host, where none answers yet; and the wait for one that restarts in place.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use client::{ClientError, Node};
use config::Flags;
use proto::control::NodeStatus;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::{host, node};
use crate::args::{Common, StateOf};
use crate::failure::{Exit, Failure};
use crate::render::{DIM, Out};

/// How long a daemon may take to start, or to restart in place.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(25);
/// Where packages put units.
const UNITS: [&str; 3] = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
const UNIT: &str = "aicpd.service";
const SOCKET_UNIT: &str = "aicpd.socket";

/// Connects to the daemon, and starts one if none answers.
pub(super) async fn connect(common: &Common, state: &StateOf, out: Out) -> Result<Node, Failure> {
    match Node::connect(common.socket.as_deref()).await {
        Ok(node) => return Ok(node),
        Err(ClientError::NoDaemon { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    if common.socket.is_none() && state.config.is_none() && state.state_dir.is_none() && has_unit() {
        return by_the_unit(common, out).await;
    }
    by_hand(common, state, out).await
}

/// Waits until the daemon has restarted and `is_ready` holds.
pub(super) async fn settled(
    common: &Common,
    what: &str,
    is_ready: impl Fn(&NodeStatus) -> bool,
) -> Result<NodeStatus, Failure> {
    let until = Instant::now() + PATIENCE;
    loop {
        // Each time anew: whoever is on its way down answers nobody.
        if let Ok(node) = Node::connect(common.socket.as_deref()).await
            && let Ok(Ok(status)) = tokio::time::timeout(PATIENCE, node.status()).await
            && is_ready(&status)
        {
            return Ok(status);
        }
        if Instant::now() >= until {
            return Err(Failure::new(Exit::Timeout, format!("{what}: not within {} s", PATIENCE.as_secs()))
                .fix("aicpctl status, and the daemon's log"));
        }
        sleep(LOOK).await;
    }
}

fn has_unit() -> bool {
    let runs = Path::new("/run/systemd/system").is_dir();
    let is_there = |unit: &str| UNITS.iter().any(|folder| Path::new(folder).join(unit).exists());
    rustix::process::geteuid().is_root() && runs && is_there(UNIT)
}

/// Where the unit starts with the first agent alone, says how other nodes find it there before.
pub(super) async fn remind_of_boot(common: &Common, out: Out) {
    if common.socket.is_some() || !has_unit() {
        return;
    }
    let asked = Command::new("systemctl").args(["is-enabled", "--quiet", UNIT]).stdin(Stdio::null()).status().await;
    if asked.is_ok_and(|status| !status.success()) {
        out.talk("once this host was down, the daemon starts with the first agent; to have it there at once: systemctl enable aicpd");
    }
}

async fn by_the_unit(common: &Common, out: Out) -> Result<Node, Failure> {
    out.talk(format_args!("no daemon answers: systemctl start {SOCKET_UNIT} {UNIT}"));
    let is_socket = UNITS.iter().any(|folder| Path::new(folder).join(SOCKET_UNIT).exists());
    let units = [SOCKET_UNIT, UNIT];
    let started = Command::new("systemctl").arg("start").args(units.iter().skip(usize::from(!is_socket))).status();
    if !started.await?.success() {
        return Err(Failure::new(Exit::Unreachable, "systemctl did not start the daemon")
            .fix(format!("systemctl status {UNIT}; journalctl -u {UNIT}")));
    }
    settled(common, "the daemon starts", |_| true).await?;
    node(common).await
}

async fn by_hand(common: &Common, state: &StateOf, out: Out) -> Result<Node, Failure> {
    let flags = Flags {
        config: state.config.clone(),
        state_dir: state.state_dir.clone(),
        socket: common.socket.clone(),
        ..Flags::default()
    };
    let config = host::configuration(common, state)?;
    DirBuilder::new().recursive(true).mode(0o700).create(&config.state_dir)?;
    let path = config.state_dir.join("aicpd.log");
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
    out.talk(format_args!(
        "no daemon answers: starting aicpd {DIM}(state and log in {}){DIM:#}",
        config.state_dir.display()
    ));
    out.talk(format_args!(
        "it runs until this host goes down, and aicpctl up starts it again{}",
        once_installed(state)
    ));
    let mut daemon = spawn(&flags, log)?;
    let until = Instant::now() + PATIENCE;
    loop {
        if let Ok(node) = Node::connect(Some(&config.socket.path)).await {
            // Also where nobody looks for it by itself.
            if common.socket.is_none() && Node::connect(None).await.is_err() {
                return Err(Failure::new(
                    Exit::Unreachable,
                    "the daemon runs, and its socket is not where it is looked for",
                )
                .fix(format!("--socket {}", config.socket.path.display())));
            }
            return Ok(node);
        }
        if let Some(status) = daemon.try_wait()? {
            let how = status.code().map_or_else(|| format!("by signal {:?}", status.signal()), |code| code.to_string());
            return Err(Failure::new(Exit::Unreachable, format!("aicpd did not start: it ended with {how}"))
                .why(last_line(&path))
                .fix(format!("the log: {}", path.display())));
        }
        if Instant::now() >= until {
            return Err(
                Failure::new(Exit::Unreachable, "aicpd does not answer").fix(format!("the log: {}", path.display()))
            );
        }
        sleep(LOOK).await;
    }
}

/// Whose state it is once there is a service.
fn once_installed(state: &StateOf) -> &'static str {
    let is_usual = rustix::process::geteuid().is_root() && state.state_dir.is_none();
    if is_usual { "; a service, once it is installed, goes on with this state" } else { "" }
}

/// The daemon beside this program, else the one that is found by its name. It outlives this process.
fn spawn(flags: &Flags, log: File) -> Result<Child, Failure> {
    let beside = std::env::current_exe().ok().and_then(|us| Some(us.parent()?.join("aicpd")));
    let program = beside.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from("aicpd"));
    let mut command = Command::new(&program);
    command.arg("run");
    let given = [("--config", &flags.config), ("--state-dir", &flags.state_dir), ("--socket", &flags.socket)];
    for (flag, path) in given {
        if let Some(path) = path {
            command.arg(flag).arg(path);
        }
    }
    // A group of its own: what is typed at this terminal is not for it.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(false);
    command.spawn().map_err(|error| {
        Failure::new(Exit::Unreachable, format!("{} cannot be started: {error}", program.display()))
            .fix("put aicpd beside aicpctl, or into a folder of PATH")
    })
}

fn last_line(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned()
}
