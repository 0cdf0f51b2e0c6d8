//! What went on between two looks at a node, for each second.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::control::{AgentStatus, NodeStatus, PeerStatus};

/// In a second.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(crate) struct Rate {
    pub(crate) sent: f64,
    pub(crate) received: f64,
    pub(crate) sent_bytes: f64,
    pub(crate) received_bytes: f64,
}

/// By id. Of whom the earlier look did not see there is none.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    peers: BTreeMap<String, Rate>,
    agents: BTreeMap<String, Rate>,
}

impl Rates {
    pub(crate) fn between(before: &NodeStatus, now: &NodeStatus, time: Duration) -> Self {
        let seconds = time.as_secs_f64().max(1e-3);
        // A daemon that started anew counts anew.
        let rate = |before: u64, now: u64| now.saturating_sub(before) as f64 / seconds;
        let peers_before: BTreeMap<_, _> = before.peers.iter().map(|peer| (&peer.id, peer)).collect();
        let peers = now.peers.iter().filter_map(|peer| {
            let was = peers_before.get(&peer.id)?;
            let of = Rate {
                sent: rate(was.sent_messages, peer.sent_messages),
                received: rate(was.received_messages, peer.received_messages),
                sent_bytes: rate(was.sent_bytes, peer.sent_bytes),
                received_bytes: rate(was.received_bytes, peer.received_bytes),
            };
            Some((peer.id.clone(), of))
        });
        let agents_before: BTreeMap<_, _> = before.agents.iter().map(|agent| (&agent.id, agent)).collect();
        let agents = now.agents.iter().filter_map(|agent| {
            let was = agents_before.get(&agent.id)?;
            let sent = rate(was.sent_messages, agent.sent_messages);
            let received = rate(was.received_messages, agent.received_messages);
            Some((agent.id.clone(), Rate { sent, received, ..Rate::default() }))
        });
        Self { peers: peers.collect(), agents: agents.collect() }
    }

    pub(crate) fn of_peer(&self, peer: &PeerStatus) -> Option<Rate> {
        self.peers.get(&peer.id).copied()
    }

    pub(crate) fn of_agent(&self, agent: &AgentStatus) -> Option<Rate> {
        self.agents.get(&agent.id).copied()
    }
}
