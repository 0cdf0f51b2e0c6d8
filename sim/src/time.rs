//! Virtual time, in nanoseconds since the world began. Nothing here reads a clock.

pub use proto::limits::{HOUR, SECOND};

/// A thousandth of a second.
pub const MILLI: u64 = SECOND / 1000;

/// What the wall clocks say when the world begins, in ns since 1970.
pub const WALL_AT_BIRTH: u64 = 1_800_000_000 * SECOND;

/// That many seconds.
#[must_use]
pub const fn seconds(count: u64) -> u64 {
    count * SECOND
}

/// That many minutes.
#[must_use]
pub const fn minutes(count: u64) -> u64 {
    count * 60 * SECOND
}

/// That many hours.
#[must_use]
pub const fn hours(count: u64) -> u64 {
    count * HOUR
}

/// A moment, for people.
#[must_use]
pub fn show(at: u64) -> String {
    format!("{}.{:06} s", at / SECOND, at % SECOND / 1000)
}
