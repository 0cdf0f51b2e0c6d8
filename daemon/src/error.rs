//! Why the daemon did not start, or had to end: what, why, and what to do about it.

use std::net::SocketAddr;
use std::path::PathBuf;

use keys::certificate::CertificateError;
use keys::vault::VaultError;
use store::StoreError;

/// Why the daemon did not start. Nothing was promised to anybody.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another daemon works with the same state.
    #[error(
        "another daemon is running on {}; one works with a state directory at a time\n  fix: stop it, or give this \
         one its own with --state-dir",
        state.display()
    )]
    StateInUse {
        /// Which state directory.
        state: PathBuf,
    },
    /// There is no identity in the state directory.
    #[error("there is no node in {}\n  fix: give --state-dir the folder that aicpd runs with", state.display())]
    NoNode {
        /// Which state directory.
        state: PathBuf,
    },
    /// The state directory, or a file in it, cannot be made or read.
    #[error("{}: {source}\n  fix: give --state-dir a folder that this user can write to", path.display())]
    State {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Others can read a key.
    #[error(
        "others can read {} (mode {mode:04o}), and it is a secret key\n  fix: chmod 600 {}",
        path.display(), path.display()
    )]
    OpenKey {
        /// The key's file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A key file is missing, damaged, or not ours.
    #[error("a key cannot be used: {0}")]
    Key(VaultError),
    /// A key lies here, and the service manager hands over one as well.
    #[error(
        "there is a key in {} and another is handed over as {}, and a node has one\n  fix: remove the file, if it is the \
         same key (cmp says so); else do not hand over the other one",
        own.display(), handed.display()
    )]
    TwoKeys {
        /// The file in the state directory.
        own: PathBuf,
        /// The other one.
        handed: PathBuf,
    },
    /// The key of a day cannot be opened, or is not there.
    #[error(
        "{}: {why}, so messages of that day cannot be read\n  fix: restore identity/credential.key and store-keys/ \
         from the same backup, or move store/ away and lose what waits in it",
        path.display()
    )]
    DayKey {
        /// The key's file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The journal cannot be opened.
    #[error("the journal in {}: {source}", path.display())]
    Journal {
        /// Its folder.
        path: PathBuf,
        /// What is wrong.
        source: StoreError,
    },
    /// The journal contradicts itself.
    #[error("the journal contradicts itself: {0}\n  fix: restore store/ from a backup, or move it away")]
    Past(#[from] mesh::PastError),
    /// Somebody answers on the agents' socket.
    #[error(
        "another daemon answers on {}\n  fix: stop it, or give this one its own with --socket", path.display()
    )]
    SocketInUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no socket lies where it should be.
    #[error("{} is there, and is not a socket\n  fix: move it away, or give another path with --socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The agents' socket cannot be made.
    #[error("the agents' socket {}: {source}\n  fix: give --socket a path that this user can write to", path.display())]
    Socket {
        /// The path.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The configuration names a group that this host does not have.
    #[error(
        "{key} = {name:?}: this host has no such group\n  fix: groupadd {name}, or name another one; groups are read \
         from /etc/group"
    )]
    NoSuchGroup {
        /// Which key names it.
        key: &'static str,
        /// The group.
        name: String,
    },
    /// The UDP port is taken.
    #[error("UDP {address} is in use, perhaps by another daemon\n  fix: give another port with --listen")]
    PortInUse {
        /// The address.
        address: SocketAddr,
    },
    /// The UDP socket cannot be made.
    #[error("UDP {address}: {source}\n  fix: give an address of this host with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A socket that was passed to the daemon cannot be used.
    #[error(
        "a socket that was passed to the daemon cannot be used: {0}\n  fix: look at the socket unit that passes it"
    )]
    Passed(std::io::Error),
    /// What the node keeps of its mesh cannot be used.
    #[error(
        "{}: it {why}\n  fix: put the mesh/ folder back from a backup, or move it away and join again", path.display()
    )]
    Mesh {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Two kinds of trust at once.
    #[error(
        "this node is in mesh {mesh}, and mesh.peers pins others; a node uses one kind of trust\n  fix: remove mesh.peers \
         from the configuration, or leave the mesh (without mesh.peers: aicpctl leave)"
    )]
    TwoTrusts {
        /// What people call the mesh.
        mesh: String,
    },
    /// Metrics cannot be told where they should be.
    #[error("metrics.listen = {listen:?}: {why}\n  fix: give another place, or none, as metrics.listen")]
    Metrics {
        /// Where.
        listen: String,
        /// What the operating system said, or who is there.
        why: String,
    },
    /// A peer has our own id.
    #[error("peer {name} has this node's own id\n  fix: on that host, aicpd init prints the id that belongs there")]
    PeerIsUs {
        /// The peer.
        name: String,
    },
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// TLS lacks the cipher that QUIC begins with.
    #[error("TLS lacks the cipher that QUIC begins with")]
    NoInitialCipher,
    /// This node's certificate cannot be made.
    #[error("this node's certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes")]
    NoRandomness,
    /// A thread cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}

impl From<VaultError> for StartError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Loose { path, mode, .. } if path.is_file() => Self::OpenKey { path, mode },
            error @ (VaultError::Missing { .. }
            | VaultError::Loose { .. }
            | VaultError::NotOurs { .. }
            | VaultError::NotAFile { .. }
            | VaultError::Damaged { .. }
            | VaultError::Exists { .. }
            | VaultError::Io { .. }) => Self::Key(error),
        }
    }
}

impl From<keys::NoRandomness> for StartError {
    fn from(_: keys::NoRandomness) -> Self {
        Self::NoRandomness
    }
}

/// Why a running daemon had to end. What was promised is on disk; start it again.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    /// The journal cannot go on.
    #[error("the journal cannot go on: {0}; what was promised is on disk, and a new start reads it again")]
    Journal(String),
    /// A task that must not end has ended.
    #[error("the {0} task ended")]
    Task(&'static str),
    /// It did not come to rest in time.
    #[error("the daemon did not come to rest in time; the next start treats this as a crash")]
    Unclean,
}
