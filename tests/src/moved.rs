//! The clocks of a real daemon, moved by a test: the same binary, which asks the time of `tests/clock/moved.c`.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::hosts::Host;
use crate::root;

/// How far the clocks of one daemon are moved.
#[derive(Debug)]
pub struct MovedClock {
    file: PathBuf,
    wall: i64,
    mono: i64,
}

impl MovedClock {
    /// Gives a daemon clocks that can be moved. It must not run yet.
    ///
    /// # Panics
    /// If there is no C compiler, without which nothing here was built.
    #[must_use]
    pub fn give(host: &mut Host, folder: &Path) -> Self {
        let (library, file) = (folder.join("moved.so"), folder.join("moved"));
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(&library)
            .arg(root().join("tests/clock/moved.c"))
            .status();
        assert!(compiled.expect("cc runs").success(), "cc");
        fs::write(&file, [0; 16]).expect("a file");
        host.set_environment("LD_PRELOAD", library);
        host.set_environment("MOVED_CLOCK", file.clone());
        Self { file, wall: 0, mono: 0 }
    }

    /// How far the wall clock is from the real one, in ns.
    #[must_use]
    pub const fn wall(&self) -> i64 {
        self.wall
    }

    /// Time passes, on both clocks.
    pub fn pass(&mut self, time: Duration) {
        let time = i64::try_from(time.as_nanos()).expect("a few days");
        self.mono += time;
        self.set_wall(self.wall + time);
    }

    /// The wall clock is set: this far from the real one.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn set_wall(&mut self, wall: i64) {
        self.wall = wall;
        let file = OpenOptions::new().write(true).open(&self.file).expect("the file");
        let bytes = [self.wall.to_ne_bytes(), self.mono.to_ne_bytes()].concat();
        file.write_all_at(&bytes, 0).expect("written");
    }
}
