//! What is shown: data on standard output, talk on standard error, for people or for programs. Nothing that came from the
//! network reaches a terminal unescaped. Colours are for terminals alone, and `NO_COLOR` switches them off.

mod data;

use std::io::Write;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use proto::is_active;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::failure::{Exit, Failure};

/// How data looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For people with room: ids in full
    Wide,
    /// One object, on one line
    Json,
    /// The same, but of a list each item on a line of its own
    Jsonl,
    /// One document for each object
    Yaml,
    /// Ids alone, one a line
    Id,
}

/// Where data and talk go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Out {
    format: Format,
}

pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const BOLD: Style = Style::new().bold();

impl Out {
    pub(crate) const fn new(format: Format) -> Self {
        Self { format }
    }

    /// A program reads: objects are shown, and lines are not.
    pub(crate) const fn is_json(self) -> bool {
        !matches!(self.format, Format::Table | Format::Wide)
    }

    /// Ids in full.
    pub(crate) const fn is_wide(self) -> bool {
        matches!(self.format, Format::Wide)
    }

    /// An id as people read it, as far as they have room.
    pub(crate) fn id(self, text: &str) -> String {
        let id = text.parse::<client::AgentId>().ok().filter(|_| !self.is_wide());
        id.map_or_else(|| escape(text), |id| id.short())
    }

    /// A line of data, for people. Whoever reads may have left.
    pub(crate) fn line(self, line: impl std::fmt::Display) {
        if !self.is_json() {
            let _ = writeln!(anstream::stdout().lock(), "{line}");
        }
    }

    /// An object of data, for programs. Its schema is `aicp.<verb>/1`.
    pub(crate) fn object(self, verb: &str, value: impl Serialize) {
        if !self.is_json() {
            return;
        }
        let fields = match serde_json::to_value(value) {
            Ok(Value::Object(fields)) => fields,
            Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) | Err(_) => {
                Map::new()
            }
        };
        for line in data::lines(self.format, verb, fields) {
            let _ = writeln!(anstream::stdout().lock(), "{line}");
        }
    }

    /// What a program made for a program, as it is.
    pub(crate) fn raw(self, text: &str) {
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }

    /// Talk.
    pub(crate) fn talk(self, line: impl std::fmt::Display) {
        let _ = writeln!(anstream::stderr().lock(), "{line}");
    }

    /// A story is data where it is all there is, and talk beside JSON.
    pub(crate) fn story(self, line: impl std::fmt::Display) {
        if self.is_json() { self.talk(line) } else { self.line(line) }
    }

    /// Says what went wrong.
    pub(crate) fn fail(self, failure: &Failure) {
        if failure.exit == Exit::Interrupted {
            return self.talk("interrupted");
        }
        if self.is_json() {
            let code = failure.code.map(|code| code.get());
            let told = json!({
                "exit": failure.exit as u8, "code": code, "what": failure.what, "why": failure.why,
                "now": failure.now, "fix": failure.fix,
            });
            return self.talk(data::json_line("error", &told.as_object().cloned().unwrap_or_default()));
        }
        let code = failure.code.map(|code| format!("[{code}]")).unwrap_or_default();
        self.talk(format_args!("{RED}error{code}{RED:#}: {}", escape(&failure.what)));
        let lines = [("why", &failure.why), ("now", &failure.now), ("fix", &failure.fix)];
        for (word, line) in lines {
            if let Some(line) = line {
                self.talk(format_args!("  {DIM}{word}:{DIM:#} {}", escape(line)));
            }
        }
    }

    /// Columns as wide as what stands in them; the first row is their names.
    pub(crate) fn table(self, rows: &[Vec<String>]) {
        for (index, line) in columns(rows).into_iter().enumerate() {
            if index == 0 {
                self.line(format_args!("  {DIM}{line}{DIM:#}"));
            } else {
                self.line(format_args!("  {line}"));
            }
        }
    }
}

/// A line for each row, in columns as wide as what stands in them.
pub(crate) fn columns(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// One line that does nothing to a terminal.
pub(crate) fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if is_active(c) {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    })
}

/// The body of a message: lines stay lines, all else that does something is escaped, and so are bytes that are no text.
pub(crate) fn escape_body(body: &[u8]) -> String {
    let Ok(text) = core::str::from_utf8(body) else { return body.escape_ascii().to_string() };
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if is_active(c) && !matches!(c, '\n' | '\t') {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    })
}

/// A body in JSON: itself where it is JSON, text where it is text, else hex.
pub(crate) fn body_in_json(body: &[u8], is_json: bool) -> Value {
    if is_json && let Ok(value) = serde_json::from_slice::<Value>(body) {
        return json!({ "body": value });
    }
    match core::str::from_utf8(body) {
        Ok(text) => json!({ "body": text }),
        Err(_) => json!({ "body_hex": body.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

/// A short time, with three digits.
pub(crate) fn short(time: Duration) -> String {
    let us = time.as_secs_f64() * 1e6;
    match us {
        us if us < 1e3 => format!("{us:.0} µs"),
        us if us < 1e5 => format!("{:.2} ms", us / 1e3),
        us if us < 1e6 => format!("{:.0} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

/// A long time, in its two largest units.
pub(crate) fn long(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0 => format!("{ms} ms"),
        1..60 => format!("{s}s"),
        60..3600 => format!("{}m {}s", s / 60, s % 60),
        3600..86400 => format!("{}h {}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d {}h", s / 86400, s % 86400 / 3600),
    }
}

/// How long ago a moment was, both in ns of one clock.
pub(crate) fn since(moment: u64, now: u64) -> String {
    long(now.saturating_sub(moment) / 1_000_000)
}

/// When a moment comes, or that it is past.
pub(crate) fn until(moment: u64, now: u64) -> String {
    match moment.checked_sub(now) {
        Some(left) => format!("in {}", long(left / 1_000_000)),
        None => format!("{} ago", since(moment, now)),
    }
}

/// Hours, minutes, seconds and milliseconds of a moment in ns since 1970, in UTC.
pub(crate) fn time_of_day(moment: u64) -> String {
    let ms = moment / 1_000_000 % 86_400_000;
    format!("{:02}:{:02}:{:02}.{:03}Z", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

/// Bytes, in the largest fitting unit.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = UNITS.iter();
    let mut shown = unit.next().copied().unwrap_or_default();
    let mut left = bytes as f64;
    for larger in unit {
        if left < 1024.0 {
            break;
        }
        left /= 1024.0;
        shown = larger;
    }
    if shown == "B" { format!("{bytes} B") } else { format!("{left:.1} {shown}") }
}

/// `s` after all numbers but one.
pub(crate) const fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_the_network_does_nothing_to_a_terminal() {
        assert_eq!(escape("a\u{1b}[31mb\n\u{9b}c\u{202e}d\u{7f}"), r"a\u{1b}[31mb\n\u{9b}c\u{202e}d\u{7f}");
        assert_eq!(escape_body("zwei\n\tüber\r".as_bytes()), "zwei\n\tüber\\r");
        assert_eq!(escape_body(b"\xff\x1b"), r"\xff\x1b");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(short(Duration::from_micros(1234)), "1.23 ms");
        assert_eq!(long(3 * 86_400_000 + 4 * 3_600_000), "3d 4h");
        assert_eq!(size(1_258_291), "1.2 MiB");
        assert_eq!(time_of_day(1_763_716_985_123_456_789), "09:23:05.123Z");
        assert_eq!((since(5, 3), until(3_000_000_000, 0)), ("0 ms".into(), "in 3s".into()));
    }
}
