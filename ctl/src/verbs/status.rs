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
    let outbox = match status.outbox_messages {
        0 => "outbox 0".to_owned(),
        count => format!("outbox {count} ({}, oldest {})", size(status.outbox_bytes), long(status.outbox_oldest_ms)),
    };
    out.line(format_args!("  {outbox} · awaiting {} · mailboxes {}", status.awaiting, status.mailbox_messages));
    let listen: Vec<_> = status.listen.iter().map(|address| escape(address)).collect();
    out.line(format_args!("  {DIM}listens on {} · state in {}{DIM:#}", listen.join(", "), escape(&status.state_dir)));
    if !status.peers.is_empty() {
        let head =
            ["PEER", "ID", "STATE", "ADDRESS", "RTT", "SENT", "RECEIVED", "LAST ERROR"].map(String::from).to_vec();
        let rows = status.peers.iter().map(peer_row);
        out.table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    }
    if !status.agents.is_empty() {
        let head = ["AGENT", "ID", "STATE", "WAITING"].map(String::from).to_vec();
        let rows = status.agents.iter().map(|agent| {
            let state = if agent.attached { "● attached" } else { "○ away" };
            vec![escape(&agent.name), short_id(&agent.id), state.into(), agent.waiting.to_string()]
        });
        out.table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
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
