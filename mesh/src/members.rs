//! Who belongs to the mesh. Where nodes are pinned, that is for the configuration to say. In a mesh with an authority a
//! node is a member while a record that proves it counts: peers come and go with such records. A record past its expiry
//! is kept for a while, so that an older one cannot bring back whoever has left.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;

use proto::limits::{ID_BYTES, MEMBERS_MAX, NODE_RECORD_LIFE};
use proto::member::Validity;
use proto::record::{Known, NodeRecord, Revocations};
use proto::{AgentId, ErrorCode, Name, NodeId, Verified};

use crate::effect::Effect;
use crate::input::{LinkId, Membership, PinnedPeer};
use crate::link::Peer;
use crate::node::Node;
use crate::rules::Rule;
use crate::say::Failure;
use crate::step::Step;
use crate::time::Mono;
use crate::timers::Why;

/// What a node knows of its mesh beside the records.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// The mesh, if it has an authority.
    pub(crate) mesh: Option<Mesh>,
    pub(crate) blocked: BTreeSet<NodeId>,
    /// When this node's own record is signed next, and when it was signed last.
    pub(crate) next_record: Option<Mono>,
    pub(crate) signed: Option<Mono>,
    /// When the next agent's record ends.
    pub(crate) agents_end: Option<Mono>,
    /// This node has left, and signs no record any more but the one that says so.
    pub(crate) has_left: bool,
}

/// A mesh with an authority.
#[derive(Debug)]
pub(crate) struct Mesh {
    pub(crate) id: [u8; ID_BYTES],
    pub(crate) certificate: Validity,
    pub(crate) revoked: Option<Verified<Box<Known<Revocations>>>>,
    /// Whom to dial although nothing says where they are.
    seeds: BTreeSet<NodeId>,
    /// When each record's end is looked at.
    ends: BTreeMap<NodeId, Mono>,
    /// When the certificate's renewal is asked for next, and how often it was in vain.
    pub(crate) renews: Option<Mono>,
    pub(crate) renewals: u32,
    /// What peers may not have heard is about to be looked through.
    pub(crate) passes_on: bool,
}

impl Mesh {
    fn new(membership: Membership) -> Self {
        Self {
            id: membership.mesh,
            certificate: membership.certificate,
            revoked: membership.revoked,
            seeds: membership.seeds.into_iter().map(|seed| seed.node).collect(),
            ends: BTreeMap::new(),
            renews: None,
            renewals: 0,
            passes_on: false,
        }
    }
}

impl Members {
    pub(crate) fn new(membership: Option<Membership>, blocked: BTreeSet<NodeId>) -> Self {
        Self { mesh: membership.map(Mesh::new), blocked, ..Self::default() }
    }

    pub(crate) fn is_revoked(&self, node: NodeId) -> bool {
        let list = self.mesh.as_ref().and_then(|mesh| mesh.revoked.as_ref());
        list.is_some_and(|list| list.get().record.nodes.contains(&node))
    }

    fn is_seed(&self, node: NodeId) -> bool {
        self.mesh.as_ref().is_some_and(|mesh| mesh.seeds.contains(&node))
    }
}

impl Node {
    /// What the journal knows of nodes is sorted: members are peers, all others go with their agents.
    pub(crate) fn begin_members(&mut self, step: &mut Step<'_>) {
        let Some(mesh) = &self.members.mesh else { return };
        let revoked: Vec<NodeId> = mesh.revoked.iter().flat_map(|list| &list.get().record.nodes).copied().collect();
        for node in revoked {
            self.drop_revoked(node, step);
        }
        let others = self.directory.nodes.keys().filter(|id| **id != self.me.id);
        let others: Vec<NodeId> = others.map(|id| NodeId::new(*id)).collect();
        for node in others {
            let Some(held) = self.directory.nodes.get(&node.agent()) else { continue };
            if held.record().certificate.is_none() {
                self.drop_member(node, step);
                self.drop_record(node);
            } else if self.counts(held.record(), step) {
                self.keep_peer(node, step);
                self.arm_end(node, step);
            } else {
                self.drop_member(node, step);
                self.arm_end(node, step);
            }
        }
        let strays = self.directory.agents.values().map(|held| held.record().host);
        let strays: BTreeSet<NodeId> = strays.filter(|host| !self.is_member(*host)).collect();
        for host in strays {
            self.drop_agents(host);
        }
        self.arm_agents_end(step);
        self.arm_renewal(step);
    }

    /// Whether a node is this one, a peer that is pinned, or a member.
    pub(crate) fn is_member(&self, node: NodeId) -> bool {
        node == self.node_id() || self.links.peers.contains_key(&node)
    }

    /// Whether a source is nobody whose word counts here: its node is out, or is not known.
    pub(crate) fn is_stranger(&self, source: AgentId) -> bool {
        let is_known = || self.directory.agents.contains_key(&source) || self.is_member(NodeId::new(source));
        self.members.mesh.is_some() && !is_known()
    }

    /// Whether there may be a link with a node.
    pub(crate) fn is_out(&self, node: NodeId) -> bool {
        let is_blocked = self.members.blocked.contains(&node) && self.rules.hold(Rule::BlockedStaysOut);
        is_blocked || (self.members.is_revoked(node) && self.rules.hold(Rule::RevokedIsRefused))
    }

    /// Whether a record has not ended. While the clock is not to be trusted, none has.
    fn counts(&self, record: &NodeRecord, step: &Step<'_>) -> bool {
        self.clock.is_suspended() || record.expiry > step.wall()
    }

    /// A record of a node, as its own task signed it or as it came over a link.
    pub(crate) fn learn_node(
        &mut self,
        record: Verified<Box<Known<NodeRecord>>>,
        from: Option<LinkId>,
        step: &mut Step<'_>,
    ) {
        let id = NodeId::new(record.get().id);
        if self.members.mesh.is_some() {
            if id == self.node_id() {
                self.learn_own(record, step);
            } else {
                self.learn_member(id, record, from, step);
            }
        } else if self.is_member(id) && self.directory.take_node(&record, &mut self.ledger) {
            step.ask(Effect::LearnNode(record));
        }
    }

    /// This node's own record was signed; or it comes back from a life that the store does not remember, and another one
    /// is signed above it.
    fn learn_own(&mut self, record: Verified<Box<Known<NodeRecord>>>, step: &mut Step<'_>) {
        let sequence = record.get().record.sequence;
        if sequence > self.node_sequence {
            if self.rules.hold(Rule::OwnRecordIsHighest) {
                self.node_sequence = sequence;
                self.sign_node(step);
            }
        } else if sequence == self.node_sequence && self.directory.take_node(&record, &mut self.ledger) {
            step.ask(Effect::LearnNode(record));
            self.pass_on(self.node_id(), None, step);
        }
    }

    fn learn_member(
        &mut self,
        id: NodeId,
        record: Verified<Box<Known<NodeRecord>>>,
        from: Option<LinkId>,
        step: &mut Step<'_>,
    ) {
        let new = &record.get().record;
        let is_refused = self.members.is_revoked(id) && self.rules.hold(Rule::RevokedIsRefused);
        let is_unproved = new.certificate.is_none() && self.rules.hold(Rule::MembersAreProved);
        let is_old = new.expiry.saturating_add(NODE_RECORD_LIFE) <= step.wall() && !self.clock.is_suspended();
        let held = self.directory.nodes.get(&id.agent());
        let is_beyond = held.is_none() && self.directory.nodes.len() >= MEMBERS_MAX;
        if is_refused || is_unproved || is_old || is_beyond {
            self.stats.ignored += 1;
            return;
        }
        let sequence = new.sequence;
        let moved = held.is_none_or(|held| held.record().addresses != new.addresses);
        if let Some(link) = from {
            self.links.note_heard(link, id, sequence);
        }
        if held.is_some_and(|held| held.record().sequence >= sequence) {
            // Whoever brings an older one is shown the newer one.
            if let Some(link) = from {
                self.say_node(link, id, step);
            }
            return;
        }
        let counts = self.counts(new, step);
        if !self.directory.take_node(&record, &mut self.ledger) {
            return;
        }
        self.arm_end(id, step);
        if counts {
            step.ask(Effect::LearnNode(record));
            let is_new = self.keep_peer(id, step);
            self.reach(id, is_new, moved, step);
        } else {
            self.drop_member(id, step);
        }
        self.pass_on(id, from, step);
        self.pass_on_soon(step);
    }

    /// A member is a peer, as its record says. Whether it was none before.
    fn keep_peer(&mut self, id: NodeId, step: &Step<'_>) -> bool {
        let Some(held) = self.directory.nodes.get(&id.agent()) else { return false };
        let record = held.record();
        let can_dial = !record.addresses.is_empty() || self.members.is_seed(id);
        let pinned = PinnedPeer { name: record.name.clone(), node: id, can_dial };
        if let Some(known) = self.links.peers.get_mut(&id) {
            known.pinned = pinned;
            return false;
        }
        self.links.peers.insert(id, Peer::new(pinned, step.now.mono));
        true
    }

    /// Who has just become a member is dialed by the lower of the two ids at once, and by the other one if that does not
    /// come. Who has moved is dialed again.
    fn reach(&mut self, id: NodeId, is_new: bool, moved: bool, step: &mut Step<'_>) {
        if is_new && id.agent() < self.me.id {
            self.dial_later(id, step);
        } else if is_new || moved {
            self.dial(id, step);
        }
    }

    fn arm_end(&mut self, id: NodeId, step: &Step<'_>) {
        let Some(held) = self.directory.nodes.get(&id.agent()) else { return };
        let expiry = held.record().expiry;
        let ends = if expiry > step.wall() { expiry } else { expiry.saturating_add(NODE_RECORD_LIFE) };
        let at = step.now.when(ends);
        let Some(mesh) = &mut self.members.mesh else { return };
        if let Some(before) = mesh.ends.insert(id, at) {
            self.timers.clear(before, Why::NodeEnds(id));
        }
        self.timers.set(at, Why::NodeEnds(id));
    }

    /// Deadlines were set by a clock that has moved since.
    pub(crate) fn arm_ends(&mut self, step: &Step<'_>) {
        let known: Vec<NodeId> = self.members.mesh.iter().flat_map(|mesh| mesh.ends.keys().copied()).collect();
        for id in known {
            self.arm_end(id, step);
        }
        if let Some(before) = self.members.agents_end.take() {
            self.timers.clear(before, Why::AgentsEnd);
        }
        self.arm_agents_end(step);
    }

    /// A record may have ended: first its node is no member any more, and later the record goes.
    pub(crate) fn node_ends(&mut self, id: NodeId, at: Mono, step: &mut Step<'_>) {
        let is_due = self.members.mesh.as_ref().is_some_and(|mesh| mesh.ends.get(&id) == Some(&at));
        if !is_due || self.clock.is_suspended() {
            // Looked at again when the clock is trusted.
            return;
        }
        let Some(held) = self.directory.nodes.get(&id.agent()) else { return };
        let expiry = held.record().expiry;
        if expiry <= step.wall() && self.rules.hold(Rule::SilentNodeEnds) {
            self.drop_member(id, step);
        }
        let keeps = expiry.saturating_add(NODE_RECORD_LIFE) > step.wall() && self.rules.hold(Rule::LeftStaysLeft);
        if keeps || expiry > step.wall() {
            self.arm_end(id, step);
        } else {
            self.drop_record(id);
        }
    }

    /// A node is no member any more: its links end, and its agents are known no longer.
    pub(crate) fn drop_member(&mut self, id: NodeId, step: &mut Step<'_>) {
        self.drop_links(id, "it is no member any more", step);
        self.links.peers.remove(&id);
        self.drop_agents(id);
        self.recent.remove(&id);
        step.ask(Effect::ForgetNode(id));
        if !self.rules.hold(Rule::LeftStaysLeft) {
            self.drop_record(id);
        }
    }

    fn drop_agents(&mut self, host: NodeId) {
        let early = self.inbox.flows.iter().filter(|(_, flow)| flow.host == Some(host) && !flow.early.is_empty());
        let early: Vec<_> = early.map(|(pair, _)| *pair).collect();
        for pair in early {
            self.drop_early(pair, u32::MAX);
        }
        for entry in self.directory.forget_agents(host) {
            self.ledger.forget(entry);
        }
    }

    pub(crate) fn drop_record(&mut self, id: NodeId) {
        if let Some(mesh) = &mut self.members.mesh
            && let Some(at) = mesh.ends.remove(&id)
        {
            self.timers.clear(at, Why::NodeEnds(id));
        }
        if let Some(held) = self.directory.nodes.remove(&id.agent()) {
            self.ledger.forget(held.entry);
        }
    }

    /// An operator wants what is known of a node forgotten.
    pub(crate) fn forget_peer(&mut self, id: NodeId, step: &mut Step<'_>) {
        if self.members.mesh.is_some() && id != self.node_id() {
            self.drop_member(id, step);
            self.drop_record(id);
        }
    }

    /// An operator wants no link with a node, or wants one again.
    pub(crate) fn block(&mut self, id: NodeId, is_blocked: bool, step: &mut Step<'_>) {
        if is_blocked {
            self.members.blocked.insert(id);
            if self.rules.hold(Rule::BlockedStaysOut) {
                self.drop_links(id, "an operator blocked it", step);
            }
        } else if self.members.blocked.remove(&id) {
            self.dial(id, step);
        }
    }

    /// The node of that name. One that two nodes claim is nobody's.
    pub(crate) fn node_named(&self, name: &Name) -> Result<NodeId, Failure> {
        let ours = (*name == self.me.name).then(|| self.node_id());
        let others = self.links.peers.values().filter(|peer| peer.pinned.name == *name).map(|peer| peer.pinned.node);
        let mut found = ours.into_iter().chain(others);
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err(Failure::new(ErrorCode::OFFLINE, "no node of this name is known here")),
            (Some(one), Some(other)) => {
                let (one, other) = (one.agent(), other.agent());
                let words = format!("several nodes have this name, {one} and {other}: say the id of the agent");
                Err(Failure::new(ErrorCode::OFFLINE, words))
            }
        }
    }
}
