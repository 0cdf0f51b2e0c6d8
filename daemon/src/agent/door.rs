//! The listener of the agents' door: makes the socket, takes connections, and removes the socket at the end. It reads
//! nothing from them.

use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::task::AbortHandle;

use super::session::{self, User};
use crate::groups::{Admins, Group};
use crate::shared::Shared;
use crate::unix_socket::{self, BindError};
use crate::{AgentSocket, StartError, files};

/// After a failure to take a connection, for want of descriptors perhaps.
const PAUSE: Duration = Duration::from_millis(100);

/// An open door. Whoever connects before it listens has to wait.
#[derive(Debug)]
pub(crate) struct Door {
    path: PathBuf,
    /// The socket itself; what takes connections has a copy of it.
    socket: Option<AgentSocket>,
    bound: Option<UnixListener>,
    admins: Admins,
    listening: Option<AbortHandle>,
    /// Connections at a time.
    most: usize,
}

impl Door {
    /// Opens it. A socket that a dead daemon left behind is replaced; one that was inherited is used, if it is the one
    /// that is configured, or was passed to be used whatever is configured.
    pub(crate) fn open(socket: &config::Socket, inherited: Option<AgentSocket>) -> Result<Self, StartError> {
        let path = socket.path.clone();
        let group = socket.group.as_deref().map(|name| Group::find("socket.group", name)).transpose()?;
        let admins = Admins::new(socket.admin_group.as_deref())?;
        let failed = |source| StartError::Socket { path: path.clone(), source };
        let kept = inherited.filter(|kept| kept.is_passed || is_at(&kept.listener, &path));
        let (path, socket) = match kept {
            Some(kept) => (path_of(&kept.listener).unwrap_or(path), kept),
            None => {
                let listener = unix_socket::bind(&path, socket.mode).map_err(|error| match error {
                    BindError::InUse => StartError::SocketInUse { path: path.clone() },
                    BindError::NotASocket => StartError::NotASocket { path: path.clone() },
                    BindError::Io(source) => failed(source),
                })?;
                if let Some(group) = group {
                    std::os::unix::fs::chown(&path, None, Some(group.id)).map_err(failed)?;
                }
                (path, AgentSocket { listener, is_passed: false })
            }
        };
        let failed = |source| StartError::Socket { path: path.clone(), source };
        let copy = socket.listener.try_clone().map_err(failed)?;
        copy.set_nonblocking(true).map_err(failed)?;
        let bound = UnixListener::from_std(copy).map_err(failed)?;
        let most = files::sessions_max();
        Ok(Self { path, socket: Some(socket), bound: Some(bound), admins, listening: None, most })
    }

    /// Begins to take connections.
    pub(crate) fn listen(&mut self, shared: &Arc<Shared>) {
        if let Some(listener) = self.bound.take() {
            shared.live.set_admins(self.admins.clone());
            if self.is_passed() {
                shared.live.socket_is_passed();
            }
            let listening = listen(Arc::clone(shared), listener, self.most);
            self.listening = Some(shared.tasks.spawn("agents' door", listening));
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes no more connections: whoever comes waits. Those that are there go on.
    pub(crate) fn close(&self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }

    /// Whether the socket outlives this process.
    pub(crate) fn is_passed(&self) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.is_passed)
    }

    /// The socket, for whoever takes connections after this.
    pub(crate) fn keep(&mut self) -> Option<AgentSocket> {
        self.socket.take()
    }

    /// Removes it: whoever comes now finds no daemon. One that was passed stays with whoever passed it.
    pub(crate) fn remove(&mut self) {
        if self.socket.take().is_some_and(|socket| !socket.is_passed) {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// Also where the daemon did not get as far as to run.
impl Drop for Door {
    fn drop(&mut self) {
        self.close();
        self.remove();
    }
}

fn path_of(listener: &StdListener) -> Option<PathBuf> {
    listener.local_addr().ok()?.as_pathname().map(Path::to_path_buf)
}

fn is_at(listener: &StdListener, path: &Path) -> bool {
    path_of(listener).is_some_and(|there| there == path)
}

async fn listen(shared: Arc<Shared>, listener: UnixListener, most: usize) {
    let mut crowd = Crowd { most, refused: 0 };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => take(&shared, stream, &mut crowd),
            Err(error) => {
                tracing::warn!(%error, "a connection was not taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// How many may be there, and how many found no place.
struct Crowd {
    most: usize,
    refused: u64,
}

impl Crowd {
    /// Tells it once for each doubling: whoever knocks on and on must not fill the log.
    fn refuse(&mut self, uid: u32) {
        self.refused += 1;
        if self.refused.is_power_of_two() {
            tracing::warn!(uid, most = self.most, refused = self.refused, "too many connections; one is closed");
        }
    }
}

fn take(shared: &Arc<Shared>, stream: UnixStream, crowd: &mut Crowd) {
    let user = match stream.peer_cred() {
        Ok(credentials) => {
            User { uid: credentials.uid(), is_admin: shared.live.is_admin(credentials.uid(), credentials.gid()) }
        }
        Err(error) => {
            tracing::warn!(%error, "the kernel does not say who connected; the connection is closed");
            return;
        }
    };
    match shared.users.enter(user.uid, crowd.most) {
        Some(large) => drop(shared.tasks.spawn("session", session::run(Arc::clone(shared), stream, user, large))),
        None => crowd.refuse(user.uid),
    }
}
