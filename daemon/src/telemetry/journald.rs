//! Events as the journal of systemd keeps them: each value of an event is a field of its own, `AICP_` before its name.
//! It waits for the journal as standard error would, and cuts what is too long.

use std::fmt::{Debug, Write};
use std::io;
use std::os::unix::net::UnixDatagram;

use proto::limits;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::escape;

const SOCKET: &str = "/run/systemd/journal/socket";

/// Moments in the life of a daemon that have a name of their own, by the words that tell them. `systemd/aicpd.catalog`
/// says to `journalctl -x` what each of them means.
const NAMED: [(&str, &str); 4] = [
    ("aicpd is running", "e8a37cf6a3cd4dcbb4c6b3b6a3e7d5f1"),
    ("stopping; a second signal ends at once", "5fb1d3f4ef2a4b0f9d5c7e2a90c44d13"),
    ("restarting in place", "b2d6a9c1704f4cde8a51f3079be26c58"),
    ("ending", "0c9e52f1d86b4d7fb7a3e8d415f60a92"),
];

/// The way to the journal.
#[derive(Debug)]
pub(super) struct Journald(UnixDatagram);

impl Journald {
    /// If it listens.
    pub(super) fn open() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(SOCKET)?;
        Ok(Self(socket))
    }
}

impl<S: Subscriber> Layer<S> for Journald {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut entry = Entry::default();
        event.record(&mut entry);
        let bytes = entry.finish(event.metadata());
        // Its socket outlives the journal itself, so that only a host that is going down loses a line.
        drop(self.0.send(&bytes).or_else(|_| self.0.send_to(&bytes, SOCKET)));
    }
}

/// What an event says, as it is gathered.
#[derive(Default)]
struct Entry {
    words: String,
    /// Its values as people read them.
    values: String,
    fields: String,
}

impl Entry {
    fn note(&mut self, field: &Field, shown: &str, plain: &str) {
        if field.name() == "message" {
            plain.clone_into(&mut self.words);
            return;
        }
        // Writing into memory does not fail.
        let _ = write!(self.values, " {}={shown}", field.name());
        let name: String = field.name().chars().map(as_in_a_name).collect();
        put(&mut self.fields, &format!("AICP_{name}"), plain, limits::LOG_FIELD_BYTES);
    }

    fn finish(self, metadata: &Metadata<'_>) -> Vec<u8> {
        let mut text = self.fields;
        if let Some((_, id)) = NAMED.iter().find(|(words, _)| *words == self.words) {
            put(&mut text, "MESSAGE_ID", id, limits::LOG_FIELD_BYTES);
        }
        put(&mut text, "MESSAGE", &(self.words + &self.values), limits::LOG_TEXT_BYTES);
        put(&mut text, "PRIORITY", priority(*metadata.level()), limits::LOG_FIELD_BYTES);
        put(&mut text, "SYSLOG_IDENTIFIER", "aicpd", limits::LOG_FIELD_BYTES);
        put(&mut text, "AICP_PART", metadata.target(), limits::LOG_FIELD_BYTES);
        text.into_bytes()
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, &format!("{value:?}"), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        self.note(field, &text, &text);
    }
}

/// One line; whatever would end it early or do something to a terminal is escaped.
fn put(text: &mut String, name: &str, value: &str, most: usize) {
    let value = escape(value);
    let upto = value.floor_char_boundary(most);
    let value = value.get(..upto).unwrap_or_default();
    let _ = writeln!(text, "{name}={value}");
}

/// Names of the journal are capitals, digits and underscores.
const fn as_in_a_name(c: char) -> char {
    if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }
}

/// As syslog counts: error, warning, informational, debug.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// What each event would become.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            let mut entry = Entry::default();
            event.record(&mut entry);
            let bytes = entry.finish(event.metadata());
            self.0.lock().expect("no panic").push(String::from_utf8(bytes).expect("text"));
        }
    }

    fn entries(events: impl FnOnce()) -> Vec<String> {
        let kept = Kept::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(kept.clone()), events);
        kept.0.lock().expect("no panic").clone()
    }

    #[test]
    fn each_value_of_an_event_is_a_field_and_its_words_are_read_as_before() {
        let entries = entries(|| tracing::warn!(peer = %"beta", why = "gone", tries = 3, "a peer is down"));
        let lines: Vec<&str> = entries[0].lines().collect();
        for line in [
            "AICP_PEER=beta",
            "AICP_WHY=gone",
            "AICP_TRIES=3",
            "MESSAGE=a peer is down peer=beta why=\"gone\" tries=3",
            "PRIORITY=4",
            "SYSLOG_IDENTIFIER=aicpd",
        ] {
            assert!(lines.contains(&line), "{line} is missing in {lines:?}");
        }
        assert!(!entries[0].contains("MESSAGE_ID"), "only what has a name has an id");
    }

    #[test]
    fn nothing_that_somebody_else_says_makes_a_field_or_an_entry_of_its_own() {
        let hostile = "x\nPRIORITY=0\n\nMESSAGE=owned\u{1b}[2J";
        let entries = entries(|| tracing::info!(why = hostile, "aicpd is running"));
        let names: Vec<&str> = entries[0].lines().map(|line| line.split_once('=').expect("a field").0).collect();
        let wanted = ["AICP_WHY", "MESSAGE_ID", "MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "AICP_PART"];
        assert_eq!(names, wanted);
        assert!(!entries[0].contains('\u{1b}'), "{:?}", entries[0]);
    }

    #[test]
    fn a_value_that_is_too_long_is_cut_and_the_rest_of_the_event_is_kept() {
        let long = "ü".repeat(limits::LOG_TEXT_BYTES);
        let entries = entries(|| tracing::error!(why = long, "the journal failed"));
        assert!(entries[0].len() < limits::LOG_TEXT_BYTES + 2 * limits::LOG_FIELD_BYTES);
        assert!(entries[0].contains("\nMESSAGE=the journal failed") && entries[0].contains("\nPRIORITY=3\n"));
    }
}
