//! What the benches that run whole daemons have in common: two linked hosts, the processes at their other end, the bare
//! pipes beside them, and quantiles. It measures nothing by itself, and nobody but a bench uses it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a bench stops at the first fault")]

pub mod bare;
pub mod hosts;
pub mod load;
pub mod roles;
pub mod times;

/// Bytes that are said and answered.
pub const BODY_BYTES: usize = 1024;

/// What a bench runs on: one thread, as an agent would.
///
/// # Panics
/// If it cannot be made.
#[must_use]
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
