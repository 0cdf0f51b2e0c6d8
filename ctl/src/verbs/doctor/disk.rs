//! The disk below the state folder: how long a sync takes there, since every durable message waits for one, and how much
//! room there is.

use std::io::Write;
use std::path::Path;

use rustix::fs::{StatVfs, statvfs};
use tokio::time::{Duration, Instant};

use super::{Finding, Patient, State};
use crate::render::{short, size};

/// So many are measured; the middle one counts.
const SYNCS: usize = 9;
/// About a small message and its mark.
const SYNC_BYTES: usize = 4096;
/// A disk that takes longer holds up every durable message.
const SLOW: Duration = Duration::from_millis(25);
/// Room for the outbox of a few hours and for the journal to turn over.
const ROOM_WANTED: u64 = 1 << 30;
/// With less, the daemon soon takes nothing new.
const ROOM_NEEDED: u64 = 128 << 20;

pub(super) async fn sync(state_dir: &Path) -> Finding {
    const CHECK: &str = "disk sync";
    let folder = state_dir.to_path_buf();
    let measured = tokio::task::spawn_blocking(move || measure(&folder)).await;
    let took = match measured.map_err(std::io::Error::other).and_then(|took| took) {
        Ok(took) => took,
        Err(error) => {
            let what = format!("nothing can be written to {}", state_dir.display());
            return Finding::new(CHECK, State::Skipped, what)
                .why(error.to_string())
                .fix("run it as root, or as the user that runs the daemon");
        }
    };
    let what = format!("a sync takes {}", short(took));
    if took < SLOW {
        return Finding::new(CHECK, State::Ok, what);
    }
    Finding::new(CHECK, State::Warn, format!("{what}, wanted {} at most", short(SLOW)))
        .why("a durable message is confirmed once the disk has it, so all of them wait that long")
        .fix("put the state on a faster disk, or find out what else keeps this one busy")
}

/// The middle of several times that bytes took to be durable. The file is gone when this returns.
fn measure(folder: &Path) -> std::io::Result<Duration> {
    let mut file = tempfile::Builder::new().prefix("doctor-").tempfile_in(folder)?;
    let bytes = [0x5a; SYNC_BYTES];
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&bytes)?;
        file.as_file().sync_data()?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    Ok(took.get(SYNCS / 2).copied().unwrap_or_default())
}

pub(super) fn room(state_dir: &Path, patient: &Patient<'_>) -> Finding {
    const CHECK: &str = "disk room";
    let free = match statvfs(state_dir) {
        Ok(StatVfs { f_bavail, f_frsize, .. }) => f_bavail.saturating_mul(f_frsize),
        Err(error) => {
            let what = format!("{} cannot be looked at", state_dir.display());
            return Finding::new(CHECK, State::Skipped, what).why(error.to_string());
        }
    };
    let is_full = patient.status.as_ref().is_ok_and(|status| status.disk_full);
    let state = match free {
        _ if is_full => State::Fail,
        free if free < ROOM_NEEDED => State::Fail,
        free if free < ROOM_WANTED => State::Warn,
        _ => State::Ok,
    };
    let finding = Finding::new(CHECK, state, format!("{} free below {}", size(free), state_dir.display()));
    match state {
        State::Skipped | State::Ok => finding,
        State::Warn | State::Fail => finding
            .why("on a full disk nothing new is taken; what is here goes on")
            .fix("make room there, or move the state to a larger disk"),
    }
}
