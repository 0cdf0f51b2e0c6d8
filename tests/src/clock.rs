//! Another wall clock for a real process: a small library that is loaded before all others and moves what the system
//! says. Deadlines are not touched. It is built with the C compiler that cargo links with.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// How far the clock is moved, in seconds.
pub const OFFSET: &str = "WALL_CLOCK_OFFSET";

const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    static long long offset;
    static int known;
    if (!known) {
        const char *said = getenv("WALL_CLOCK_OFFSET");
        offset = said ? atoll(said) : 0;
        known = 1;
    }
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += offset;
    return failed;
}
"#;

/// Builds the library, for `LD_PRELOAD`.
///
/// # Panics
/// If there is no C compiler.
#[must_use]
pub fn library(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    std::fs::write(&source, SOURCE).expect("a file");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).status();
    assert!(built.expect("cc runs").success(), "the clock's library is built");
    library
}

/// Seconds since 1970, here and now.
///
/// # Panics
/// Before 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "another clock is told by how far it is from this one")]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("it fits")
}
