//! What time it is, for expiries alone: they are told in the time that all hosts share. Deadlines in this process never
//! look here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The moment that far from now, in Unix ns.
#[expect(
    clippy::disallowed_methods,
    reason = "an expiry is a moment of the wall clock, and the agent alone knows which"
)]
pub(crate) fn moment_after(pause: Duration) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.saturating_add(pause).as_nanos()).unwrap_or(u64::MAX)
}
