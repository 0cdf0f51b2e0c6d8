//! What calls leave behind on the stack. Secrets that are dropped are wiped where they lay last; a copy that was made on
//! the way, when a value was returned or handed over, stays until something else is put there.

use zeroize::Zeroize;

/// More than any of the curves and ciphers takes, unoptimised.
const WIPED_BYTES: usize = 16 << 10;

/// Does something with secrets, and wipes the stack that it used. What it gives back should be in a box.
pub(crate) fn wiped<T>(work: impl FnOnce() -> T) -> T {
    let done = apart(work);
    wipe();
    done
}

/// In a frame of its own, below its caller's.
#[inline(never)]
fn apart<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[inline(never)]
fn wipe() {
    let mut below = [1_u8; WIPED_BYTES];
    below.zeroize();
}
