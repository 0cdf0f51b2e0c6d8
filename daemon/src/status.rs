//! Answers to questions that agents ask the node itself: how it is, who can be reached, what waits and what happens. It
//! tells what the core and the tables know, and changes nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use mesh::{AgentSummary, ClientId, Node, Now, PeerState, PeerSummary, Summary, Unanswered, millis};
use proto::control::{
    AgentStatus, AllowTest, ControlBody, DirectoryAgent, NodeAgents, NodePeers, NodeStatus, PeerStatus, Select, Tap,
    schema, subject,
};
use proto::member::Validity;
use proto::{Content, ContentType, ErrorCode, NodeId, limits};

use crate::agent::{answer as answer_frame, content_type_of_answer, error_frame};
use crate::member::{self, View};
use crate::peer::PeerDoor;
use crate::reload;
use crate::shared::Shared;

/// The frame that answers a question.
pub(crate) fn answer(
    shared: &Shared,
    peers: Option<&PeerDoor>,
    node: &Node,
    apart: &BTreeMap<NodeId, u64>,
    client: ClientId,
    asked: &Content,
) -> Option<Bytes> {
    let content_type = content_type_of_answer(asked.header.content_type());
    let now = shared.clock.now();
    let body = match asked.metadata.subject() {
        Some(subject::STATUS) => Ok(status(shared, peers, node, apart).write(content_type)),
        Some(subject::AGENTS) => Ok(agents(shared, node).write(content_type)),
        Some(subject::PEERS) => Ok(peers_told(shared, node).write(content_type)),
        Some(subject::OUTBOX) => {
            read(asked).and_then(|select: Select| node.outbox(&select, now)).map(|outbox| outbox.write(content_type))
        }
        Some(subject::DEAD) => {
            read(asked).and_then(|select: Select| node.dead_letters(&select, now)).map(|dead| dead.write(content_type))
        }
        Some(subject::TAP) if !node.is_admin(client) => Err(refused(ErrorCode::POLICY, NOT_ADMIN)),
        Some(subject::TAP) => read(asked).and_then(|tap: Tap| node.tap(&tap)).map(|told| told.write(content_type)),
        Some(subject::CONFIG) => Ok(reload::told(shared).write(content_type)),
        Some(subject::ALLOW_TEST) => {
            read(asked).and_then(|test: AllowTest| node.test_policy(&test)).map(|told| told.write(content_type))
        }
        Some(other) => {
            let words = format!("this node does not know the subject {}", other.escape_default());
            Err(refused(ErrorCode::MALFORMED, words))
        }
        None => Err(refused(ErrorCode::MALFORMED, "a question to the node needs a subject")),
    };
    match body {
        Ok(body) => answer_frame(shared, &asked.header, content_type, &body),
        Err(Unanswered { code, words }) => {
            error_frame(shared, asked.header.id(), asked.header.source(), content_type, code, &words)
        }
    }
}

const NOT_ADMIN: &str = "only administrators see what happens to everybody's messages: root, the user that runs the \
                         daemon, or a member of the group that `[socket] admin_group` of its configuration names";

fn refused(code: ErrorCode, words: impl Into<Cow<'static, str>>) -> Unanswered {
    Unanswered { code, words: words.into() }
}

/// What stands in a question. One without a body asks for all.
fn read<B: ControlBody>(asked: &Content) -> Result<B, Unanswered> {
    if asked.body.is_empty() && asked.header.content_type() == ContentType::None {
        return Ok(B::default());
    }
    let body = B::read(asked.header.content_type(), &asked.body);
    body.ok_or_else(|| refused(ErrorCode::MALFORMED, "the body of the question cannot be read"))
}

fn status(shared: &Shared, peers: Option<&PeerDoor>, node: &Node, apart: &BTreeMap<NodeId, u64>) -> NodeStatus {
    let now = shared.clock.now();
    let summary = node.summary();
    let age = |since: Option<u64>| since.map_or(0, |since| millis(now.wall.0.saturating_sub(since)));
    let ours = summary.agents.iter().filter(|agent| agent.is_local);
    let (inside, view) = (shared.members.inside.as_ref(), shared.members.view());
    NodeStatus {
        schema: schema::STATUS.into(),
        node_id: shared.node.to_string(),
        node_name: shared.name.to_string(),
        version: env!("CARGO_PKG_VERSION").into(),
        uptime_ms: millis(now.mono.0),
        listen: peers.and_then(PeerDoor::listens_on).map(|address| address.to_string()).into_iter().collect(),
        state_dir: shared.state_dir.display().to_string(),
        mesh: match (&shared.members.inside, summary.peers.is_empty() && peers.is_none()) {
            (Some(_), _) => "authority",
            (None, true) => "none",
            (None, false) => "pinned",
        }
        .into(),
        peers: summary.peers.iter().map(|peer| peer_status(shared, &summary, &view, peer, now)).collect(),
        agents: ours.map(|agent| agent_status(agent, now)).collect(),
        outbox_messages: summary.outbox_messages,
        outbox_bytes: summary.outbox_bytes,
        outbox_oldest_ms: age(summary.outbox_oldest),
        awaiting: summary.awaiting,
        mailbox_messages: summary.mailbox_messages,
        mailbox_bytes: summary.mailbox_bytes,
        mailbox_oldest_ms: age(summary.mailbox_oldest),
        dead_messages: summary.dead_messages,
        dead_bytes: summary.dead_bytes,
        dead_oldest_ms: age(summary.dead_oldest),
        expiry_suspended: summary.is_suspended,
        disk_full: summary.is_disk_full,
        warnings: warnings(shared, &summary, apart, now),
        mesh_id: inside.map_or_else(String::new, |inside| member::hex(&inside.authority.mesh())),
        mesh_name: inside.map_or_else(String::new, |inside| inside.authority.name().to_string()),
        certificate_until_ms: inside.map_or(0, |inside| millis(inside.certificate().validity.not_after)),
        is_holder: view.is_holder,
        is_up: view.is_up,
        members: u64::try_from(summary.peers.len()).unwrap_or(0) + 1,
        time_ms: millis(now.wall.0),
    }
}

fn peer_status(shared: &Shared, all: &Summary, view: &View, peer: &PeerSummary, now: Now) -> PeerStatus {
    use std::sync::atomic::Ordering::Relaxed;
    let board = shared.peers.board(peer.node);
    let said = board.said.lock();
    let rtt = said.connection.as_ref().map_or(0, |connection| connection.rtt().as_micros());
    let state = match peer.state {
        PeerState::Up => "up",
        PeerState::Dialing => "dialing",
        PeerState::Down => "down",
    };
    PeerStatus {
        name: peer.name.to_string(),
        id: peer.node.to_string(),
        state: state.into(),
        address: said.address.clone(),
        rtt_us: u64::try_from(rtt).unwrap_or(u64::MAX),
        since_ms: millis(now.mono.since(peer.since)),
        sent_messages: board.sent_messages.load(Relaxed),
        received_messages: board.received_messages.load(Relaxed),
        sent_bytes: board.sent_bytes.load(Relaxed),
        received_bytes: board.received_bytes.load(Relaxed),
        last_error: said.last_error.clone(),
        addresses: said.addresses.iter().map(ToString::to_string).collect(),
        is_holder: view.holders.contains(&peer.node),
        is_blocked: view.blocked.contains(&peer.node),
        links: said.links.iter().map(|link| name_of(shared, all, *link)).collect(),
        agents: u64::try_from(all.agents.iter().filter(|agent| agent.node == peer.node).count()).unwrap_or(0),
    }
}

/// A node by its name, or by its id where no name is known.
fn name_of(shared: &Shared, all: &Summary, node: NodeId) -> String {
    if node == shared.node {
        return shared.name.to_string();
    }
    let known = all.peers.iter().find(|peer| peer.node == node);
    known.map_or_else(|| node.to_string(), |peer| peer.name.to_string())
}

fn peers_told(shared: &Shared, node: &Node) -> NodePeers {
    let (summary, view, now) = (node.summary(), shared.members.view(), shared.clock.now());
    NodePeers {
        schema: schema::PEERS.into(),
        peers: summary.peers.iter().map(|peer| peer_status(shared, &summary, &view, peer, now)).collect(),
        revoked: view.revoked.iter().map(ToString::to_string).collect(),
        epoch: view.epoch,
    }
}

/// What an operator should know, the worst first.
fn warnings(shared: &Shared, summary: &Summary, apart: &BTreeMap<NodeId, u64>, now: Now) -> Vec<String> {
    let certificate = shared.members.inside.as_ref().and_then(|inside| {
        let validity = inside.certificate().validity;
        let renewal = shared.members.view().renewal.clone();
        member::out_of_time(validity, now.wall.0).or_else(|| certificate_warning(validity, renewal, now))
    });
    let ticket = shared.members.view().handed.clone().map(|why| format!("a join ticket that was handed over: {why}"));
    let clocks = apart.iter().map(|(peer, theirs)| clock_warning(&summary.peers, *peer, *theirs, now));
    certificate.into_iter().chain(ticket).chain(clocks).collect()
}

fn certificate_warning(validity: Validity, renewal: Option<String>, now: Now) -> Option<String> {
    let left = validity.not_after.saturating_sub(now.wall.0);
    let days = left / (24 * limits::HOUR);
    let why = renewal.map(|why| format!(": {why}"));
    if left > limits::CERTIFICATE_WARN && why.is_none() {
        return None;
    }
    Some(format!(
        "the certificate of this node ends in {days} days and was not renewed{}; it is tried again by itself",
        why.unwrap_or_default()
    ))
}

fn agent_status(agent: &AgentSummary, now: Now) -> AgentStatus {
    AgentStatus {
        name: agent.name.to_string(),
        id: agent.id.to_string(),
        attached: agent.is_attached,
        waiting: agent.waiting,
        waiting_bytes: agent.waiting_bytes,
        oldest_ms: agent.oldest.map_or(0, |since| millis(now.wall.0.saturating_sub(since))),
        sent_messages: agent.sent,
        received_messages: agent.received,
    }
}

fn agents(shared: &Shared, node: &Node) -> NodeAgents {
    let texts = |texts: &[Box<str>]| texts.iter().map(|text| text.to_string()).collect();
    let summary = node.summary();
    let agents = summary.agents.iter().map(|agent| DirectoryAgent {
        name: agent.name.to_string(),
        id: agent.id.to_string(),
        node_id: agent.node.to_string(),
        node_name: agent.node_name.as_ref().map_or_else(String::new, ToString::to_string),
        local: agent.is_local,
        attached: agent.is_attached,
        capabilities: texts(&agent.capabilities),
        topics: texts(&agent.topics),
    });
    let agents = agents.map(|agent| with_node_name(shared, agent)).collect();
    NodeAgents { schema: schema::AGENTS.into(), agents }
}

/// The core may leave our own name to us.
fn with_node_name(shared: &Shared, mut agent: DirectoryAgent) -> DirectoryAgent {
    if agent.local && agent.node_name.is_empty() {
        agent.node_name = shared.name.to_string();
    }
    agent
}

fn clock_warning(peers: &[PeerSummary], peer: NodeId, theirs: u64, now: Now) -> String {
    let name = peers.iter().find(|known| known.node == peer).map_or_else(String::new, |known| known.name.to_string());
    let seconds = theirs.abs_diff(now.wall.0) / proto::limits::SECOND;
    format!(
        "the clocks of this node and {name} are about {seconds} s apart; set them right, or mail may be marked or late"
    )
}
