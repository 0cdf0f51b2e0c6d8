//! What time it is: to say when something was, and how much is left. Nothing is decided by it.

use std::time::{SystemTime, UNIX_EPOCH};

/// In ns since 1970.
#[expect(clippy::disallowed_methods, reason = "the command line's one reader of the clock")]
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A moment in ns since 1970, as RFC 3339 writes it, in UTC.
pub(crate) fn rfc3339(moment: u64) -> String {
    const DAY: u64 = 86_400;
    let s = moment / 1_000_000_000;
    let (year, month, day) = date(s / DAY);
    let in_day = s % DAY;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", in_day / 3600, in_day / 60 % 60, in_day % 60)
}

/// The day of the calendar, so many days after 1970-01-01. Years are counted from March, so that a leap day is the last.
const fn date(days: u64) -> (u64, u64, u64) {
    const FOUR_CENTURIES: u64 = 146_097;
    let days = days + 719_468;
    let century = days % FOUR_CENTURIES;
    let year = (century - century / 1460 + century / 36_524 - century / 146_096) / 365;
    let in_year = century - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + days / FOUR_CENTURIES * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_the_calendar_has_it() {
        let second = 1_000_000_000;
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400 * second), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_709_251_199 * second), "2024-02-29T23:59:59Z");
        assert_eq!(rfc3339(1_763_716_985 * second + 999), "2025-11-21T09:23:05Z");
        assert_eq!(rfc3339(4_107_542_400 * second), "2100-03-01T00:00:00Z");
    }
}
