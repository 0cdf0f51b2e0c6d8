//! What the service manager gives and is told: sockets that it opened, how far the daemon is, that it is alive, and
//! whether the log goes to its journal. Without such a manager nothing here does anything. It reads the environment,
//! and decides nothing about the daemon.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use listenfd::ListenFd;
use proto::limits;
use tokio::task::AbortHandle;

use crate::clock::{duration, monotonic_microseconds};
use crate::pulse::Pulse;
use crate::{AgentSocket, App, Inherited, StartError};

/// What a passed socket is for, as `FileDescriptorName=` of its unit says.
const AGENTS: &str = "agent";
const MESH: &str = "mesh";

/// The sockets that were passed to this process, to be used in place of those that it would open itself.
pub fn inherited() -> Result<Inherited, StartError> {
    let names = variable("LISTEN_FDNAMES").unwrap_or_default().to_string_lossy().into_owned();
    let mut names = names.split(':');
    let mut passed = ListenFd::from_env();
    let mut inherited = Inherited::default();
    for place in 0..passed.len() {
        let name = names.next().unwrap_or_default();
        take(&mut passed, place, name, &mut inherited).map_err(StartError::Passed)?;
    }
    Ok(inherited)
}

/// By its name, if that is one of ours; else by the kind of socket that it is.
fn take(passed: &mut ListenFd, place: usize, name: &str, inherited: &mut Inherited) -> io::Result<()> {
    let agents = match name {
        MESH => None,
        AGENTS => passed.take_unix_listener(place)?,
        // One of another kind stays where it is.
        _ => passed.take_unix_listener(place).unwrap_or_default(),
    };
    match agents {
        Some(listener) => put(&mut inherited.agents, AgentSocket { listener, is_passed: true }),
        None => match passed.take_udp_socket(place)? {
            Some(socket) => put(&mut inherited.mesh, socket),
            None => Ok(()),
        },
    }
}

fn put<T>(place: &mut Option<T>, socket: T) -> io::Result<()> {
    match place.replace(socket) {
        None => Ok(()),
        Some(_) => Err(io::Error::other("two of one kind were passed, and one is needed")),
    }
}

/// Whether standard error leads to the journal of systemd, which then can be told more than lines.
#[must_use]
pub fn stderr_is_the_journal() -> bool {
    let (Some(told), Ok(about)) = (variable("JOURNAL_STREAM"), rustix::fs::fstat(io::stderr())) else { return false };
    told.to_string_lossy() == format!("{}:{}", about.st_dev, about.st_ino)
}

/// The service manager that started this process, if it wants to hear from it.
#[derive(Clone, Debug, Default)]
pub struct Manager(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    socket: UnixDatagram,
    address: SocketAddr,
    /// Between two signs of life.
    pause: Duration,
}

/// Ends the signs of life of one run when it is dropped.
#[derive(Debug)]
pub struct Beating(Option<AbortHandle>);

impl Drop for Beating {
    fn drop(&mut self) {
        if let Some(beating) = &self.0 {
            beating.abort();
        }
    }
}

impl Manager {
    /// Whoever started this one.
    #[must_use]
    pub fn of_this_process() -> Self {
        let Some(name) = variable("NOTIFY_SOCKET") else { return Self::default() };
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&name),
        };
        let opened = address.and_then(|address| Ok((UnixDatagram::unbound()?, address)));
        let longest = duration(limits::MANAGER_PAUSE);
        // Several in the time after which the manager gives up, so that one may be late.
        let pause = watchdog().map_or(longest, |after| (after / 4).min(longest));
        match opened {
            Ok((socket, address)) => Self(Some(Arc::new(Inner { socket, address, pause }))),
            Err(error) => {
                tracing::warn!(%error, "the service manager cannot be told anything");
                Self::default()
            }
        }
    }

    /// What was kept is read and the doors are open. From now on the manager hears that this run is alive, for as long
    /// as it is and the answer is held.
    #[must_use]
    pub fn started(&self, app: &App) -> Beating {
        self.ready();
        let (manager, pulse) = (self.clone(), app.pulse());
        Beating(self.0.is_some().then(|| tokio::spawn(manager.beat(pulse)).abort_handle()))
    }

    /// It does what it is there for.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// It reads its configuration anew, and perhaps what was kept as well, which may take long. [`Self::ready`] ends it.
    pub fn reloading(&self) {
        let most = limits::START_WAIT / 1000;
        let since = monotonic_microseconds();
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={since}\nEXTEND_TIMEOUT_USEC={most}\nSTATUS=beginning anew"));
    }

    /// It comes to rest.
    pub fn stopping(&self) {
        self.say("STOPPING=1\nSTATUS=stopping");
    }

    /// Says so each time that the core and the journal have shown it. One that hangs is waited for without an end: what
    /// becomes of the daemon then is the manager's to decide.
    async fn beat(self, pulse: Pulse) {
        let Some(inner) = &self.0 else { return };
        while let Some(status) = pulse.beat().await {
            self.say(&format!("WATCHDOG=1\nSTATUS={status}"));
            tokio::time::sleep(inner.pause).await;
        }
    }

    fn say(&self, what: &str) {
        let Some(inner) = &self.0 else { return };
        if let Err(error) = inner.socket.send_to_addr(what.as_bytes(), &inner.address) {
            tracing::debug!(%error, "the service manager was not told");
        }
    }
}

/// After how long without a sign of life the manager ends this process.
fn watchdog() -> Option<Duration> {
    let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
    let is_ours = number("WATCHDOG_PID").is_none_or(|process| process == u64::from(std::process::id()));
    is_ours.then(|| number("WATCHDOG_USEC").filter(|time| *time > 0).map(Duration::from_micros)).flatten()
}

#[expect(clippy::disallowed_methods, reason = "this is where the service manager is listened to")]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
