//! `aicpctl explain`: the story of one message from both ends. Where it stands comes first, then how it got there.

use proto::control::{Moment, Story};

use super::outbox::called;
use super::{node, select};
use crate::args::{Common, Explain};
use crate::failure::{Exit, Failure};
use crate::render::{BOLD, DIM, Out, YELLOW, escape, short, since, size};

pub(crate) async fn run(common: &Common, asked: Explain, out: Out) -> Result<(), Failure> {
    let id = select::message_id(&asked.id)?;
    let story = node(common).await?.explain(id).await.map_err(select::refused)?;
    if story.moments.is_empty() && story.now.is_empty() {
        return Err(unknown(&asked.id, &story));
    }
    out.object("story", &story);
    if !out.is_json() {
        show(&story, out);
    }
    Ok(())
}

fn unknown(id: &str, story: &Story) -> Failure {
    let failure = Failure::new(Exit::NotFound, format!("nothing is remembered of message {id}"));
    let failure = if story.silent.is_empty() {
        failure.why("what happened is remembered in memory, for the latest messages")
    } else {
        failure.why(format!("and {} did not say what they know", story.silent.join(", ")))
    };
    failure.fix("ask the nodes at both its ends; their logs may say more")
}

fn show(story: &Story, out: Out) {
    for sentence in &story.now {
        out.line(format_args!("{BOLD}{}{BOLD:#}", escape(sentence)));
    }
    for silent in &story.silent {
        out.line(format_args!("{YELLOW}{}: did not say what it knows{YELLOW:#}", escape(silent)));
    }
    let Some(first) = story.moments.first() else { return };
    out.line(format_args!("{DIM}{} began {} ago{DIM:#}", escape(&story.message_id), since(first.time, story.time)));
    let head = ["AFTER", "NODE", "WHAT", "TYPE", "FROM", "TO", "DETAILS"].map(String::from).to_vec();
    let rows = story.moments.iter().map(|moment| {
        let after = std::time::Duration::from_nanos(moment.time.saturating_sub(first.time));
        let mut row = vec![short(after), escape(&moment.node_name)];
        row.extend(cells(moment));
        row
    });
    out.table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
}

/// What happened, to what, between whom, and what goes with it.
pub(super) fn cells(moment: &Moment) -> [String; 5] {
    let mut details = Vec::new();
    if moment.attempt > 0 {
        details.push(format!("number {}", moment.attempt));
    }
    if moment.bytes > 0 {
        details.push(size(moment.bytes));
    }
    if moment.code > 0 {
        details.push(format!("AICP-{}", moment.code));
    }
    [
        escape(&moment.what),
        escape(&moment.message_type),
        called(&moment.source_name, "", &moment.source),
        called(&moment.destination_name, "", &moment.destination),
        details.join(" "),
    ]
}
