//! One page of `top`: the node in three lines, its peers, its agents, and which keys there are. It reads no clock and
//! writes nothing.

use proto::control::{AgentStatus, NodeStatus, PeerStatus};

use super::super::status::{Rate, Rates, screen};
use super::terminal::Look;
use crate::failure::Failure;
use crate::render::{Out, columns, escape, long, plural, size};

/// What the busiest is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    Traffic,
    Waiting,
    Name,
}

impl Order {
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Traffic => Self::Waiting,
            Self::Waiting => Self::Name,
            Self::Name => Self::Traffic,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Traffic => "traffic",
            Self::Waiting => "what waits",
            Self::Name => "name",
        }
    }
}

pub(super) struct Page<'a> {
    pub(super) status: Option<&'a NodeStatus>,
    pub(super) warnings: usize,
    pub(super) trouble: Option<&'a Failure>,
    /// Nothing before the second look.
    pub(super) rates: Option<Rates>,
    pub(super) order: Order,
    pub(super) out: Out,
}

impl Page<'_> {
    /// At most so many.
    pub(super) fn lines(&self, rows: usize) -> Vec<(Look, String)> {
        let mut lines = Vec::new();
        if let Some(trouble) = self.trouble {
            lines.push((Look::Red, format!("no answer: {}; it is asked again", escape(&trouble.what))));
        }
        if let Some(status) = self.status {
            self.head(status, &mut lines);
            let left = rows.saturating_sub(lines.len() + 1);
            // Peers have what agents leave, and a third in any case.
            let for_agents = (status.agents.len() + 2).min(left - left / 3);
            let peers = self.table(PEERS, self.peers(status), left.saturating_sub(for_agents));
            let agents = self.table(AGENTS, self.agents(status), left.saturating_sub(peers.len()));
            lines.extend(peers.into_iter().chain(agents));
        }
        lines.truncate(rows.saturating_sub(1));
        lines.push((Look::Dim, format!("q quit · o order: {} · space look now", self.order.word())));
        lines
    }

    fn head(&self, status: &NodeStatus, lines: &mut Vec<(Look, String)>) {
        let (name, id, up) = (escape(&status.node_name), self.out.id(&status.node_id), long(status.uptime_ms));
        lines.push((Look::Bold, format!("{name}  {id}  up {up}  v{}", escape(&status.version))));
        lines.push((Look::Plain, screen::summary(status)));
        lines.push((Look::Plain, screen::queues(status)));
        if self.warnings > 0 {
            let count = self.warnings;
            lines.push((Look::Red, format!("⚠ {count} thing{} to mend: aicpctl status", plural(count))));
        }
    }

    fn peers(&self, status: &NodeStatus) -> Vec<Vec<String>> {
        let rate = |peer: &PeerStatus| self.rates.as_ref().and_then(|rates| rates.of_peer(peer));
        let mut peers: Vec<_> = status.peers.iter().map(|peer| (peer, rate(peer))).collect();
        peers.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        if self.order != Order::Name {
            let bytes = |rate: &Option<Rate>| rate.map_or(0.0, |rate| rate.sent_bytes + rate.received_bytes);
            peers.sort_by(|(_, a), (_, b)| bytes(b).total_cmp(&bytes(a)));
        }
        let row = |(peer, rate): (&PeerStatus, Option<Rate>)| {
            let mut row = screen::peer_cells(peer, self.out);
            let told = |of: fn(Rate) -> (f64, f64)| {
                rate.map(of).map_or("-".into(), |(messages, bytes)| per_second(messages, bytes))
            };
            row.push(told(|rate| (rate.sent, rate.sent_bytes)));
            row.push(told(|rate| (rate.received, rate.received_bytes)));
            row
        };
        peers.into_iter().map(row).collect()
    }

    fn agents(&self, status: &NodeStatus) -> Vec<Vec<String>> {
        let rate = |agent: &AgentStatus| self.rates.as_ref().and_then(|rates| rates.of_agent(agent));
        let mut agents: Vec<_> = status.agents.iter().map(|agent| (agent, rate(agent))).collect();
        agents.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let messages = |rate: &Option<Rate>| rate.map_or(0.0, |rate| rate.sent + rate.received);
        match self.order {
            Order::Traffic => agents.sort_by(|(_, a), (_, b)| messages(b).total_cmp(&messages(a))),
            Order::Waiting => agents.sort_by_key(|(agent, _)| std::cmp::Reverse((agent.waiting, agent.oldest_ms))),
            Order::Name => {}
        }
        let row = |(agent, rate): (&AgentStatus, Option<Rate>)| {
            let mut row = screen::agent_cells(agent, self.out);
            row.extend(
                [|rate: Rate| rate.sent, |rate: Rate| rate.received]
                    .map(|of| rate.map_or("-".into(), |rate| count(of(rate)))),
            );
            row
        };
        agents.into_iter().map(row).collect()
    }

    /// A head and as many rows as there is room for; the last line says how many more there are.
    fn table(&self, head: &[&str], rows: Vec<Vec<String>>, room: usize) -> Vec<(Look, String)> {
        if rows.is_empty() || room < 2 {
            return Vec::new();
        }
        let count = rows.len();
        let shown = if count < room { count } else { room - 2 };
        let head = head.iter().map(|word| (*word).to_owned()).collect();
        let all: Vec<_> = std::iter::once(head).chain(rows.into_iter().take(shown)).collect();
        let looks = std::iter::once(Look::Dim).chain(std::iter::repeat(Look::Plain));
        let mut lines: Vec<_> = looks.zip(columns(&all)).collect();
        if shown < count {
            lines.push((Look::Dim, format!("and {} more", count - shown)));
        }
        lines
    }
}

const PEERS: &[&str] = &["PEER", "ID", "STATE", "PATH", "RTT", "SENT/s", "RECEIVED/s"];
const AGENTS: &[&str] = &["AGENT", "ID", "STATE", "WAITING", "OLDEST", "SENT/s", "RECEIVED/s"];

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is no negative number, and rounded"
)]
fn per_second(messages: f64, bytes: f64) -> String {
    format!("{} ({})", count(messages), size(bytes as u64))
}

/// Seldom is not never.
fn count(messages: f64) -> String {
    if messages > 0.0 && messages < 10.0 { format!("{messages:.1}") } else { format!("{messages:.0}") }
}
