//! Sockets that were open before this run of the daemon began: passed by whoever started the process, or kept while it
//! restarts in place. Nobody who connects meanwhile is refused; they wait until somebody takes them.

use std::net::UdpSocket;
use std::os::unix::net::UnixListener;

/// What is there already, and need not be opened.
#[derive(Debug, Default)]
pub struct Inherited {
    /// The agents' socket.
    pub agents: Option<AgentSocket>,
    /// The UDP socket for peers, if it was passed.
    pub mesh: Option<UdpSocket>,
    /// A run of this process has just ended: what it held may be free a moment later.
    pub is_restart: bool,
}

/// A listening socket for agents.
#[derive(Debug)]
pub struct AgentSocket {
    /// It listens.
    pub listener: UnixListener,
    /// It belongs to whoever passed it: it is not removed at the end.
    pub is_passed: bool,
}
