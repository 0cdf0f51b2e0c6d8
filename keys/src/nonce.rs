//! Nonces. They come from the operating system and are drawn by whoever seals or signs; nobody passes one.

use proto::limits::{NONCE_BYTES, NONCES_PER_DRAW};
use zeroize::Zeroize;

use crate::{NoRandomness, fill_random};

/// Draws a block of random bytes at a time, because a call for each frame would be a system call for each frame.
pub(crate) struct OsNonces {
    drawn: [[u8; NONCE_BYTES]; NONCES_PER_DRAW],
    used: usize,
}

impl OsNonces {
    pub(crate) const fn new() -> Self {
        Self { drawn: [[0; NONCE_BYTES]; NONCES_PER_DRAW], used: NONCES_PER_DRAW }
    }

    /// Gives each nonce once and forgets it.
    pub(crate) fn draw(&mut self) -> Result<[u8; NONCE_BYTES], NoRandomness> {
        if self.used >= NONCES_PER_DRAW {
            fill_random(self.drawn.as_flattened_mut())?;
            self.used = 0;
        }
        let place = self.drawn.get_mut(self.used).ok_or(NoRandomness)?;
        let nonce = *place;
        place.zeroize();
        self.used += 1;
        Ok(nonce)
    }
}
