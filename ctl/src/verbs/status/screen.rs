//! The screen itself: node, mesh, peers, agents, queues with ages, and what to mend.

use std::time::Duration;

use proto::control::{AgentStatus, NodeStatus, PeerStatus};

use super::Rates;
use super::warnings::{Warning, Weight};
use crate::render::{BOLD, DIM, GREEN, Out, RED, YELLOW, escape, long, plural, short, size};

/// Everything about a node, with what goes over its links in a second if that is known.
pub(crate) fn show(status: &NodeStatus, warnings: &[Warning], rates: Option<&Rates>, out: Out) {
    let is_severe = warnings.iter().any(|warning| warning.weight == Weight::Severe);
    let style = if is_severe { RED } else { GREEN };
    out.line(format_args!(
        "{style}●{style:#} {BOLD}{}{BOLD:#}  {}  up {}  v{}",
        escape(&status.node_name),
        out.id(&status.node_id),
        long(status.uptime_ms),
        escape(&status.version)
    ));
    out.line(format_args!("  {}", summary(status)));
    out.line(format_args!("  {}", queues(status)));
    let listen: Vec<_> = status.listen.iter().map(|address| escape(address)).collect();
    let listen = if listen.is_empty() { "no network".into() } else { listen.join(", ") };
    out.line(format_args!("  {DIM}listens on {listen} · state in {}{DIM:#}", escape(&status.state_dir)));
    if !status.peers.is_empty() {
        let (to, from) = if rates.is_some() { ("TX/s", "RX/s") } else { ("SENT", "RECEIVED") };
        let head = ["PEER", "ID", "STATE", "PATH", "RTT", to, from].map(String::from).to_vec();
        let rows = status.peers.iter().map(|peer| peer_row(peer, rates, out));
        out.table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    }
    if !status.agents.is_empty() {
        let head = ["AGENT", "ID", "STATE", "WAITING", "OLDEST"].map(String::from).to_vec();
        let rows = status.agents.iter().map(|agent| agent_cells(agent, out));
        out.table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    }
    for warning in warnings {
        let style = if warning.weight == Weight::Severe { RED } else { YELLOW };
        out.line(format_args!("  {style}⚠{style:#} {warning}"));
    }
}

/// Who is in it.
pub(crate) fn summary(status: &NodeStatus) -> String {
    let up = status.peers.iter().filter(|peer| peer.state == "up").count();
    let attached = status.agents.iter().filter(|agent| agent.attached).count();
    format!(
        "{} · {} peer{} ({up} up) · {} agent{} ({attached} attached)",
        mesh(status),
        status.peers.len(),
        plural(status.peers.len()),
        status.agents.len(),
        plural(status.agents.len()),
    )
}

/// What waits in it.
pub(crate) fn queues(status: &NodeStatus) -> String {
    let outbox = counted("outbox", status.outbox_messages, status.outbox_bytes, status.outbox_oldest_ms);
    let mailboxes = counted("mailboxes", status.mailbox_messages, status.mailbox_bytes, status.mailbox_oldest_ms);
    let dead = counted("dead", status.dead_messages, status.dead_bytes, status.dead_oldest_ms);
    format!("{outbox} · awaiting {} · {mailboxes} · {dead}", status.awaiting)
}

/// Which mesh, and what this node is in it.
fn mesh(status: &NodeStatus) -> String {
    let mut told = match status.mesh.as_str() {
        "authority" => format!("mesh {}", escape(&status.mesh_name)),
        "none" => "in no mesh".into(),
        other => format!("mesh {}", escape(other)),
    };
    if status.mesh == "authority" && !status.is_up {
        told.push_str(" (taken down: aicpctl up)");
    }
    if let Some(left_ms) = certificate_left_ms(status) {
        told.push_str(&format!(" · certificate for {}", long(left_ms)));
    }
    if status.is_holder {
        told.push_str(" · keeps the authority's key");
    }
    told
}

/// How much longer the node's certificate counts, by the node's clock; nothing if it needs none.
pub(crate) fn certificate_left_ms(status: &NodeStatus) -> Option<u64> {
    (status.certificate_until_ms > 0).then(|| status.certificate_until_ms.saturating_sub(status.time_ms))
}

/// How much waits somewhere, and how old the oldest of it is.
fn counted(what: &str, messages: u64, bytes: u64, oldest_ms: u64) -> String {
    match messages {
        0 => format!("{what} 0"),
        count => format!("{what} {count} ({}, oldest {})", size(bytes), long(oldest_ms)),
    }
}

pub(crate) fn agent_cells(agent: &AgentStatus, out: Out) -> Vec<String> {
    let state = if agent.attached { "● attached" } else { "○ away" };
    let (waiting, oldest) = match agent.waiting {
        0 => ("0".into(), "-".into()),
        count => (format!("{count} ({})", size(agent.waiting_bytes)), long(agent.oldest_ms)),
    };
    vec![escape(&agent.name), out.id(&agent.id), state.into(), waiting, oldest]
}

fn peer_row(peer: &PeerStatus, rates: Option<&Rates>, out: Out) -> Vec<String> {
    let (to, from) = match rates {
        Some(rates) => {
            let rate = rates.of_peer(peer).unwrap_or_default();
            (per_second(rate.sent_bytes), per_second(rate.received_bytes))
        }
        None => (traffic(peer.sent_messages, peer.sent_bytes), traffic(peer.received_messages, peer.received_bytes)),
    };
    let mut row = peer_cells(peer, out);
    row.extend([to, from]);
    row
}

/// All but what goes over the link to it.
pub(crate) fn peer_cells(peer: &PeerStatus, out: Out) -> Vec<String> {
    let mark = match peer.state.as_str() {
        "up" => "●",
        "dialing" => "◐",
        _ => "○",
    };
    let rtt = match peer.rtt_us {
        0 => "-".into(),
        us => short(Duration::from_micros(us)),
    };
    let address = if peer.address.is_empty() { "-".into() } else { escape(&peer.address) };
    vec![
        escape(&peer.name),
        out.id(&peer.id),
        format!("{mark} {} {}", escape(&peer.state), long(peer.since_ms)),
        address,
        rtt,
    ]
}

fn traffic(messages: u64, bytes: u64) -> String {
    format!("{messages} ({})", size(bytes))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is no negative number, and rounded"
)]
fn per_second(bytes: f64) -> String {
    size(bytes as u64)
}
