//! Chance from a seed: the same draws for the same seed. What real processes do beside it is not repeatable.

/// A small generator; nothing secret comes from it.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// From any seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// An index into something of that length.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("below a length")
    }

    /// Whether something happens that happens so often.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// The more luck, the rather the last one.
    pub(super) fn pick<'a, T>(&mut self, luck: u64, versions: &'a [T]) -> &'a T {
        let at = if self.below(4) < luck { versions.len() - 1 } else { self.index(versions.len()) };
        &versions[at]
    }

    /// One of the versions of a sector, or, one time in eight, the beginning of one and the rest of that before it.
    pub(super) fn version<const N: usize>(&mut self, luck: u64, versions: &[[u8; N]]) -> [u8; N] {
        if versions.len() < 2 || self.below(8) > 0 {
            return *self.pick(luck, versions);
        }
        let newer = 1 + self.index(versions.len() - 1);
        let (mut torn, cut) = (versions[newer - 1], self.index(N));
        torn[..cut].copy_from_slice(&versions[newer][..cut]);
        torn
    }
}
