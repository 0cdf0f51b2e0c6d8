//! `aicpctl logs`: what the daemon logged. Where systemd runs it, the journal has it; where it was started in the
//! background, a file in its state folder. A daemon in a terminal logs there, and nowhere else.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;

use super::host::{self, UNIT};
use crate::args::{Common, Logs, StateOf};
use crate::failure::{Exit, Failure};
use crate::render::{Out, escape};

/// Below the state folder.
pub(super) const LOG_FILE: &str = "aicpd.log";
/// Between two looks at a file that is followed.
const PAUSE: Duration = Duration::from_millis(250);
/// The end of a file, in which the latest lines are looked for.
const END_BYTES: u64 = 4 << 20;

/// Where the log is.
pub(super) enum Place {
    Journal,
    File(PathBuf),
}

pub(crate) async fn run(common: &Common, asked: &Logs, out: Out) -> Result<(), Failure> {
    match place(common, &asked.state).await? {
        Place::Journal => journal(asked, out).await,
        Place::File(path) => file(&path, asked, out).await,
    }
}

/// The journal if the unit runs, else the file, else the journal of a unit that has stopped.
pub(super) async fn place(common: &Common, asked: &StateOf) -> Result<Place, Failure> {
    let is_said = asked.state_dir.is_some() || asked.config.is_some();
    let unit = if is_said { None } else { unit_state().await };
    if unit.as_deref() == Some("active") {
        return Ok(Place::Journal);
    }
    let status = host::status(common).await;
    let path = host::state_dir(common, asked, status.as_ref())?.join(LOG_FILE);
    match (path.symlink_metadata(), unit) {
        (Ok(_), _) => Ok(Place::File(path)),
        (Err(_), Some(_)) => Ok(Place::Journal),
        (Err(error), None) => Err(Failure::new(Exit::NotFound, "there is no log of the daemon on this host")
            .why(format!("no unit {UNIT} is installed here, and {}: {error}", path.display()))
            .now("a daemon that was started in a terminal logs there")
            .fix("systemctl start aicpd, or aicpd run 2> FILE; --state-dir DIR if its state is elsewhere")),
    }
}

/// What systemd says of the unit, if there is such a unit.
async fn unit_state() -> Option<String> {
    if !host::has_systemd() {
        return None;
    }
    let mut asked = Command::new("systemctl");
    asked
        .args(["show", "--property=LoadState", "--property=ActiveState", UNIT])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let said = asked.output().await.ok()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let of = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned);
    (of("LoadState")? == "loaded").then(|| of("ActiveState").unwrap_or_default())
}

/// The journal's own program shows it: it knows who may read what.
async fn journal(asked: &Logs, out: Out) -> Result<(), Failure> {
    let mut command = Command::new("journalctl");
    command.args(["--unit", UNIT, "--lines", &asked.lines.to_string(), "--no-pager"]);
    if asked.follow {
        command.arg("--follow");
    }
    if out.is_json() {
        command.args(["--output", "json"]);
    }
    let ended = command.stdin(Stdio::null()).kill_on_drop(true).status().await;
    let failed = |why: String| {
        Failure::new(Exit::Failed, "the journal cannot be read")
            .why(why)
            .fix("be a member of the group systemd-journal")
    };
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(format!("journalctl ended with {status}"))),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// The latest lines that the journal has of the daemon.
pub(super) async fn of_journal(lines: u32) -> std::io::Result<String> {
    let mut command = Command::new("journalctl");
    command.args(["--unit", UNIT, "--lines", &lines.to_string(), "--no-pager", "--output", "short-iso"]);
    let said = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}

async fn file(path: &Path, asked: &Logs, out: Out) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
        let exit = if denied { Exit::Denied } else { Exit::Failed };
        Failure::new(exit, format!("{} cannot be read", path.display()))
            .why(error.to_string())
            .fix("run it as root, or as the user that runs the daemon")
    };
    let (lines, mut at) = latest(path, asked.lines).map_err(failed)?;
    lines.iter().for_each(|line| show(line, out));
    if !asked.follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(PAUSE).await;
        at = more(path, at, out).map_err(failed)?;
    }
}

/// The latest lines of a file, and where they end.
pub(super) fn latest(path: &Path, most: u32) -> std::io::Result<(Vec<String>, u64)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END_BYTES)))?;
    let mut end = Vec::new();
    file.take(END_BYTES).read_to_end(&mut end)?;
    let end = String::from_utf8_lossy(&end);
    // A line that is being written comes with the next look.
    let whole = end.rfind('\n').map_or("", |last| end.get(..=last).unwrap_or_default());
    let unfinished = u64::try_from(end.len() - whole.len()).unwrap_or(0);
    let lines: Vec<&str> = whole.lines().collect();
    let skipped = lines.len().saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
    let lines = lines.into_iter().skip(skipped).map(str::to_owned).collect();
    Ok((lines, length.saturating_sub(unfinished)))
}

/// Shows whole lines from there on. A file that is shorter than it was has begun anew.
fn more(path: &Path, at: u64, out: Out) -> std::io::Result<u64> {
    let mut file = File::open(path)?;
    let mut at = if file.metadata()?.len() < at { 0 } else { at };
    file.seek(SeekFrom::Start(at))?;
    let mut file = BufReader::new(file);
    let mut line = Vec::new();
    while file.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
        at += u64::try_from(line.len()).unwrap_or(0);
        show(String::from_utf8_lossy(&line).trim_end_matches('\n'), out);
        line.clear();
    }
    Ok(at)
}

fn show(line: &str, out: Out) {
    out.object("log", json!({ "line": line }));
    out.line(escape(line));
}
