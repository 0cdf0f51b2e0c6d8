//! One call of the core: when it is, and the list of what is to be done.

use crate::effect::{Effect, Effects};
use crate::time::Now;

pub(crate) struct Step<'e> {
    pub(crate) now: Now,
    pub(crate) effects: &'e mut Effects,
}

impl Step<'_> {
    pub(crate) fn ask(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Wall clock, in ns.
    pub(crate) const fn wall(&self) -> u64 {
        self.now.wall.0
    }
}
