//! What the operator sees. Here, logs, to standard error or the journal of systemd: no payload is ever logged, and
//! nobody's address above DEBUG but those that are configured; a line of the log is one line, and does nothing to a
//! terminal that shows it. Below, what the shell counts, and the door where metrics and health are told.

pub(crate) mod counters;
mod door;
mod exposition;
mod http;
mod journald;

pub(crate) use door::MetricsDoor;

use std::io::{self, Write};
use std::sync::OnceLock;

use config::{Log, LogFormat};
use journald::Journald;
use proto::is_active;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::Handle;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

/// What is logged, for changing it.
static LEVEL: OnceLock<Handle<Targets, Registry>> = OnceLock::new();

/// Starts to log as the configuration says. Where standard error leads to the journal of systemd, what is text goes
/// there with its fields instead. Called once; a second call changes nothing.
pub fn start(log: &Log, stderr_is_the_journal: bool) {
    let journald = stderr_is_the_journal.then(Journald::open).and_then(Result::ok);
    let layer = match (log.format, journald) {
        (LogFormat::Text, Some(journald)) => journald.boxed(),
        (LogFormat::Text, None) => fmt::layer().with_target(false).with_ansi(false).with_writer(lines).boxed(),
        (LogFormat::Json, _) => fmt::layer().json().flatten_event(true).with_writer(lines).boxed(),
    };
    let (targets, handle) = reload::Layer::new(targets(&log.level));
    if tracing_subscriber::registry().with(layer.with_filter(targets)).try_init().is_ok() {
        drop(LEVEL.set(handle));
    }
}

/// From here on that is logged. Where nothing was started, nothing is changed.
pub(crate) fn set_level(level: &str) {
    if let Some(handle) = LEVEL.get() {
        drop(handle.reload(targets(level)));
    }
}

fn targets(level: &str) -> Targets {
    // The configuration has checked it; what it let through and this does not is logged as usual.
    let targets: Targets = level.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    // Other crates speak up only when something is wrong, unless they are asked.
    let quiet = [("quinn", LevelFilter::WARN), ("quinn_proto", LevelFilter::WARN), ("rustls", LevelFilter::WARN)];
    let asked = |name: &str| level.contains(name);
    targets.with_targets(quiet.into_iter().filter(|(name, _)| !asked(name)))
}

fn lines() -> Plain<io::Stderr> {
    Plain(io::stderr())
}

/// Takes whole lines, one at a time, and writes them with whatever is more than text escaped.
struct Plain<W>(W);

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let (text, end) = text.strip_suffix('\n').map_or((&*text, ""), |text| (text, "\n"));
        if text.contains(is_active) {
            self.0.write_all(escape(text).as_bytes())?;
            self.0.write_all(end.as_bytes())?;
        } else {
            self.0.write_all(line)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// As JSON writes it too, so that a line in JSON stays what it is.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if is_active(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_does_nothing_to_a_terminal() {
        let mut out = Plain(Vec::new());
        out.write_all("why=\"\u{1b}[2J\u{9b}1m\r\n\u{202e}gnp.exe\u{7f}\" Grüße\n".as_bytes()).expect("memory");
        let shown = String::from_utf8(out.0).expect("text");
        assert_eq!(shown, "why=\"\\u001b[2J\\u009b1m\\u000d\\u000a\\u202egnp.exe\\u007f\" Grüße\n");
    }
}
