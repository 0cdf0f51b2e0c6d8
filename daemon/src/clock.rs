//! What time it is. The only caller of the two clocks; it never waits.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mesh::{Mono, Now, Wall};

/// Both clocks of this process. Monotonic time is counted from its making.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the daemon's clock")]
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Both clocks at once.
    #[expect(clippy::disallowed_methods, reason = "this is the daemon's clock")]
    pub(crate) fn now(&self) -> Now {
        let mono = nanoseconds(Instant::now().saturating_duration_since(self.origin));
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, nanoseconds);
        Now { mono: Mono(mono), wall: Wall(wall) }
    }

    /// The same moment, as the runtime's timers know it.
    pub(crate) fn instant_of(&self, at: Mono) -> tokio::time::Instant {
        const LONGEST: Duration = Duration::from_secs(30 * 365 * 86_400);
        let offset = Duration::from_nanos(at.0).min(LONGEST);
        tokio::time::Instant::from_std(self.origin.checked_add(offset).unwrap_or(self.origin))
    }
}

/// The system's monotonic clock, as the service manager reads it.
pub(crate) fn monotonic_microseconds() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let (seconds, rest) = (u64::try_from(now.tv_sec).unwrap_or(0), u64::try_from(now.tv_nsec).unwrap_or(0));
    seconds * 1_000_000 + rest / 1000
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A bound of `proto::limits`, as the runtime takes it.
pub(crate) const fn duration(nanoseconds: u64) -> Duration {
    Duration::from_nanos(nanoseconds)
}
