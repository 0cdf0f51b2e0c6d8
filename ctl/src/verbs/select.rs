//! Which messages an operator means, whether they are sure, and what becomes of an order: shared by the verbs that list
//! and order.

use std::io::{BufRead, IsTerminal};

use client::{ClientError, ErrorCode, MessageId, Node, Order};
use proto::control::{Done, Select};
use proto::limits;

use crate::args::{Certain, List, Which};
use crate::failure::{Exit, Failure};
use crate::render::{Out, plural, size};

/// What a list is asked for.
pub(super) fn listed(asked: List) -> Select {
    Select {
        agent: asked.agent.unwrap_or_default(),
        node: asked.node.unwrap_or_default(),
        limit: asked.limit,
        ..Select::default()
    }
}

/// One message.
pub(super) fn one(id: &str) -> Result<Select, Failure> {
    Ok(Select { message_id: message_id(id)?.to_string(), ..Select::default() })
}

/// What an order is for. The grammar has seen to it that something is said.
pub(super) fn which(asked: &Which) -> Result<Select, Failure> {
    Ok(Select {
        message_id: asked.id.as_deref().map(message_id).transpose()?.map_or_else(String::new, |id| id.to_string()),
        agent: asked.agent.clone().unwrap_or_default(),
        node: asked.node.clone().unwrap_or_default(),
        all: asked.all,
        limit: 0,
    })
}

pub(super) fn message_id(text: &str) -> Result<MessageId, Failure> {
    MessageId::parse(text).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("`{text}` is no message id: one is 16 digits of 0-9 a-f"))
            .fix("aicpctl outbox ls, aicpctl dlq ls and aicpctl send print them")
    })
}

/// Asks whoever sits at the terminal, unless they said that they are sure.
pub(super) fn sure(asked: &Certain, doing: &str, total: u64, bytes: u64, out: Out) -> Result<(), Failure> {
    if asked.yes || total == 0 {
        return Ok(());
    }
    let count = usize::try_from(total).unwrap_or(usize::MAX);
    let what = format!("{doing} {total} message{} ({})", plural(count), size(bytes));
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, format!("this would {what}, and nobody is there to be asked"))
            .now("nothing was changed")
            .fix("add --yes"));
    }
    out.talk(format_args!("{what}? [y/N]"));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::new(Exit::Interrupted, "not confirmed").now("nothing was changed"))
}

/// Orders until all of what was selected is touched: one order touches a bounded number.
pub(super) async fn order(node: &Node, order: Order, select: &Select) -> Result<Done, Failure> {
    let mut done = node.order(order, select).await.map_err(refused)?;
    let most = u64::try_from(limits::SELECTED_MAX).unwrap_or(u64::MAX);
    // A retry leaves what it touches where it is.
    let mut last = done.count;
    while order != Order::Retry && last >= most {
        last = node.order(order, select).await.map_err(refused)?.count;
        done.count += last;
    }
    Ok(done)
}

/// Why the node did not do or tell what was asked.
pub(super) fn refused(error: ClientError) -> Failure {
    let ClientError::Refused { code, message, retry_after_ms } = error else { return error.into() };
    // The node may know better than we do what helps.
    let (why, own_fix) = message.split_once("; fix: ").map_or((&*message, None), |(why, fix)| (why, Some(fix)));
    let (exit, what, fix) = match code {
        ErrorCode::POLICY => (
            Exit::Denied,
            "this needs an administrator of the node",
            "sudo aicpctl …, or `[socket] admin_group = \"GROUP\"` in the daemon's configuration, and be its member",
        ),
        ErrorCode::OFFLINE => (Exit::NotFound, "there is no such agent or node", "aicpctl agents, aicpctl status"),
        ErrorCode::MALFORMED if own_fix.is_none() => (
            Exit::Usage,
            "the node does not understand what is asked",
            "aicpctl version: an older daemon does not know newer questions",
        ),
        _ => (Exit::Failed, "the node did not do it", "aicpctl status"),
    };
    let mut failure = Failure::new(exit, what).why(why).now("nothing was changed");
    failure.code = Some(code);
    match retry_after_ms {
        0 => failure.fix(own_fix.unwrap_or(fix)),
        ms => failure.fix(format!("try again in {ms} ms")),
    }
}

/// Nothing is there of what was named.
pub(super) fn not_found(id: &str, place: &str) -> Failure {
    Failure::new(Exit::NotFound, format!("no message {id} is {place}")).fix(format!("aicpctl explain {id}"))
}
