//! What was found, for people and for programs. It judges nothing.

use std::fmt::{Display, Formatter, Result as Shown, Write};

use serde_json::{Value, json};
use store::Harm;

use super::{DayKey, JournalSeen, NextStart, Report};

/// One screen.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = write_text(&mut out, report);
    out
}

fn write_text(out: &mut String, report: &Report) -> Shown {
    let name = report.name.as_ref().map_or_else(String::new, |name| format!(" ({name})"));
    let node = report.node.map_or_else(|| "unknown".into(), |node| node.to_string());
    writeln!(out, "state      {}", report.state.display())?;
    writeln!(out, "node       {node}{name}")?;
    for agent in &report.agents {
        let id = agent.id.map_or_else(|| "key cannot be read".into(), |id| id.to_string());
        writeln!(out, "agent      {} of uid {}: {id}", agent.name, agent.uid)?;
    }
    for seen in &report.days {
        let entries = seen.entries.map_or_else(String::new, |entries| format!(", needed by {entries} entries"));
        writeln!(out, "day key    {}: {}{entries}", Date(seen.day), word_of_key(seen.key))?;
    }
    if let Some(journal) = &report.journal {
        write_journal(out, journal)?;
    }
    for note in &report.notes {
        writeln!(out, "note       {note}")?;
    }
    writeln!(out, "next start {}", words_of_next(report.next))?;
    for fault in &report.faults {
        writeln!(out, "\nfault: {}", fault.what)?;
        writeln!(out, "  why: {}\n  now: {}\n  fix: {}", fault.why, fault.now, fault.fix)?;
    }
    match report.faults.len() {
        0 => writeln!(out, "sound"),
        count => writeln!(out, "\nnot sound: {count} found"),
    }
}

fn write_journal(out: &mut String, journal: &JournalSeen) -> Shown {
    let stop = if journal.is_clean { "stopped cleanly" } else { "not stopped cleanly" };
    let JournalSeen { live_bytes, disk_bytes, .. } = journal;
    let transactions: u64 = journal.segments.iter().map(|segment| segment.transactions).sum();
    let segments = journal.segments.len();
    writeln!(out, "journal    {segments} segments, {disk_bytes} bytes, {live_bytes} live; {stop}")?;
    writeln!(out, "records    {transactions} good, {} stretches damaged", journal.damaged.len())?;
    let kinds: Vec<String> = journal.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    writeln!(out, "entries    {}", if kinds.is_empty() { "none".into() } else { kinds.join(", ") })?;
    for (why, count) in &journal.lost {
        writeln!(out, "lost       {count} entries: {why}")?;
    }
    match journal.birth {
        Some(birth) => writeln!(out, "born       {}, for an identity that was there before", Date(day_of(birth))),
        None => Ok(()),
    }
}

/// The same as an object, with the schema `aicp.fsck/1`.
#[must_use]
pub fn json(report: &Report) -> Value {
    let agents = report
        .agents
        .iter()
        .map(|agent| json!({ "name": agent.name.as_str(), "uid": agent.uid, "id": agent.id.map(|id| id.to_string()) }));
    let days = report.days.iter().map(|seen| {
        let key = word_of_key(seen.key);
        json!({ "day": seen.day, "date": Date(seen.day).to_string(), "key": key, "entries": seen.entries })
    });
    let faults = report
        .faults
        .iter()
        .map(|fault| json!({ "what": fault.what, "why": fault.why, "now": fault.now, "fix": fault.fix }));
    json!({
        "schema": "aicp.fsck/1",
        "sound": report.is_sound(),
        "state_dir": report.state.display().to_string(),
        "node_id": report.node.map(|node| node.to_string()),
        "node_name": report.name.as_ref().map(proto::Name::as_str),
        "agents": agents.collect::<Value>(),
        "day_keys": days.collect::<Value>(),
        "journal": report.journal.as_ref().map(json_of_journal),
        "next_start": word_of_next(report.next),
        "notes": report.notes,
        "faults": faults.collect::<Value>(),
    })
}

fn json_of_journal(journal: &JournalSeen) -> Value {
    let segments = journal.segments.iter().map(
        |found| json!({ "segment": found.segment.get(), "bytes": found.bytes, "transactions": found.transactions }),
    );
    let damaged = journal.damaged.iter().map(|damage| {
        let (harm, transactions) = match &damage.harm {
            Harm::Header => ("header", None),
            Harm::Truncated => ("truncated", None),
            Harm::Transactions { count, .. } => ("transactions", *count),
        };
        let (segment, at, bytes) = (damage.segment.get(), damage.at, damage.bytes);
        json!({ "segment": segment, "at": at, "bytes": bytes, "harm": harm, "transactions": transactions })
    });
    let torn = journal.torn.map(|torn| {
        let (segment, at, bytes, dropped) = (torn.segment.get(), torn.at, torn.bytes, torn.dropped);
        json!({ "segment": segment, "at": at, "bytes": bytes, "dropped": dropped })
    });
    let entries = journal.kinds.iter().map(|(kind, count)| ((*kind).to_owned(), Value::from(*count)));
    let lost = journal.lost.iter().map(|(why, count)| json!({ "why": why, "entries": count }));
    json!({
        "segments": segments.collect::<Value>(),
        "damaged": damaged.collect::<Value>(),
        "torn_tail": torn,
        "clean": journal.is_clean,
        "entries": entries.collect::<serde_json::Map<_, _>>(),
        "lost": lost.collect::<Value>(),
        "live_bytes": journal.live_bytes,
        "disk_bytes": journal.disk_bytes,
        "birth": journal.birth.map(|birth| birth.to_string()),
        "contradiction": journal.contradiction.as_ref().map(ToString::to_string),
    })
}

const fn word_of_key(key: DayKey) -> &'static str {
    match key {
        DayKey::Opens => "opens",
        DayKey::Closed => "does not open",
        DayKey::Missing => "missing",
    }
}

const fn word_of_next(next: NextStart) -> &'static str {
    match next {
        NextStart::Clean => "clean",
        NextStart::Unclean => "unclean",
        NextStart::Born => "born",
        NextStart::Refuses => "refuses",
    }
}

const fn words_of_next(next: NextStart) -> &'static str {
    match next {
        NextStart::Clean => "marks only what had been delivered and was not acknowledged",
        NextStart::Unclean => "marks all that waits in mailboxes: the last stop was not clean",
        NextStart::Born => {
            "marks all that waits, and all accepted until ten minutes after it: the journal has forgotten"
        }
        NextStart::Refuses => "fails, until the faults below are mended",
    }
}

const fn day_of(wall: u64) -> u64 {
    wall / (24 * proto::limits::HOUR)
}

/// A day since 1970, as a date.
struct Date(u64);

impl Display for Date {
    fn fmt(&self, f: &mut Formatter<'_>) -> Shown {
        const DAYS_OF_400_YEARS: u64 = 146_097;
        const FROM_MARCH_OF_YEAR_0: u64 = 719_468;
        let days = self.0.saturating_add(FROM_MARCH_OF_YEAR_0);
        let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        // Counted from March, so that February, whose length changes, comes last.
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        write!(f, "{:04}-{month:02}-{day:02}", era * 400 + year + next)
    }
}

#[cfg(test)]
mod tests {
    use super::Date;

    #[test]
    fn a_day_has_its_date() {
        for (day, date) in [(0, "1970-01-01"), (59, "1970-03-01"), (11_016, "2000-02-29"), (20_778, "2026-11-21")] {
            assert_eq!(Date(day).to_string(), date);
        }
    }
}
