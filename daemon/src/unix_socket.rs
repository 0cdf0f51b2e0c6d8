//! A listening Unix socket: its folder, what a dead daemon left there, its mode. It takes no connection.

use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Why there is no socket. Nothing that lay at its path was touched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    #[error("another daemon answers there")]
    InUse,
    #[error("something that is not a socket lies there")]
    NotASocket,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Makes it. A socket on which nobody answers is replaced.
pub(crate) fn bind(path: &Path, mode: u32) -> Result<UnixListener, BindError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        // Root's sockets are for other users too; who may open one is its own mode.
        let mode = if rustix::process::geteuid().is_root() { 0o755 } else { 0o700 };
        DirBuilder::new().recursive(true).mode(mode).create(folder)?;
    }
    remove_stale(path)?;
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode))?;
    Ok(listener)
}

fn remove_stale(path: &Path) -> Result<(), BindError> {
    let about = match std::fs::symlink_metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !about.file_type().is_socket() {
        return Err(BindError::NotASocket);
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(BindError::InUse),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(std::fs::remove_file(path)?),
        Err(error) => Err(error.into()),
    }
}
