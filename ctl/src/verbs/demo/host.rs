//! One daemon of the demo: its folder, its configuration, its process. The process is killed when this is dropped.

use std::net::UdpSocket;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use client::{AgentId, Node};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::{LOOK_EVERY, tail};
use crate::failure::{Exit, Failure};

/// How long a daemon may take until it answers.
const START_WITHIN: Duration = Duration::from_secs(15);
/// How long it may take to stop by itself.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// The demo's two daemons.
pub(super) struct Pair {
    pub(super) alpha: Host,
    pub(super) beta: Host,
}

/// One daemon.
pub(super) struct Host {
    name: &'static str,
    program: PathBuf,
    folder: PathBuf,
    id: AgentId,
    process: Option<Child>,
}

/// Makes both identities, and configurations in which each pins the other.
pub(super) async fn prepare(program: &Path, folder: &Path) -> Result<Pair, Failure> {
    let alpha = Host::init("alpha", program, folder).await?;
    let beta = Host::init("beta", program, folder).await?;
    // Both are held before either is let go, so that they differ.
    let sockets = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
    let [a, b] = &sockets;
    let (a, b) = (a.local_addr()?.port(), b.local_addr()?.port());
    drop(sockets);
    alpha.configure(a, &beta, b)?;
    beta.configure(b, &alpha, a)?;
    Ok(Pair { alpha, beta })
}

impl Host {
    async fn init(name: &'static str, program: &Path, folder: &Path) -> Result<Self, Failure> {
        let folder = folder.join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let made = Command::new(program)
            .args(["init", "--name", name, "--state-dir"])
            .arg(folder.join("state"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&made.stdout).trim().to_owned();
        let id = said.parse().ok().filter(|_| made.status.success());
        let id = id.ok_or_else(|| {
            let why = String::from_utf8_lossy(&made.stderr).trim().to_owned();
            Failure::new(Exit::Failed, format!("`aicpd init` did not make an identity for {name}"))
                .why(format!("it ended with {} and said: {said} {why}", made.status))
        })?;
        Ok(Self { name, program: program.into(), folder, id, process: None })
    }

    fn configure(&self, port: u16, peer: &Self, peer_port: u16) -> Result<(), Failure> {
        let text = format!(
            "[node]\nname = {}\nstate_dir = {}\n\n[socket]\npath = {}\n\n[mesh]\nlisten = {}\npeers = [{}]\n\n\
             [log]\nlevel = \"info\"\n",
            toml_string(self.name),
            toml_string(&self.folder.join("state").display().to_string()),
            toml_string(&self.socket().display().to_string()),
            toml_string(&format!("127.0.0.1:{port}")),
            toml_string(&format!("{}={}@127.0.0.1:{peer_port}", peer.name, peer.id)),
        );
        Ok(std::fs::write(self.configuration(), text)?)
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("aicpd.toml")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("aicpd.log")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join("agent.sock")
    }

    pub(super) fn short_id(&self) -> String {
        self.id.short()
    }

    /// Starts the daemon and waits until it answers.
    pub(super) async fn start(&mut self) -> Result<(), Failure> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        let process = Command::new(&self.program)
            .args(["run", "--config"])
            .arg(self.configuration())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        self.process = Some(process);
        let ends = Instant::now() + START_WITHIN;
        loop {
            let answer = match Node::connect(Some(&self.socket())).await {
                Ok(node) => node.status().await.map(drop),
                Err(error) => Err(error),
            };
            let Err(error) = answer else { return Ok(()) };
            if let Some(status) = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten()) {
                return Err(self.explain(Failure::new(Exit::Failed, format!("{} ended with {status}", self.name))));
            }
            if Instant::now() >= ends {
                let what = format!("{} does not answer: {error}", self.name);
                return Err(self.explain(Failure::new(Exit::Unreachable, what)));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// SIGKILL, as a power cut would end it.
    pub(super) async fn kill(&mut self) -> Result<(), Failure> {
        if let Some(mut process) = self.process.take() {
            process.kill().await?;
        }
        Ok(())
    }

    /// SIGTERM, and the time until it had drained.
    pub(super) async fn stop(mut self) -> Result<Duration, Failure> {
        let Some(process) = &mut self.process else { return Ok(Duration::ZERO) };
        let begun = Instant::now();
        let pid = process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM).map_err(std::io::Error::from)?;
        }
        let status: Option<ExitStatus> = match tokio::time::timeout(STOP_WITHIN, process.wait()).await {
            Ok(status) => Some(status?),
            Err(_) => None,
        };
        match status {
            Some(status) if status.success() => Ok(begun.elapsed()),
            Some(status) => Err(self.explain(Failure::new(
                Exit::Failed,
                format!("{} ended with {status} when it was asked to stop", self.name),
            ))),
            None => Err(self.explain(Failure::new(Exit::Timeout, format!("{} did not stop", self.name)))),
        }
    }

    /// Adds what the daemon logged last.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        let log = tail(&self.log());
        let before = failure.why.clone().map(|why| format!("{why}; ")).unwrap_or_default();
        failure.why(format!("{before}{} logged: {log}", self.name)).fix("aicpctl demo --keep, and read the logs")
    }
}

fn toml_string(text: &str) -> String {
    let inner = text.chars().fold(String::new(), |mut out, c| {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
        out
    });
    format!("\"{inner}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_quotes_stays_one_string() {
        assert_eq!(toml_string("a\"b\\c\n"), r#""a\"b\\c\u000A""#);
    }
}
