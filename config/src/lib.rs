//! What the operator asked for: one TOML file, its drop-ins, the environment and flags, checked once. It opens no
//! socket, holds no key, and writes nothing but the drop-in that is its own.
//!
//! - [`raw`]: mirrors the file; strings and options, nothing checked.
//! - [`checked`]: what everyone else sees: typed, complete. `limits.rs` and `allow.rs` judge their parts.
//! - [`mod@load`]: defaults, then the file, then `aicpd.toml.d/*.toml`, then `AICP_*`, then flags; the later one counts.
//! - [`key`]: every key, and where it may be said; [`Origin`]: where it was. `values.rs` shows what it comes to.
//! - [`edit`]: changes a drop-in of its own, after the whole was judged.
//! - [`SAMPLE`]: every key with its default, in words.

mod allow;
pub mod checked;
pub mod edit;
mod error;
pub mod key;
pub mod limits;
pub mod load;
mod metrics;
mod origin;
mod peer;
pub mod raw;
mod values;

pub use allow::{Allow, RawAllow};
pub use checked::{Config, Log, LogFormat, Mesh, Socket};
pub use error::ConfigError;
pub use key::{KEYS, Key, Kind};
pub use limits::Limits;
pub use load::{Flags, Host, load};
pub use metrics::{MetricsError, MetricsListen};
pub use origin::{Origin, Sources};
pub use peer::{Peer, PeerError, is_address};
pub use values::Shown;

/// The commented sample, which is also the documentation of every key.
pub const SAMPLE: &str = include_str!("../aicpd.toml");
