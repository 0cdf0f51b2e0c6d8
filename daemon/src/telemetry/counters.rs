//! What the shell counts: plain atomics. Whoever has something to count adds to them; they are read when somebody
//! looks. It knows nothing about how they are told.

use std::sync::atomic::{AtomicU64, Ordering};

use proto::{Refusal, limits};

/// Goes up.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What something comes to now.
#[derive(Debug, Default)]
pub(crate) struct Level(AtomicU64);

impl Level {
    pub(crate) fn set(&self, level: u64) {
        self.0.store(level, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a frame went no further than a door.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reason {
    /// It is not what it must be.
    Refused(Refusal),
    /// Its destination does not live here.
    NotHere,
    /// Too old, or from the future.
    Stale,
    /// Nobody knows the key of its source.
    UnknownSource,
}

const REFUSALS: usize = Refusal::ALL.len();
/// The words of what is no [`Refusal`], in the order of [`Reason`].
const OTHERS: [&str; 3] = ["not-here", "stale", "unknown-source"];
/// Refusals of signatures.
const SIGNATURES: [Refusal; 3] = [Refusal::Signature, Refusal::RecordSignature, Refusal::Countersignature];

/// What one door has refused, by its reason.
#[derive(Debug)]
pub(crate) struct Refused([Count; REFUSALS + OTHERS.len()]);

impl Default for Refused {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Count::default()))
    }
}

impl Refused {
    pub(crate) fn note(&self, reason: Reason) {
        if let Some(count) = self.0.get(place(reason)) {
            count.add(1);
        }
    }

    /// All reasons, also those that have not occurred.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let words = Refusal::ALL.iter().map(|refusal| refusal.reason()).chain(OTHERS);
        words.zip(&self.0).map(|(word, count)| (word, count.get()))
    }

    /// How many of them were signatures that did not hold.
    pub(crate) fn signatures(&self) -> u64 {
        let of = |refusal| self.0.get(place(Reason::Refused(refusal))).map_or(0, Count::get);
        SIGNATURES.into_iter().map(of).sum()
    }
}

const fn place(reason: Reason) -> usize {
    match reason {
        // The place of a refusal in `Refusal::ALL`.
        Reason::Refused(refusal) => refusal as usize,
        Reason::NotHere => REFUSALS,
        Reason::Stale => REFUSALS + 1,
        Reason::UnknownSource => REFUSALS + 2,
    }
}

/// What the journal's thread counts.
#[derive(Debug, Default)]
pub(crate) struct JournalCounters {
    pub(crate) transactions: Count,
    /// Of entries as they are sealed, without what the store adds around them.
    pub(crate) appended_bytes: Count,
    pub(crate) syncs: Durations,
    /// Transactions that had to wait because the disk, or the journal's share of it, was full.
    pub(crate) room_waits: Count,
    /// How often the disk was looked at while it was waited for: a thread that waits like this does not hang.
    pub(crate) looks: Count,
    pub(crate) disk_bytes: Level,
    pub(crate) live_bytes: Level,
}

const MICROSECOND: u64 = limits::SECOND / 1_000_000;
const MILLISECOND: u64 = limits::SECOND / 1000;

/// From a fast disk's cache to a disk that hangs, in ns.
const BOUNDS: [u64; 15] = [
    100 * MICROSECOND,
    250 * MICROSECOND,
    500 * MICROSECOND,
    MILLISECOND,
    2500 * MICROSECOND,
    5 * MILLISECOND,
    10 * MILLISECOND,
    25 * MILLISECOND,
    50 * MILLISECOND,
    100 * MILLISECOND,
    250 * MILLISECOND,
    500 * MILLISECOND,
    limits::SECOND,
    5 * limits::SECOND,
    25 * limits::SECOND,
];

/// How long something took, how often.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    counts: [Count; BOUNDS.len()],
    beyond: Count,
    nanoseconds: Count,
}

impl Durations {
    pub(crate) fn note(&self, nanoseconds: u64) {
        let within = BOUNDS.iter().zip(&self.counts).find(|(bound, _)| nanoseconds <= **bound);
        within.map_or(&self.beyond, |(_, count)| count).add(1);
        self.nanoseconds.add(nanoseconds);
    }

    /// Upper bounds in seconds, and how many lie between each and the one before.
    pub(crate) fn buckets(&self) -> Vec<(f64, u64)> {
        let within = BOUNDS.iter().zip(&self.counts).map(|(bound, count)| (seconds(*bound), count.get()));
        within.chain([(f64::INFINITY, self.beyond.get())]).collect()
    }

    /// All of it, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        seconds(self.nanoseconds.get())
    }
}

/// As Prometheus wants it.
pub(crate) fn seconds(nanoseconds: u64) -> f64 {
    std::time::Duration::from_nanos(nanoseconds).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_count_of_its_own_under_its_own_word() {
        let refused = Refused::default();
        for (times, refusal) in Refusal::ALL.iter().enumerate() {
            (0..=times).for_each(|_| refused.note(Reason::Refused(*refusal)));
        }
        for (at, reason) in [Reason::NotHere, Reason::Stale, Reason::UnknownSource].into_iter().enumerate() {
            (0..=REFUSALS + at).for_each(|_| refused.note(reason));
        }
        let counts: Vec<u64> = refused.all().map(|(_, count)| count).collect();
        assert_eq!(counts, (1..=counts.len() as u64).collect::<Vec<_>>(), "in the order of Refusal::ALL");
        let words: std::collections::BTreeSet<_> = refused.all().map(|(word, _)| word).collect();
        assert_eq!(words.len(), counts.len(), "no word stands for two reasons");
        let of = |wanted| refused.all().find(|(word, _)| *word == wanted).map(|(_, count)| count);
        let signatures = ["signature", "record-signature", "countersignature"];
        assert_eq!(Some(refused.signatures()), signatures.into_iter().map(of).sum());
        assert_eq!(of("stale"), Some(REFUSALS as u64 + 2));
    }

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_holds_it() {
        let durations = Durations::default();
        for nanoseconds in [0, 100 * MICROSECOND, 100 * MICROSECOND + 1, 30 * limits::SECOND] {
            durations.note(nanoseconds);
        }
        let buckets = durations.buckets();
        assert_eq!((buckets[0].1, buckets[1].1), (2, 1));
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, 1)));
        assert!((durations.seconds() - 30.000_200_001).abs() < 1e-9);
    }
}
