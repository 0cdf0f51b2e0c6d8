//! Answers to questions that agents ask the node itself: how it is, and who can be reached. It tells what the core and
//! the tables know, and changes nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use mesh::{AgentSummary, Node, Now, PeerState, PeerSummary, millis};
use proto::control::{AgentStatus, ControlBody, DirectoryAgent, NodeAgents, NodeStatus, PeerStatus, schema, subject};
use proto::{Content, ErrorCode, NodeId};

use crate::agent::{answer as answer_frame, content_type_of_answer, error_frame};
use crate::peer::PeerDoor;
use crate::shared::Shared;

/// The frame that answers a question.
pub(crate) fn answer(
    shared: &Shared,
    peers: Option<&PeerDoor>,
    node: &Node,
    apart: &BTreeMap<NodeId, u64>,
    asked: &Content,
) -> Option<Bytes> {
    let content_type = content_type_of_answer(asked.header.content_type());
    let body = match asked.metadata.subject() {
        Some(subject::STATUS) => status(shared, peers, node, apart).write(content_type),
        Some(subject::AGENTS) => agents(shared, node).write(content_type),
        other => {
            let (header, code) = (&asked.header, ErrorCode::MALFORMED);
            let message = match other {
                Some(subject) => format!("this node does not know the subject {}", subject.escape_default()),
                None => "a question to the node needs a subject".into(),
            };
            return error_frame(shared, header.id(), header.source(), content_type, code, &message);
        }
    };
    answer_frame(shared, &asked.header, content_type, &body)
}

fn status(shared: &Shared, peers: Option<&PeerDoor>, node: &Node, apart: &BTreeMap<NodeId, u64>) -> NodeStatus {
    let now = shared.clock.now();
    let summary = node.summary();
    let oldest = summary.outbox_oldest.map_or(0, |oldest| millis(now.wall.0.saturating_sub(oldest)));
    let ours = summary.agents.iter().filter(|agent| agent.is_local);
    NodeStatus {
        schema: schema::STATUS.into(),
        node_id: shared.node.to_string(),
        node_name: shared.name.to_string(),
        version: env!("CARGO_PKG_VERSION").into(),
        uptime_ms: millis(now.mono.0),
        listen: peers.and_then(PeerDoor::listens_on).map(|address| address.to_string()).into_iter().collect(),
        state_dir: shared.state_dir.display().to_string(),
        mesh: "pinned".into(),
        peers: summary.peers.iter().map(|peer| peer_status(shared, peer, now)).collect(),
        agents: ours.map(agent_status).collect(),
        outbox_messages: summary.outbox_messages,
        outbox_bytes: summary.outbox_bytes,
        outbox_oldest_ms: oldest,
        awaiting: summary.awaiting,
        mailbox_messages: summary.mailbox_messages,
        warnings: apart.iter().map(|(peer, theirs)| clock_warning(&summary.peers, *peer, *theirs, now)).collect(),
        ..NodeStatus::default()
    }
}

fn peer_status(shared: &Shared, peer: &PeerSummary, now: Now) -> PeerStatus {
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
    }
}

fn agent_status(agent: &AgentSummary) -> AgentStatus {
    AgentStatus {
        name: agent.name.to_string(),
        id: agent.id.to_string(),
        attached: agent.is_attached,
        waiting: agent.waiting,
        ..AgentStatus::default()
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
