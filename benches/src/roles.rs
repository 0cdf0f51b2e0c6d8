//! The processes at the other end: the bench's own executable, started again with a role. A role ends with the bench,
//! for its standard input does.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use client::{Agent, Incoming};
use tokio::net::UnixListener;

use crate::{bare, runtime};

/// The first argument of a process that plays a role; a folder is never called that.
const MARK: &str = "--role";

/// An agent that answers with what it was asked.
pub const ECHO: &str = "echo";
/// An agent that has handled what it is given as soon as it has it.
pub const HANDLE: &str = "handle";
/// The bare end of a Unix socket.
pub const UNIX: &str = "unix";
/// The bare end of a QUIC connection.
pub const QUIC: &str = "quic";

/// A process that plays a role. Killed when dropped.
#[derive(Debug)]
pub struct Role {
    child: Child,
    _until: Option<ChildStdin>,
    said: String,
}

impl Role {
    /// Starts it, and waits until it is ready.
    ///
    /// # Panics
    /// If it does not say so.
    #[must_use]
    pub fn start(role: &str, path: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(MARK).arg(role).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert!(!said.is_empty(), "{role} did not get ready");
        Self { _until: child.stdin.take(), child, said: said.trim().to_owned() }
    }

    /// What it said when it was ready.
    #[must_use]
    pub fn said(&self) -> &str {
        &self.said
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// Plays the role that the command line names, to its end. `false` if it names none.
///
/// # Panics
/// If the role cannot be played.
#[must_use]
pub fn played() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|mark| mark != MARK) {
        return false;
    }
    let role = arguments.next().unwrap();
    let path = PathBuf::from(arguments.next().unwrap());
    std::thread::spawn(|| {
        // It says nothing; it ends.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    runtime().block_on(async {
        match role.to_str() {
            Some(ECHO) => echo(&path).await,
            Some(HANDLE) => handle(&path).await,
            Some(UNIX) => {
                let listener = UnixListener::bind(&path).unwrap();
                say("ready");
                bare::echo(listener.accept().await.unwrap().0).await;
            }
            Some(QUIC) => bare::echo(bare::listen(|address| say(&address.to_string())).await).await,
            Some(_) | None => panic!("no such role"),
        }
    });
    true
}

fn say(what: &str) {
    let mut out = std::io::stdout();
    out.write_all(what.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()).unwrap();
}

async fn echo(socket: &Path) {
    let me = Agent::attach(ECHO).socket(socket).await.unwrap();
    say("ready");
    while let Ok(came) = me.recv().await {
        if let Incoming::Delivery(delivery) = came {
            let body = delivery.body().clone();
            delivery.respond(body).await.unwrap();
        }
    }
}

async fn handle(socket: &Path) {
    let me = Agent::attach(HANDLE).socket(socket).await.unwrap();
    say("ready");
    while let Ok(came) = me.recv().await {
        if let Incoming::Delivery(delivery) = came {
            delivery.handled().await.unwrap();
        }
    }
}
