//! Time as the core is told it. Nothing here reads a clock.

use proto::limits::SECOND;

/// Nanoseconds of a clock that never goes back. Every deadline runs on it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Mono(pub u64);

/// Nanoseconds since 1970, as the host's wall clock tells them. For what is signed, and for nothing else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Wall(pub u64);

/// Both clocks at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// Drives every deadline.
    pub mono: Mono,
    /// Goes into what is signed.
    pub wall: Wall,
}

impl Mono {
    /// That many nanoseconds later.
    #[must_use]
    pub const fn after(self, nanoseconds: u64) -> Self {
        Self(self.0.saturating_add(nanoseconds))
    }

    /// Nanoseconds from an earlier moment to this one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Now {
    /// The moment at which the wall clock will stand at `wall`, if nobody moves it.
    #[must_use]
    pub const fn when(self, wall: u64) -> Mono {
        self.mono.after(wall.saturating_sub(self.wall.0))
    }
}

/// When the core wants to be called again, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadline {
    /// When.
    pub at: Mono,
    /// What is due then, for logs.
    pub why: &'static str,
}

/// Milliseconds, as people and metadata count them.
#[must_use]
pub const fn millis(nanoseconds: u64) -> u64 {
    nanoseconds / (SECOND / 1000)
}
