//! The listener of the agents' door: makes the socket, takes connections, and removes the socket at the end. It reads
//! nothing from them.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proto::limits;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::AbortHandle;

use super::session;
use crate::StartError;
use crate::shared::Shared;

/// After a failure to take a connection, for want of descriptors perhaps.
const PAUSE: Duration = Duration::from_millis(100);

/// An open door. Whoever connects before it listens has to wait.
#[derive(Debug)]
pub(crate) struct Door {
    path: PathBuf,
    bound: Option<UnixListener>,
    listening: Option<AbortHandle>,
}

impl Door {
    /// Opens it. A socket that a dead daemon left behind is replaced.
    pub(crate) fn open(socket: &config::Socket) -> Result<Self, StartError> {
        let path = socket.path.clone();
        let failed = |source| StartError::Socket { path: path.clone(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            // Root's door is for other users too; who may open it is the socket's own mode.
            let mode = if rustix::process::geteuid().is_root() { 0o755 } else { 0o700 };
            DirBuilder::new().recursive(true).mode(mode).create(folder).map_err(failed)?;
        }
        remove_stale(&path)?;
        let listener = UnixListener::bind(&path).map_err(failed)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(socket.mode)).map_err(failed)?;
        Ok(Self { path, bound: Some(listener), listening: None })
    }

    /// Begins to take connections.
    pub(crate) fn listen(&mut self, shared: &Arc<Shared>) {
        if let Some(listener) = self.bound.take() {
            self.listening = Some(shared.tasks.spawn("agents' door", listen(Arc::clone(shared), listener)));
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

/// Removes a socket on which nobody answers.
fn remove_stale(path: &Path) -> Result<(), StartError> {
    let about = match std::fs::symlink_metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(StartError::Socket { path: path.into(), source }),
    };
    if !about.file_type().is_socket() {
        return Err(StartError::NotASocket { path: path.into() });
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(StartError::SocketInUse { path: path.into() }),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|source| StartError::Socket { path: path.into(), source })
        }
        Err(source) => Err(StartError::Socket { path: path.into(), source }),
    }
}

async fn listen(shared: Arc<Shared>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => take(&shared, stream),
            Err(error) => {
                tracing::warn!(%error, "a connection was not taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn take(shared: &Arc<Shared>, stream: UnixStream) {
    let uid = match stream.peer_cred() {
        Ok(credentials) => credentials.uid(),
        Err(error) => {
            tracing::warn!(%error, "the kernel does not say who connected; the connection is closed");
            return;
        }
    };
    if shared.sessions.count() >= limits::SESSIONS_MAX {
        tracing::warn!(uid, most = limits::SESSIONS_MAX, "too many connections; one is closed");
        return;
    }
    shared.tasks.spawn("session", session::run(Arc::clone(shared), stream, uid));
}
