//! The flows towards agents of this node, counted by the node that they come from: marks against its share, and what has
//! no mark yet, or gets none, in a small room where the oldest makes way.

use alloc::collections::{BTreeMap, VecDeque};

use proto::NodeId;
use proto::limits::{PAIRS_MAX, PEER_PAIRS_MAX, PEER_UNMARKED_MAX};

use crate::inbox::InFlow;
use crate::pair::Pair;

/// What one node has here.
#[derive(Debug, Default)]
struct Peer {
    marked: usize,
    /// Pairs without a mark, the oldest first. Some may have got one since.
    loose: VecDeque<Pair>,
}

/// All flows.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    all: BTreeMap<Pair, InFlow>,
    peers: BTreeMap<Option<NodeId>, Peer>,
}

impl Flows {
    pub(crate) fn contains_key(&self, pair: &Pair) -> bool {
        self.all.contains_key(pair)
    }

    pub(crate) fn get(&self, pair: &Pair) -> Option<&InFlow> {
        self.all.get(pair)
    }

    pub(crate) fn get_mut(&mut self, pair: &Pair) -> Option<&mut InFlow> {
        self.all.get_mut(pair)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Pair, &InFlow)> {
        self.all.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&Pair, &mut InFlow)> {
        self.all.iter_mut()
    }

    /// A flow that the journal knows. [`Flows::count`] follows once it is known where sources live.
    pub(crate) fn known(&mut self, pair: Pair) -> &mut InFlow {
        self.all.entry(pair).or_default()
    }

    /// Notes whom the marks of the journal count against.
    pub(crate) fn count(&mut self, host: impl Fn(Pair) -> Option<NodeId>) {
        for (pair, flow) in &mut self.all {
            flow.host = host(*pair);
            self.peers.entry(flow.host).or_default().marked += 1;
        }
    }

    /// A new flow, without a mark so far. Gives the flow back that has to make way for it.
    pub(crate) fn begin(&mut self, pair: Pair, host: Option<NodeId>) -> Option<Pair> {
        self.all.insert(pair, InFlow { host, ..InFlow::default() });
        let peer = self.peers.entry(host).or_default();
        peer.loose.push_back(pair);
        if peer.loose.len() <= PEER_UNMARKED_MAX {
            return None;
        }
        let oldest = peer.loose.pop_front()?;
        self.all.get(&oldest).filter(|flow| !flow.has_mark).map(|_| oldest)
    }

    /// Whether a flow has a mark, or may have one.
    pub(crate) fn may_mark(&self, pair: &Pair) -> bool {
        let Some(flow) = self.all.get(pair) else { return false };
        let marked = self.peers.get(&flow.host).map_or(0, |peer| peer.marked);
        flow.has_mark || (marked < PEER_PAIRS_MAX && self.all.len() <= PAIRS_MAX)
    }

    /// Something of a flow is settled: its mark counts from here on, if there is room for it. Only answers are settled
    /// without a mark: their stub makes them count once.
    pub(crate) fn mark(&mut self, pair: &Pair) -> bool {
        let may = self.may_mark(pair);
        let Some(flow) = self.all.get_mut(pair).filter(|_| may) else { return false };
        if !core::mem::replace(&mut flow.has_mark, true) {
            self.peers.entry(flow.host).or_default().marked += 1;
        }
        true
    }

    pub(crate) fn remove(&mut self, pair: Pair) -> Option<InFlow> {
        let flow = self.all.remove(&pair)?;
        if let Some(peer) = self.peers.get_mut(&flow.host) {
            if flow.has_mark {
                peer.marked = peer.marked.saturating_sub(1);
            }
            peer.loose.retain(|loose| *loose != pair);
        }
        Some(flow)
    }
}
