//! What is asked of this host itself, beside the daemon: where the daemon keeps its state, which process it is, and
//! what its kernel allows.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use client::Node;
use config::{Config, Flags};
use proto::control::NodeStatus;
use proto::limits::UDP_BUFFER_BYTES;

use crate::args::{Common, StateOf};
use crate::failure::{Exit, Failure};

/// What the daemon is called where systemd runs it.
pub(super) const UNIT: &str = "aicpd.service";
/// The most that a UDP socket may have for what it receives, and for what it sends.
pub(super) const BUFFERS: [&str; 2] = ["net.core.rmem_max", "net.core.wmem_max"];

/// What the configuration comes to, as the daemon would read it.
pub(super) fn configuration(common: &Common, asked: &StateOf) -> Result<Config, Failure> {
    let (config, state_dir, socket) = (asked.config.clone(), asked.state_dir.clone(), common.socket.clone());
    config::load(&Flags { config, state_dir, socket, ..Flags::default() })
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()).fix("aicpd check-config says the same"))
}

/// The configuration that the daemon runs with, unless another one was said.
pub(super) async fn as_the_daemon(common: &Common, asked: &StateOf) -> StateOf {
    let (config, state_dir) = (asked.config.clone(), asked.state_dir.clone());
    if config.is_some() || state_dir.is_some() {
        return StateOf { config, state_dir };
    }
    let told = match Node::connect(common.socket.as_deref()).await {
        Ok(node) => node.config().await.ok().map(|told| PathBuf::from(told.file)),
        Err(_) => None,
    };
    StateOf { config: told.filter(|file| file.is_file()), state_dir }
}

/// Where the state is: as it was said, or as the daemon that answers says, or as the configuration does.
pub(super) fn state_dir(common: &Common, asked: &StateOf, status: Option<&NodeStatus>) -> Result<PathBuf, Failure> {
    let is_said = asked.state_dir.is_some() || asked.config.is_some();
    match status.map(|status| &status.state_dir).filter(|path| !is_said && !path.is_empty()) {
        Some(path) => Ok(path.into()),
        None => configuration(common, asked).map(|config| config.state_dir),
    }
}

/// How the daemon is, if one answers.
pub(super) async fn status(common: &Common) -> Option<NodeStatus> {
    Node::connect(common.socket.as_deref()).await.ok()?.status().await.ok()
}

/// Who is behind the socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind {
    pub(super) process: i32,
    pub(super) uid: u32,
}

/// The daemon's process, if it can be found out.
pub(super) async fn daemon_process(common: &Common) -> Option<Behind> {
    for path in client::socket_candidates(common.socket.as_deref()) {
        let Ok(stream) = tokio::net::UnixStream::connect(path).await else { continue };
        let about = stream.peer_cred().ok()?;
        let process = about.pid()?;
        if is_daemon(process) {
            return Some(Behind { process, uid: about.uid() });
        }
        // Whoever opened the socket for the daemon stands behind it as far as the kernel knows.
        return main_process().await;
    }
    None
}

fn is_daemon(process: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|name| name.trim() == "aicpd")
}

/// The process that systemd started for the unit.
async fn main_process() -> Option<Behind> {
    if !has_systemd() {
        return None;
    }
    let mut asked = tokio::process::Command::new("systemctl");
    asked.args(["show", "--property=MainPID", "--value", UNIT]).stdin(Stdio::null()).kill_on_drop(true);
    let said = asked.output().await.ok()?;
    let process = String::from_utf8_lossy(&said.stdout).trim().parse().ok().filter(|process| is_daemon(*process))?;
    let uid = std::fs::metadata(format!("/proc/{process}")).ok()?.uid();
    Some(Behind { process, uid })
}

/// A number that the kernel keeps, by its dotted name.
pub(super) fn kernel_number(name: &str) -> Option<u64> {
    std::fs::read_to_string(kernel_file(name)).ok()?.trim().parse().ok()
}

/// Where the kernel keeps it.
pub(super) fn kernel_file(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name.replace('.', "/"))
}

/// The smaller of both buffers that a UDP socket may have here, if it is less than QUIC wants.
pub(super) fn small_buffer() -> Option<u64> {
    let wanted = u64::try_from(UDP_BUFFER_BYTES).unwrap_or(u64::MAX);
    BUFFERS.iter().filter_map(|name| kernel_number(name)).min().filter(|bytes| *bytes < wanted)
}

/// Whether systemd runs this host.
pub(super) fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}
