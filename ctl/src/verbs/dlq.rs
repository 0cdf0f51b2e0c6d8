//! `aicpctl dlq`: dead letters, why they died, and what an operator does about them.

use client::{Node, Order};
use proto::control::{DeadLetter, Select};

use super::outbox::{called, tell};
use super::{node, select};
use crate::args::{Certain, Common, Dlq};
use crate::failure::Failure;
use crate::render::{BOLD, DIM, Out, escape, since, size};

pub(crate) async fn run(common: &Common, asked: Dlq, out: Out) -> Result<(), Failure> {
    let node = node(common).await?;
    match asked {
        Dlq::Ls(asked) => ls(&node, &select::listed(asked), out).await,
        Dlq::Show(asked) => show(&node, &asked.id, out).await,
        Dlq::Requeue(asked) => {
            let done = select::order(&node, Order::Requeue, &select::which(&asked)?).await?;
            tell(&done, "put back; they come marked", out);
            Ok(())
        }
        Dlq::Purge(asked) => purge(&node, &asked, out).await,
    }
}

async fn ls(node: &Node, asked: &Select, out: Out) -> Result<(), Failure> {
    let found = node.dead_letters(asked).await.map_err(select::refused)?;
    out.object("dead", &found);
    if out.is_json() {
        return Ok(());
    }
    if found.letters.is_empty() {
        out.talk("there are no dead letters");
        return Ok(());
    }
    let head = ["MESSAGE", "TYPE", "FROM", "TO", "SIZE", "DEAD", "CODE", "WHY"].map(String::from).to_vec();
    let rows = found.letters.iter().map(|letter| {
        vec![
            escape(&letter.message_id),
            escape(&letter.message_type),
            called(&letter.source_name, "", &letter.source),
            called(&letter.destination_name, "", &letter.destination),
            size(letter.bytes),
            since(letter.since, found.time),
            letter.code.to_string(),
            escape(&letter.why),
        ]
    });
    out.table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    let shown = found.letters.len();
    if u64::try_from(shown).unwrap_or(u64::MAX) < found.total {
        out.talk(format_args!("the oldest {shown} of {} ({})", found.total, size(found.bytes)));
    }
    Ok(())
}

async fn show(node: &Node, id: &str, out: Out) -> Result<(), Failure> {
    let found = node.dead_letters(&select::one(id)?).await.map_err(select::refused)?;
    if found.letters.is_empty() {
        return Err(select::not_found(id, "a dead letter"));
    }
    out.object("dead", &found);
    for letter in &found.letters {
        show_one(letter, found.time, out);
    }
    Ok(())
}

fn show_one(letter: &DeadLetter, now: u64, out: Out) {
    let line = |word: &str, text: String| out.line(format_args!("  {DIM}{word:<9}{DIM:#} {text}"));
    out.line(format_args!("{BOLD}{}{BOLD:#} {}", escape(&letter.message_id), escape(&letter.message_type)));
    line("from", format!("{} {}", escape(&letter.source_name), escape(&letter.source)));
    line("to", format!("{} {}", escape(&letter.destination_name), escape(&letter.destination)));
    line("size", size(letter.bytes));
    line("accepted", format!("{} ago", since(letter.timestamp, now)));
    line("dead", format!("for {}", since(letter.since, now)));
    line("why", format!("{} (AICP-{})", escape(&letter.why), letter.code));
    let requeues = if letter.requeues { "aicpctl dlq requeue puts it back" } else { "cannot be put back" };
    line("what now", format!("{requeues}; aicpctl dlq purge forgets it"));
}

async fn purge(node: &Node, asked: &Certain, out: Out) -> Result<(), Failure> {
    let select = select::which(&asked.which)?;
    let found = node.dead_letters(&Select { limit: 1, ..select.clone() }).await.map_err(select::refused)?;
    if let Some(id) = asked.which.id.as_deref().filter(|_| found.total == 0) {
        return Err(select::not_found(id, "a dead letter"));
    }
    select::sure(asked, "forget", found.total, found.bytes, out)?;
    let done = select::order(node, Order::Purge, &select).await?;
    tell(&done, "forgotten", out);
    Ok(())
}
