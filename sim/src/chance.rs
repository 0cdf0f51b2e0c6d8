//! All the chance of a world: a generator that one seed decides. It never asks the machine for anything.

/// Numbers that a seed decides, the same on every machine.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// The generator of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed ^ 0x6a09_e667_f3bc_c908)
    }

    /// Another one, whose numbers do not depend on how many are drawn here later.
    pub const fn fork(&mut self) -> Self {
        Self(self.number())
    }

    /// Any number.
    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; zero if that is zero.
    pub const fn below(&mut self, bound: u64) -> u64 {
        let number = self.number();
        if bound == 0 { 0 } else { number % bound }
    }

    /// A number from `least` to `most`.
    pub const fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least).saturating_add(1))
    }

    /// Mostly close to `least`, seldom close to `most`: a product of two draws.
    pub const fn skewed(&mut self, least: u64, most: u64) -> u64 {
        let span = most.saturating_sub(least);
        let part = self.below(1001) * self.below(1001);
        least + span / 1_000_000 * part + span % 1_000_000 * part / 1_000_000
    }

    /// True in that many of a thousand cases.
    pub const fn permille(&mut self, chance: u32) -> bool {
        self.below(1000) < chance as u64
    }

    /// True in that many of a hundred cases.
    pub const fn percent(&mut self, chance: u32) -> bool {
        self.below(100) < chance as u64
    }

    /// A place in something of that length.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let at = self.index(from.len());
        from.get(at)
    }

    /// Bytes.
    pub const fn bytes32(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let (mut rest, _) = bytes.as_chunks_mut::<8>();
        while let Some((first, others)) = rest.split_first_mut() {
            *first = self.number().to_be_bytes();
            rest = others;
        }
        bytes
    }
}
