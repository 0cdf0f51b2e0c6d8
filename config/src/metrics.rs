//! Where metrics and health are told: on loopback, or on a Unix socket. What is told there is meant for whoever runs
//! this host, so no other host is ever listened for.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A place on this host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetricsListen {
    /// A TCP port of the loopback. With port 0 the system chooses one.
    Loopback(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Why something is not such a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MetricsError {
    /// An address that other hosts may reach.
    #[error(
        "metrics have no password and no encryption, and others could read them at this address; give one of this \
         host alone, like \"127.0.0.1:9177\", \"[::1]:9177\" or \"unix:/run/aicp/metrics.sock\""
    )]
    NotLoopback,
    /// Neither an address nor a path.
    #[error(
        "a loopback address and a port, like \"127.0.0.1:9177\", or unix: and an absolute path, like \
         \"unix:/run/aicp/metrics.sock\""
    )]
    Form,
}

const UNIX: &str = "unix:";

impl FromStr for MetricsListen {
    type Err = MetricsError;

    fn from_str(text: &str) -> Result<Self, MetricsError> {
        if let Some(path) = text.strip_prefix(UNIX) {
            let is_path = Path::new(path).is_absolute() && Path::new(path).file_name().is_some();
            return if is_path { Ok(Self::Unix(path.into())) } else { Err(MetricsError::Form) };
        }
        let address: SocketAddr = text.parse().map_err(|_| MetricsError::Form)?;
        if address.ip().is_loopback() { Ok(Self::Loopback(address)) } else { Err(MetricsError::NotLoopback) }
    }
}

/// As it is written in the configuration.
impl fmt::Display for MetricsListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}
