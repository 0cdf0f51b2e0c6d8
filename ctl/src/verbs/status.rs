//! `aicpctl status`: one screen about the node on this host.

use client::Node;
use proto::control::{NodeStatus, PeerStatus};

use super::{node, short_id};
use crate::args::Common;
use crate::failure::Failure;
use crate::render::{BOLD, DIM, GREEN, Out, RED, YELLOW, escape, long, plural, size};

pub(crate) async fn run(common: &Common, out: Out) -> Result<(), Failure> {
    let node: Node = node(common).await?;
    let status = node.status().await?;
    out.object("status", &status);
    if !out.is_json() {
        show(&status, out);
    }
    Ok(())
}

fn show(status: &NodeStatus, out: Out) {
    out.line(format_args!(
        "{GREEN}●{GREEN:#} {BOLD}{}{BOLD:#}  {}  up {}  v{}",
        escape(&status.node_name),
        short_id(&status.node_id),
        long(status.uptime_ms),
        escape(&status.version)
    ));
    let up = status.peers.iter().filter(|peer| peer.state == "up").count();
    let attached = status.agents.iter().filter(|agent| agent.attached).count();
    out.line(format_args!(
        "  mesh {} · {} peer{} ({up} up) · {} agent{} ({attached} attached)",
        escape(&status.mesh),
        status.peers.len(),
        plural(status.peers.len()),
        status.agents.len(),
        plural(status.agents.len()),
    ));
    let outbox = counted("outbox", status.outbox_messages, status.outbox_bytes, status.outbox_oldest_ms);
    let mailboxes = counted("mailboxes", status.mailbox_messages, status.mailbox_bytes, status.mailbox_oldest_ms);
    let dead = counted("dead", status.dead_messages, status.dead_bytes, status.dead_oldest_ms);
    out.line(format_args!("  {outbox} · awaiting {} · {mailboxes} · {dead}", status.awaiting));
    let listen: Vec<_> = status.listen.iter().map(|address| escape(address)).collect();
    out.line(format_args!("  {DIM}listens on {} · state in {}{DIM:#}", listen.join(", "), escape(&status.state_dir)));
    if !status.peers.is_empty() {
        let head =
            ["PEER", "ID", "STATE", "ADDRESS", "RTT", "SENT", "RECEIVED", "LAST ERROR"].map(String::from).to_vec();
        let rows = status.peers.iter().map(peer_row);
        out.table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    }
    if !status.agents.is_empty() {
        let head = ["AGENT", "ID", "STATE", "WAITING", "OLDEST"].map(String::from).to_vec();
        let rows = status.agents.iter().map(|agent| {
            let state = if agent.attached { "● attached" } else { "○ away" };
            let (waiting, oldest) = match agent.waiting {
                0 => ("0".into(), "-".into()),
                count => (format!("{count} ({})", size(agent.waiting_bytes)), long(agent.oldest_ms)),
            };
            vec![escape(&agent.name), short_id(&agent.id), state.into(), waiting, oldest]
        });
        out.table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    }
    for warning in own_warnings(status) {
        out.line(format_args!("  {YELLOW}⚠{YELLOW:#} {warning}"));
    }
    for warning in &status.warnings {
        out.line(format_args!("  {YELLOW}⚠{YELLOW:#} {}", escape(warning)));
    }
    for peer in status.peers.iter().filter(|peer| peer.state == "down" && !peer.last_error.is_empty()) {
        let ago = long(peer.since_ms);
        out.line(format_args!(
            "  {RED}✗{RED:#} {} is down since {ago}: {}",
            escape(&peer.name),
            escape(&peer.last_error)
        ));
    }
}

/// How much waits somewhere, and how old the oldest of it is.
fn counted(what: &str, messages: u64, bytes: u64, oldest_ms: u64) -> String {
    match messages {
        0 => format!("{what} 0"),
        count => format!("{what} {count} ({}, oldest {})", size(bytes), long(oldest_ms)),
    }
}

/// What the numbers mean, and what to do about it.
fn own_warnings(status: &NodeStatus) -> Vec<String> {
    let mut warnings = Vec::new();
    if status.expiry_suspended {
        warnings.push(
            "the clock of this host jumped, so nothing expires until it has been steady for 10 minutes   → if it is \
             right now: aicpctl clock trust"
                .into(),
        );
    }
    if status.disk_full {
        warnings.push(
            "the disk is full: nothing new is taken, what is here goes on   → make room in the state folder".into(),
        );
    }
    if status.dead_messages > 0 {
        let count = usize::try_from(status.dead_messages).unwrap_or(usize::MAX);
        warnings.push(format!("{count} dead letter{}   → aicpctl dlq ls", plural(count)));
    }
    warnings
}

fn peer_row(peer: &PeerStatus) -> Vec<String> {
    let mark = match peer.state.as_str() {
        "up" => "●",
        "dialing" => "◐",
        _ => "○",
    };
    let rtt = match peer.rtt_us {
        0 => "-".into(),
        us => crate::render::short(std::time::Duration::from_micros(us)),
    };
    let traffic = |messages: u64, bytes: u64| format!("{messages} ({})", size(bytes));
    vec![
        escape(&peer.name),
        short_id(&peer.id),
        format!("{mark} {} {}", escape(&peer.state), long(peer.since_ms)),
        escape(&peer.address),
        rtt,
        traffic(peer.sent_messages, peer.sent_bytes),
        traffic(peer.received_messages, peer.received_bytes),
        if peer.last_error.is_empty() { "-".into() } else { escape(&peer.last_error) },
    ]
}
