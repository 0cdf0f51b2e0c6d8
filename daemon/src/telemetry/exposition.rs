//! Metrics as text: what the core, the tables and the counters say at one moment, in the OpenMetrics format. Labels are
//! names of configured peers and words of our own; no agent, no message and no address is ever named.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mesh::{PeerState, Summary};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;
use proto::limits;

use super::counters::{Durations, seconds};
use crate::shared::Shared;
use crate::tables::PeerBoard;

/// What a scraper is told the text is.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The whole text.
pub(super) fn write(shared: Arc<Shared>, summary: Summary) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { shared, summary }));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Debug)]
struct Scrape {
    shared: Arc<Shared>,
    summary: Summary,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = Writer(encoder);
        self.core(&mut writer)?;
        self.waiting(&mut writer)?;
        self.doors(&mut writer)?;
        self.peers(&mut writer)?;
        self.journal(&mut writer)
    }
}

impl Scrape {
    /// Whatever the core counts, by the core's own names.
    fn core(&self, writer: &mut Writer<'_>) -> fmt::Result {
        for ((name, count), (_, meaning)) in self.summary.stats.all().into_iter().zip(mesh::Stats::MEANINGS) {
            writer.counter(&format!("aicp_mesh_{name}"), meaning.trim(), count)?;
        }
        Ok(())
    }

    fn waiting(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let of = &self.summary;
        let local = of.agents.iter().filter(|agent| agent.is_local);
        let attached = local.clone().filter(|agent| agent.is_attached).count();
        for (name, help, level) in [
            ("aicp_outbox_messages", "Messages that this node owns.", of.outbox_messages),
            ("aicp_outbox_bytes", "Bytes of the messages that this node owns.", of.outbox_bytes),
            ("aicp_awaiting_ends", "Messages whose end is awaited.", of.awaiting),
            ("aicp_mailbox_messages", "Messages that wait for agents here.", of.mailbox_messages),
            ("aicp_mailbox_bytes", "Bytes of the messages that wait for agents here.", of.mailbox_bytes),
            ("aicp_dead_letters", "Dead letters that are kept.", of.dead_messages),
            ("aicp_dead_letters_bytes", "Bytes of the dead letters that are kept.", of.dead_bytes),
            ("aicp_agents_local", "Agents that live on this node.", local.count() as u64),
            ("aicp_agents_attached", "Agents that live on this node and are attached.", attached as u64),
            ("aicp_expiry_suspended", "1 while nothing expires, because the clock jumped.", of.is_suspended.into()),
            ("aicp_disk_full", "1 while nothing new is taken, because the disk has no room.", of.is_disk_full.into()),
        ] {
            writer.gauge(name, help, level)?;
        }
        let now = self.shared.clock.now().wall.0;
        for (name, help, oldest) in [
            ("aicp_outbox_oldest_age_seconds", "Age of the oldest message that this node owns.", of.outbox_oldest),
            ("aicp_mailbox_oldest_age_seconds", "How long the oldest message here has waited.", of.mailbox_oldest),
            ("aicp_dead_letters_oldest_age_seconds", "How long the oldest letter is dead.", of.dead_oldest),
        ] {
            let age = oldest.map_or(0, |oldest| now.saturating_sub(oldest));
            writer.age(name, help, age)?;
        }
        Ok(())
    }

    fn doors(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let shared = &self.shared;
        let (agents, peers) = (&shared.refused.agents, &shared.refused.peers);
        let at = |door, (reason, count)| ([("door", door), ("reason", reason)], count);
        let refused = agents.all().map(|count| at("agents", count)).chain(peers.all().map(|count| at("peers", count)));
        let large = limits::LARGE_FRAMES_BYTES.saturating_sub(shared.large.available_permits());
        writer.gauge("aicp_sessions_open", "Connections at the agents' door.", shared.sessions.count() as u64)?;
        writer.gauge("aicp_links_open", "Links to peers that have said HELLO.", shared.links.count() as u64)?;
        writer.counters("aicp_frames_refused", "Frames that went no further than a door.", refused)?;
        let signatures = agents.signatures() + peers.signatures();
        writer.counter("aicp_signatures_refused", "Signatures that did not hold.", signatures)?;
        writer.gauge("aicp_large_frames_bytes", "Memory that large frames take at the doors.", large as u64)
    }

    fn peers(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let peers: Vec<(&str, PeerState, Arc<PeerBoard>)> = self
            .summary
            .peers
            .iter()
            .map(|peer| (peer.name.as_str(), peer.state, self.shared.peers.board(peer.node)))
            .collect();
        let states = [("up", PeerState::Up), ("dialing", PeerState::Dialing), ("down", PeerState::Down)];
        let count = |state| peers.iter().filter(|(_, is, _)| *is == state).count() as u64;
        let states = states.map(|(word, state)| ([("state", word)], count(state)));
        writer.gauges("aicp_peers", "Configured peers, by how they are reached.", states)?;
        let up = peers.iter().map(|(name, state, _)| ([("peer", *name)], u64::from(*state == PeerState::Up)));
        writer.gauges("aicp_peer_up", "1 where a peer is linked.", up)?;
        for (name, help, of) in BOARD {
            let counts = peers.iter().map(|(peer, _, board)| ([("peer", *peer)], of(board)));
            writer.counters(name, help, counts)?;
        }
        Ok(())
    }

    fn journal(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let journal = self.shared.journal.counters();
        writer.counter(
            "aicp_journal_transactions",
            "Transactions appended to the journal.",
            journal.transactions.get(),
        )?;
        writer.counter(
            "aicp_journal_appended_bytes",
            "Bytes of entries appended to the journal.",
            journal.appended_bytes.get(),
        )?;
        writer.durations("aicp_journal_sync_seconds", "How long each sync of the journal took.", &journal.syncs)?;
        let waits = journal.room_waits.get();
        writer.counter("aicp_journal_room_waits", "Transactions that had to wait for room on disk.", waits)?;
        writer.gauge("aicp_journal_disk_bytes", "What the journal takes on disk.", journal.disk_bytes.get())?;
        writer.gauge("aicp_journal_live_bytes", "What of the journal is still needed.", journal.live_bytes.get())
    }
}

type OfBoard = fn(&PeerBoard) -> u64;

/// What is counted for each peer.
const BOARD: [(&str, &str, OfBoard); 5] = [
    ("aicp_peer_sent_frames", "Frames sent to a peer.", |board| board.sent_messages.load(Ordering::Relaxed)),
    ("aicp_peer_sent_bytes", "Bytes of frames sent to a peer.", |board| board.sent_bytes.load(Ordering::Relaxed)),
    ("aicp_peer_received_frames", "Frames that came from a peer.", |board| {
        board.received_messages.load(Ordering::Relaxed)
    }),
    ("aicp_peer_received_bytes", "Bytes of frames that came from a peer.", |board| {
        board.received_bytes.load(Ordering::Relaxed)
    }),
    ("aicp_peer_dropped_frames", "Frames and records of a peer that were dropped.", |board| {
        board.dropped.load(Ordering::Relaxed)
    }),
];

type NoExemplar<'a> = Option<&'a Exemplar<[(&'static str, &'static str); 0], u64>>;

struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn counter(&mut self, name: &str, help: &str, count: u64) -> fmt::Result {
        let none: NoExemplar<'_> = None;
        self.0.encode_descriptor(name, help, None, MetricType::Counter)?.encode_counter(&count, none)
    }

    fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        counts: impl IntoIterator<Item = ([(&'static str, &'l str); N], u64)>,
    ) -> fmt::Result {
        let none: NoExemplar<'_> = None;
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in counts {
            encoder.encode_family(&labels)?.encode_counter(&count, none)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, level: u64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&level)
    }

    fn gauges<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        levels: impl IntoIterator<Item = ([(&'static str, &'l str); N], u64)>,
    ) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, level) in levels {
            encoder.encode_family(&labels)?.encode_gauge(&level)?;
        }
        Ok(())
    }

    fn age(&mut self, name: &str, help: &str, nanoseconds: u64) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&seconds(nanoseconds))
    }

    fn durations(&mut self, name: &str, help: &str, durations: &Durations) -> fmt::Result {
        let buckets = durations.buckets();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        encoder.encode_histogram::<[(&str, &str); 0]>(durations.seconds(), count, &buckets, None)
    }
}
