//! The listener of the agents' door: makes the socket, takes connections, and removes the socket at the end. It reads
//! nothing from them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::task::AbortHandle;

use super::session::{self, User};
use crate::groups::{Admins, Group};
use crate::shared::Shared;
use crate::unix_socket::{self, BindError};
use crate::{StartError, files};

/// After a failure to take a connection, for want of descriptors perhaps.
const PAUSE: Duration = Duration::from_millis(100);

/// An open door. Whoever connects before it listens has to wait.
#[derive(Debug)]
pub(crate) struct Door {
    path: PathBuf,
    bound: Option<UnixListener>,
    admins: Admins,
    listening: Option<AbortHandle>,
    /// Connections at a time.
    most: usize,
}

impl Door {
    /// Opens it. A socket that a dead daemon left behind is replaced.
    pub(crate) fn open(socket: &config::Socket) -> Result<Self, StartError> {
        let path = socket.path.clone();
        let group = socket.group.as_deref().map(|name| Group::find("socket.group", name)).transpose()?;
        let admins = Admins::new(socket.admin_group.as_deref())?;
        let failed = |source| StartError::Socket { path: path.clone(), source };
        let listener = unix_socket::bind(&path, socket.mode).map_err(|error| match error {
            BindError::InUse => StartError::SocketInUse { path: path.clone() },
            BindError::NotASocket => StartError::NotASocket { path: path.clone() },
            BindError::Io(source) => failed(source),
        })?;
        if let Some(group) = group {
            std::os::unix::fs::chown(&path, None, Some(group.id)).map_err(failed)?;
        }
        Ok(Self { path, bound: Some(listener), admins, listening: None, most: files::sessions_max() })
    }

    /// Begins to take connections.
    pub(crate) fn listen(&mut self, shared: &Arc<Shared>) {
        if let Some(listener) = self.bound.take() {
            let listening = listen(Arc::clone(shared), listener, self.admins.clone(), self.most);
            self.listening = Some(shared.tasks.spawn("agents' door", listening));
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes no more connections. Those that are there go on.
    pub(crate) fn close(&self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
        // Whoever comes now finds no daemon.
        drop(std::fs::remove_file(&self.path));
    }
}

/// Also where the daemon did not get as far as to run.
impl Drop for Door {
    fn drop(&mut self) {
        self.close();
    }
}

async fn listen(shared: Arc<Shared>, listener: UnixListener, admins: Admins, most: usize) {
    let mut crowd = Crowd { most, refused: 0 };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => take(&shared, stream, &admins, &mut crowd),
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

fn take(shared: &Arc<Shared>, stream: UnixStream, admins: &Admins, crowd: &mut Crowd) {
    let user = match stream.peer_cred() {
        Ok(credentials) => User { uid: credentials.uid(), is_admin: admins.hold(credentials.uid(), credentials.gid()) },
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
