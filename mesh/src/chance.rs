//! All the chance that a node has: a generator that was seeded at its birth. It draws pauses and the numbers of
//! deliveries; keys and nonces are not its business.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

#[derive(Debug)]
pub(crate) struct Chance(SmallRng);

impl Chance {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(SmallRng::from_seed(seed))
    }

    /// A number from `least` to `most`.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0.random_range(least..=most.max(least))
    }

    /// A number that is not zero. It names something and protects nothing.
    pub(crate) fn number(&mut self) -> u64 {
        self.0.random_range(1..=u64::MAX)
    }
}
