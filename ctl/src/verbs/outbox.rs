//! `aicpctl outbox`: what this node owns, why it is still here, and what an operator does about it.

use client::{Node, Order};
use proto::control::{OutboxMessage, Select};

use super::{node, select};
use crate::args::{Certain, Common, Outbox};
use crate::failure::Failure;
use crate::render::{BOLD, DIM, Out, escape, plural, since, size, until};

pub(crate) async fn run(common: &Common, asked: Outbox, out: Out) -> Result<(), Failure> {
    let node = node(common).await?;
    match asked {
        Outbox::Ls(asked) => ls(&node, &select::listed(asked), out).await,
        Outbox::Show(asked) => show(&node, &asked.id, out).await,
        Outbox::Retry(asked) => {
            let done = select::order(&node, Order::Retry, &select::which(&asked)?).await?;
            tell(&done, "on their way again", out);
            Ok(())
        }
        Outbox::Drop(asked) => drop_them(&node, &asked, out).await,
    }
}

async fn ls(node: &Node, asked: &Select, out: Out) -> Result<(), Failure> {
    let found = node.outbox(asked).await.map_err(select::refused)?;
    out.object("outbox", &found);
    if out.is_json() {
        return Ok(());
    }
    if found.messages.is_empty() {
        out.talk("nothing waits in the outbox");
        return Ok(());
    }
    let head = ["MESSAGE", "TYPE", "FROM", "TO", "SIZE", "AGE", "STATE", "WHY"].map(String::from).to_vec();
    let rows = found.messages.iter().map(|message| {
        vec![
            escape(&message.message_id),
            escape(&message.message_type),
            called(&message.source_name, "", &message.source),
            called(&message.destination_name, &message.node_name, &message.destination),
            size(message.bytes),
            since(message.timestamp, found.time),
            escape(&message.state),
            escape(&message.why),
        ]
    });
    out.table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    let shown = found.messages.len();
    if u64::try_from(shown).unwrap_or(u64::MAX) < found.total {
        out.talk(format_args!("the oldest {shown} of {} ({})", found.total, size(found.bytes)));
    }
    Ok(())
}

async fn show(node: &Node, id: &str, out: Out) -> Result<(), Failure> {
    let found = node.outbox(&select::one(id)?).await.map_err(select::refused)?;
    if found.messages.is_empty() {
        return Err(select::not_found(id, "in the outbox"));
    }
    out.object("outbox", &found);
    for message in &found.messages {
        show_one(message, found.time, out);
    }
    Ok(())
}

fn show_one(message: &OutboxMessage, now: u64, out: Out) {
    let line = |word: &str, text: String| out.line(format_args!("  {DIM}{word:<9}{DIM:#} {text}"));
    out.line(format_args!("{BOLD}{}{BOLD:#} {}", escape(&message.message_id), escape(&message.message_type)));
    line("from", format!("{} {}", escape(&message.source_name), escape(&message.source)));
    let to = called(&message.destination_name, &message.node_name, "");
    line("to", format!("{to} {}", escape(&message.destination)));
    line("size", size(message.bytes));
    line("accepted", format!("{} ago", since(message.timestamp, now)));
    line("expires", until(message.expiry, now));
    line("attempts", format!("{} since the daemon started", message.attempts));
    line("state", format!("{}: {}", escape(&message.state), escape(&message.why)));
}

async fn drop_them(node: &Node, asked: &Certain, out: Out) -> Result<(), Failure> {
    let select = select::which(&asked.which)?;
    let found = node.outbox(&Select { limit: 1, ..select.clone() }).await.map_err(select::refused)?;
    if let Some(id) = asked.which.id.as_deref().filter(|_| found.total == 0) {
        return Err(select::not_found(id, "in the outbox"));
    }
    select::sure(asked, "give up", found.total, found.bytes, out)?;
    let done = select::order(node, Order::Drop, &select).await?;
    tell(&done, "given up; their senders are told", out);
    Ok(())
}

/// How many an order touched.
pub(super) fn tell(done: &proto::control::Done, what: &str, out: Out) {
    out.object("done", done);
    let count = usize::try_from(done.count).unwrap_or(usize::MAX);
    out.line(format_args!("{count} message{} {what}", plural(count)));
}

/// An agent by its name, or by its id where no name is known.
pub(super) fn called(name: &str, node: &str, id: &str) -> String {
    match (name, node) {
        ("", _) => super::short_id(id),
        (name, "") => escape(name),
        (name, node) => format!("{}@{}", escape(name), escape(node)),
    }
}
