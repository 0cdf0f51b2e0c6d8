//! Which socket leads to the daemon. The library's only reader of the environment; it makes nothing and removes nothing.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::UnixStream;

use crate::ClientError;

/// Where a daemon that nobody told otherwise listens, below the first folder that is known.
const BELOW: &str = "aicp/agent.sock";

/// Opens the socket: the given one, or that of `AICP_SOCKET`, or the first usual one that is there.
pub(crate) async fn connect(given: Option<&Path>) -> Result<UnixStream, ClientError> {
    let tried = candidates(given);
    let mut missing = io::Error::from(io::ErrorKind::NotFound);
    for path in &tried {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(stream),
            // A path that somebody named is the only one; of the usual ones the first that is there counts.
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing = error,
            Err(error) => return Err(explain(path, tried.clone(), error)),
        }
    }
    Err(ClientError::NoDaemon { tried, source: Arc::new(missing) })
}

fn explain(path: &Path, tried: Vec<PathBuf>, error: io::Error) -> ClientError {
    let is_other = std::fs::metadata(path).is_ok_and(|found| !found.file_type().is_socket());
    if is_other {
        return ClientError::NotASocket { path: path.into() };
    }
    if error.kind() == io::ErrorKind::PermissionDenied {
        return ClientError::PermissionDenied { path: path.into() };
    }
    let upto = tried.iter().position(|one| one == path).map_or(tried.len(), |place| place + 1);
    ClientError::NoDaemon { tried: tried.into_iter().take(upto).collect(), source: Arc::new(error) }
}

/// The paths that are tried, in order.
#[must_use]
pub fn candidates(given: Option<&Path>) -> Vec<PathBuf> {
    if let Some(path) = given.map(PathBuf::from).or_else(|| variable("AICP_SOCKET")) {
        return vec![path];
    }
    let runtime = variable("XDG_RUNTIME_DIR").map(|folder| folder.join(BELOW));
    let state = variable("XDG_STATE_HOME").or_else(|| variable("HOME").map(|home| home.join(".local/state")));
    let state = state.map(|folder| folder.join(BELOW));
    runtime.into_iter().chain(state).chain([Path::new("/run").join(BELOW)]).collect()
}

#[expect(clippy::disallowed_methods, reason = "the one place where an agent's process is asked where its daemon is")]
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn each_way_not_to_reach_a_daemon_has_its_own_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("agent.sock");
        let gone = connect(Some(&path)).await;
        assert!(matches!(gone, Err(ClientError::NoDaemon { tried, .. }) if tried == [path.clone()]));
        std::fs::write(&path, b"").expect("a file");
        assert!(matches!(connect(Some(&path)).await, Err(ClientError::NotASocket { .. })));
        std::fs::remove_file(&path).expect("it was there");
        drop(tokio::net::UnixListener::bind(&path).expect("a socket"));
        let left_over = connect(Some(&path)).await;
        assert!(matches!(left_over, Err(ClientError::NoDaemon { .. })), "a socket that nobody listens on");
    }
}
