//! `aicpctl peers` and `aicpctl peer`: the other nodes, and what this one thinks of them.

use client::Node;
use proto::control::{NodePeers, PeerOrder, PeerStatus};

use super::{join, node, short_id};
use crate::args::Common;
use crate::args::membership::Peer;
use crate::failure::{Exit, Failure};
use crate::render::{BOLD, DIM, GREEN, Out, RED, escape, long, size};

pub(crate) async fn run(common: &Common, out: Out) -> Result<(), Failure> {
    let found = node(common).await?.peers().await?;
    out.object("peers", &found);
    if out.is_json() {
        return Ok(());
    }
    if found.peers.is_empty() {
        out.talk("no other node is known; `aicpctl invite` prints a ticket for one");
    } else {
        let head = ["PEER", "ID", "STATE", "ADDRESS", "RTT", "AGENTS", "NOTE"].map(String::from).to_vec();
        out.table(&std::iter::once(head).chain(found.peers.iter().map(|peer| row(peer, out))).collect::<Vec<_>>());
    }
    for id in &found.revoked {
        out.line(format_args!("  {RED}✗{RED:#} {} is shut out of the mesh", short_id(id)));
    }
    Ok(())
}

pub(crate) async fn one(common: &Common, asked: Peer, out: Out) -> Result<(), Failure> {
    let node = node(common).await?;
    let order = |node: String, blocked| PeerOrder { node, blocked };
    let (done, told) = match asked {
        Peer::Show(who) => return show(&node, &who.node, out).await,
        Peer::Block(who) => {
            (node.block(&order(who.node.clone(), true)).await, format!("{} is blocked: no link with it", who.node))
        }
        Peer::Unblock(who) => {
            (node.block(&order(who.node.clone(), false)).await, format!("{} is blocked no more", who.node))
        }
        Peer::Forget(who) => (
            node.forget(&order(who.node.clone(), false)).await,
            format!("{} is forgotten until it is heard of", who.node),
        ),
    };
    out.object("done", done.map_err(join::refused)?);
    out.line(format_args!("{GREEN}✓{GREEN:#} {}", escape(&told)));
    Ok(())
}

async fn show(node: &Node, which: &str, out: Out) -> Result<(), Failure> {
    let found = node.peers().await?;
    let Some(peer) = found.peers.iter().find(|peer| peer.name == which || peer.id == which) else {
        return Err(unknown(which, &found));
    };
    out.object("peers", NodePeers { peers: vec![peer.clone()], ..found.clone() });
    let line = |word: &str, text: String| out.line(format_args!("  {DIM}{word:<10}{DIM:#} {text}"));
    out.line(format_args!("{BOLD}{}{BOLD:#} {}", escape(&peer.name), escape(&peer.id)));
    line("state", format!("{} for {}", escape(&peer.state), long(peer.since_ms)));
    line("now at", or_dash(&escape(&peer.address)));
    line("addresses", or_dash(&escape(&peer.addresses.join(", "))));
    line("round trip", round_trip(peer));
    line("sent", format!("{} frames ({})", peer.sent_messages, size(peer.sent_bytes)));
    line("received", format!("{} frames ({})", peer.received_messages, size(peer.received_bytes)));
    line("agents", peer.agents.to_string());
    line("links with", or_dash(&escape(&peer.links.join(", "))));
    line("note", or_dash(&note(peer)));
    line("last error", or_dash(&escape(&peer.last_error)));
    Ok(())
}

fn unknown(which: &str, found: &NodePeers) -> Failure {
    let failure = Failure::new(Exit::NotFound, format!("no node {which} is known here"));
    if found.revoked.iter().any(|id| id == which) {
        return failure.why("it is shut out of the mesh");
    }
    failure.fix("aicpctl peers")
}

fn row(peer: &PeerStatus, out: Out) -> Vec<String> {
    let mark = match peer.state.as_str() {
        "up" => "●",
        "dialing" => "◐",
        _ => "○",
    };
    vec![
        escape(&peer.name),
        out.id(&peer.id),
        format!("{mark} {} {}", escape(&peer.state), long(peer.since_ms)),
        or_dash(&escape(&peer.address)),
        round_trip(peer),
        peer.agents.to_string(),
        note(peer),
    ]
}

fn note(peer: &PeerStatus) -> String {
    let mut notes = Vec::new();
    if peer.is_holder {
        notes.push("keeps the authority's key".to_owned());
    }
    if peer.is_blocked {
        notes.push("blocked".to_owned());
    }
    if peer.state != "up" && !peer.last_error.is_empty() {
        notes.push(escape(&peer.last_error));
    }
    notes.join("; ")
}

fn round_trip(peer: &PeerStatus) -> String {
    match peer.rtt_us {
        0 => "-".into(),
        us => crate::render::short(std::time::Duration::from_micros(us)),
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.to_owned() }
}
