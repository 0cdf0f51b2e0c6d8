//! What the operator asked for: one TOML file, its drop-ins, the environment and flags, checked once. It opens no
//! socket, holds no key, and changes nothing on disk.
//!
//! - [`raw`]: mirrors the file; strings and options, nothing checked.
//! - [`checked`]: what everyone else sees: typed, complete.
//! - [`mod@limits`]: how much may wait where.
//! - [`mod@load`]: defaults, then the file, then `aicpd.toml.d/*.toml`, then `AICP_*`, then flags; the later one counts.
//! - [`SAMPLE`]: every key with its default, in words.

pub mod checked;
mod error;
pub mod limits;
pub mod load;
mod metrics;
mod peer;
pub mod raw;

pub use checked::{Config, Log, LogFormat, Mesh, Socket};
pub use error::ConfigError;
pub use limits::Limits;
pub use load::{Flags, Host, load};
pub use metrics::{MetricsError, MetricsListen};
pub use peer::{Peer, PeerError};

/// The commented sample, which is also the documentation of every key.
pub const SAMPLE: &str = include_str!("../aicpd.toml");
