//! Meshes with members: how nodes join, what their daemons do about certificates and revocations, and what must hold of
//! who knows whom. Certificates are forged like all else; what a real verifier would refuse is refused here by hand.

use std::collections::BTreeSet;

use mesh::{Control, Input};
use proto::control::Select;
use proto::member::Validity;
use proto::metadata::Key as Field;
use proto::record::{Known, NodeRecord, RecordKind, Revocations};
use proto::{Content, MessageType, NodeId, Verified};

use crate::account::Key;
use crate::fault::Promise;
use crate::forge;
use crate::host::{Host, LinkEnd, Member};
use crate::time::{MILLI, SECOND, WALL_AT_BIRTH};
use crate::world::World;

/// The mesh that all members of a world belong to.
pub(crate) const MESH: [u8; 32] = [0x3e; 32];

/// Between two nodes that join.
const JOINS_EVERY: u64 = SECOND / 2;

/// A holder answers within this time.
const RENEWAL_WAIT: u64 = 3 * SECOND;

impl World {
    /// What a node needs to be a member, as its authority gave it.
    pub(crate) fn member(&mut self, node: usize) -> Member {
        self.model.tally.joins += 1;
        Member {
            seed: (node > 0).then_some(0),
            certificate: Validity::of_node(WALL_AT_BIRTH),
            revoked: None,
            asked: 0,
            renewed: 0,
            is_denied: false,
        }
    }

    pub(crate) const fn joins_at(&self, node: usize) -> u64 {
        if self.shape.members { JOINS_EVERY * node as u64 } else { 0 }
    }

    /// Whether a node has been told where another one is.
    pub(crate) fn has_address(&self, node: usize, to: usize) -> bool {
        let Some(host) = self.hosts.get(node) else { return false };
        let Some(member) = &host.member else { return true };
        let peer = self.hosts.get(to).map(|host| host.id);
        let is_learned = host.run.as_ref().zip(peer).is_some_and(|(run, peer)| run.learned_nodes.contains(&peer));
        is_learned || member.seed == Some(to)
    }

    /// The daemon puts its certificate into what it signs.
    pub(crate) fn with_certificate(&self, node: usize, record: NodeRecord) -> NodeRecord {
        let is_member = self.hosts.get(node).is_some_and(|host| host.member.is_some());
        NodeRecord { certificate: is_member.then(forge::certificate), ..record }
    }

    /// A node is no member any more, as one of them says.
    pub(crate) fn forgets(&mut self, node: usize, peer: NodeId) {
        if let Some(run) = self.run(node) {
            run.learned_nodes.remove(&peer);
        }
    }

    pub(crate) fn keeps_revoked(&mut self, node: usize, list: Verified<Box<Known<Revocations>>>) {
        let now = self.now;
        let Some(member) = self.hosts.get_mut(node).and_then(|host| host.member.as_mut()) else { return };
        let before = member.revoked.as_ref().map_or(0, |list| list.get().record.epoch);
        let epoch = list.get().record.epoch;
        member.revoked = Some(list);
        self.story.tell(now, Some(node), || format!("REVOKED up to list {epoch}"));
        if epoch <= before {
            self.fault(Promise::OutIsOut, node, format!("it takes list {epoch}, and had list {before}"));
        }
    }

    /// A holder renews a certificate, unless nobody is there to do so.
    pub(crate) fn renews(&mut self, node: usize) {
        let now = self.now;
        let wall = WALL_AT_BIRTH + now;
        let after = self.chance.skewed(10 * MILLI, RENEWAL_WAIT);
        let Some(member) = self.hosts.get_mut(node).and_then(|host| host.member.as_mut()) else { return };
        member.asked += 1;
        if member.is_denied {
            return;
        }
        member.renewed += 1;
        member.certificate = Validity::of_node(wall);
        let certificate = member.certificate;
        self.input_later(after, node, Input::Certified(certificate));
    }

    /// Nodes that one of them knows to be out.
    fn out_for(&self, node: usize) -> BTreeSet<NodeId> {
        let Some(host) = self.hosts.get(node) else { return BTreeSet::new() };
        let list = host.member.as_ref().and_then(|member| member.revoked.as_ref());
        list.map(|list| list.get().record.nodes.clone()).unwrap_or_default()
    }

    /// A node that knows another one to be out has nothing to do with it.
    pub(crate) fn judge_contact(&mut self, node: usize, to: usize, what: &str) {
        let Some(peer) = self.hosts.get(to).map(|host| host.id) else { return };
        let is_blocked = self.hosts.get(node).is_some_and(|host| host.blocked.contains(&peer));
        if is_blocked || self.out_for(node).contains(&peer) {
            self.fault(Promise::OutIsOut, node, format!("it {what} node {to}, which is out"));
        }
    }

    /// Nothing of an agent whose node is out is delivered, but an outcome once more that may have been told before.
    pub(crate) fn judge_delivery(&mut self, node: usize, content: &Content, is_delivery: bool) {
        let is_message = matches!(content.header.message_type(), MessageType::Request | MessageType::Broadcast);
        let is_repeat = !is_message && content.metadata.has(Field::Marked);
        let home = self.home(content.header.source()).filter(|home| is_delivery && !is_repeat && *home != node);
        let Some(id) = home.and_then(|home| self.hosts.get(home)).map(|host| host.id) else { return };
        if self.out_for(node).contains(&id) {
            self.fault(Promise::OutIsOut, node, "it delivers what an agent said whose node is out");
        }
    }

    /// A frame leaves over a wire.
    pub(crate) fn tally_frame(&mut self, wire: usize, side: usize, node: usize) {
        let to = self.network.wires.get(wire).map_or(usize::MAX, |there| there.node(1 - side));
        self.judge_contact(node, to, "sends a frame to");
    }

    /// Something leaves over a control stream. Whoever is out may still be told so.
    pub(crate) fn control_leaves(&mut self, node: usize, end: LinkEnd, said: &Control) {
        let to = self.network.wires.get(end.wire).map_or(usize::MAX, |there| there.node(1 - end.side));
        if let Control::Record(carried) = said {
            self.model.tally.records += 1;
            self.model.tally.record_bytes += carried.as_bytes().len() as u64;
            self.count_record(carried);
            if carried.kind() == RecordKind::Revocations {
                return;
            }
        }
        self.judge_contact(node, to, "says something to");
    }

    pub(crate) fn is_blocked_between(&self, a: usize, b: usize) -> bool {
        let blocks = |a: usize, b: usize| {
            let peer = self.hosts.get(b).map(|host| host.id);
            self.hosts.get(a).zip(peer).is_some_and(|(host, peer)| host.blocked.contains(&peer))
        };
        blocks(a, b) || blocks(b, a)
    }

    /// At rest all members know each other, and each other's agents.
    pub(crate) fn check_members(&mut self) {
        if !self.shape.members {
            return;
        }
        for node in self.members() {
            for other in self.members() {
                if node != other && !self.is_known(node, other) {
                    self.fault(Promise::MembersAreKnown, node, format!("node {other} or an agent of it is not known"));
                } else if node != other && !self.has_newest(node, other) {
                    self.fault(Promise::MembersAreKnown, node, format!("it knows an old record of node {other}"));
                }
            }
            self.check_out(node);
        }
    }

    /// All members have the same list, and nothing to do with those on it.
    fn check_out(&mut self, node: usize) {
        let newest = self.members().into_iter().map(|member| self.list_of(member)).max();
        if newest != Some(self.list_of(node)) {
            self.fault(Promise::OutIsOut, node, "it has an old list, or none");
        }
        let out: Vec<usize> = self.model.out_nodes.iter().copied().collect();
        if out.iter().any(|out| self.has_peer(node, *out) || self.knows_agents_of(node, *out)) {
            self.fault(Promise::OutIsOut, node, "it still knows a node that is out");
        }
        let Some(account) = self.model.accounts.get(node).filter(|account| !account.is_forgiven) else { return };
        let is_out = |key: &&Key| self.model.homes.get(&key.pair.destination).is_some_and(|home| out.contains(home));
        let owned = account.synced.owned.keys().find(is_out).copied();
        let awaited = account.synced.stubs.keys().find(is_out).copied();
        for (what, key) in [("owned", owned), ("awaited", awaited)] {
            if key.is_some() {
                let what = format!("something for a node that is out is still {what}");
                self.model.fault(Promise::OutIsOut, Some(node), key, what);
            }
        }
    }

    /// All nodes that are members, and run.
    #[must_use]
    pub fn members(&self) -> Vec<usize> {
        let there = self.hosts.iter().enumerate().filter(|(_, host)| !host.is_apart && host.run.is_some());
        there.map(|(at, _)| at).collect()
    }

    /// Whether a node knows another one, and all agents that this one hosts.
    #[must_use]
    pub fn is_known(&self, node: usize, other: usize) -> bool {
        let (Some(host), Some(there)) = (self.hosts.get(node), self.hosts.get(other)) else { return false };
        let Some(run) = &host.run else { return false };
        let summary = run.node.summary();
        let has_node = summary.peers.iter().any(|peer| peer.node == there.id);
        let known: BTreeSet<_> = summary.agents.iter().filter(|agent| agent.node == there.id).map(|a| a.id).collect();
        has_node && there.agents.iter().all(|agent| known.contains(&agent.id))
    }

    /// Whether a node has the record that another one signed last.
    pub(crate) fn has_newest(&self, node: usize, other: usize) -> bool {
        let Some(newest) = self.record_of(other) else { return false };
        let run = self.hosts.get(node).and_then(|host| host.run.as_ref());
        let known = run.and_then(|run| run.sequences.get(&NodeId::new(newest.get().id)));
        known.is_some_and(|known| *known == newest.get().record.sequence)
    }

    /// Whether a node counts another one as a member.
    #[must_use]
    pub fn has_peer(&self, node: usize, other: usize) -> bool {
        let peer = self.hosts.get(other).map(|host| host.id);
        let run = self.hosts.get(node).and_then(|host| host.run.as_ref());
        run.is_some_and(|run| run.node.summary().peers.iter().any(|known| Some(known.node) == peer))
    }

    /// Whether a node knows any agent of another one.
    #[must_use]
    pub fn knows_agents_of(&self, node: usize, other: usize) -> bool {
        let peer = self.hosts.get(other).map(|host| host.id);
        let run = self.hosts.get(node).and_then(|host| host.run.as_ref());
        run.is_some_and(|run| run.node.summary().agents.iter().any(|known| Some(known.node) == peer))
    }

    /// The peers and agents that a node knows.
    #[must_use]
    pub fn directory_of(&self, node: usize) -> (BTreeSet<NodeId>, BTreeSet<proto::AgentId>) {
        let run = self.hosts.get(node).and_then(|host| host.run.as_ref());
        let Some(summary) = run.map(|run| run.node.summary()) else { return Default::default() };
        let peers = summary.peers.iter().map(|peer| peer.node).collect();
        (peers, summary.agents.iter().map(|agent| agent.id).collect())
    }

    /// Whether a connection between two nodes is open.
    #[must_use]
    pub fn is_linked(&self, a: usize, b: usize) -> bool {
        let between = |wire: &crate::network::Wire| wire.nodes.contains(&a) && wire.nodes.contains(&b);
        self.network.wires.iter().any(|wire| wire.is_open && between(wire))
    }

    /// Which list of revocations a node has; 0 for none.
    #[must_use]
    pub fn list_of(&self, node: usize) -> u64 {
        let member = self.hosts.get(node).and_then(|host| host.member.as_ref());
        member.and_then(|member| member.revoked.as_ref()).map_or(0, |list| list.get().record.epoch)
    }

    /// How often a node asked for a renewal.
    #[must_use]
    pub fn renewals_asked(&self, node: usize) -> u32 {
        self.hosts.get(node).and_then(|host| host.member.as_ref()).map_or(0, |member| member.asked)
    }

    /// Whether a node's certificate counts, by the world's clock.
    #[must_use]
    pub fn is_certified(&self, node: usize) -> bool {
        let member = self.hosts.get(node).and_then(|host| host.member.as_ref());
        member.is_some_and(|member| member.certificate.contains(WALL_AT_BIRTH + self.now))
    }

    /// Nobody answers a node that asks for a renewal, or somebody does again.
    pub fn deny_renewal(&mut self, node: usize, is_denied: bool) {
        if let Some(member) = self.hosts.get_mut(node).and_then(|host| host.member.as_mut()) {
            member.is_denied = is_denied;
        }
    }

    /// The authority's list of that epoch, which names these nodes.
    pub(crate) fn list(&self, epoch: u64, nodes: &[usize]) -> Option<Verified<Box<Known<Revocations>>>> {
        let nodes = nodes.iter().filter_map(|node| self.hosts.get(*node)).map(|host| host.id).collect();
        forge::sign_revocations(Revocations { mesh: MESH, epoch, nodes }).ok()
    }

    /// An operator revokes nodes at one of them. What goes to them or comes from them may end in any way that is told.
    pub fn revoke(&mut self, at: usize, epoch: u64, nodes: &[usize]) {
        for node in nodes {
            if let Some(host) = self.hosts.get_mut(*node) {
                host.is_apart = true;
            }
            self.model.excuse_node(*node, "its node was revoked");
        }
        if let Some(list) = self.list(epoch, nodes) {
            self.input_now(at, Input::Revoked(list));
        }
    }

    /// A node is revoked by some other one, on top of those that are out. Two are left at least, and the first one, for it
    /// alone leads back whoever has lost its store.
    pub(crate) fn revoke_one(&mut self, node: usize) {
        let runs = |host: &Host| host.run.as_ref().is_some_and(|run| !run.is_stopping) && !host.is_apart;
        let here: Vec<usize> = self.hosts.iter().enumerate().filter(|(_, host)| runs(host)).map(|(at, _)| at).collect();
        let left = self.hosts.iter().filter(|host| !host.is_apart).count();
        let others: Vec<usize> = here.iter().copied().filter(|at| *at != node).collect();
        if node == 0 || left < 3 || !here.contains(&node) {
            return;
        }
        let Some(at) = self.chance.pick(&others).copied() else { return };
        let mut out: Vec<usize> = self.model.out_nodes.iter().copied().collect();
        out.push(node);
        self.model.tally.revoked += 1;
        self.revoke(at, out.len() as u64, &out);
    }

    /// Tells a node something now, as its daemon would.
    pub(crate) fn input_now(&mut self, node: usize, input: Input) {
        let incarnation = self.incarnation(node);
        self.input_if(node, incarnation, input);
    }

    /// A node leaves the mesh, and stops for good.
    pub fn leave(&mut self, node: usize) {
        self.input_now(node, Input::Leave);
        if let Some(host) = self.hosts.get_mut(node) {
            host.is_apart = true;
        }
    }

    /// An operator wants what a node knows of another one forgotten.
    pub fn forget(&mut self, at: usize, node: usize) {
        let Some(peer) = self.hosts.get(node).map(|host| host.id) else { return };
        self.input_now(at, Input::Forget { peer });
    }

    /// A node is reached elsewhere from now on.
    pub fn move_to(&mut self, node: usize, addresses: &[&str]) {
        self.input_now(node, Input::Addresses(addresses.iter().map(|address| (*address).into()).collect()));
    }

    /// What a node says of where it is reached, and the number of that record.
    #[must_use]
    pub fn whereabouts(&self, node: usize) -> (Vec<String>, u64) {
        let record = self.record_of(node);
        let said = record.map(|record| (record.get().record.addresses.clone(), record.get().record.sequence));
        said.map(|(said, sequence)| (said.iter().map(ToString::to_string).collect(), sequence)).unwrap_or_default()
    }

    /// A node is not held to know anybody, nor anybody to know it.
    pub fn set_apart(&mut self, node: usize, is_apart: bool) {
        if let Some(host) = self.hosts.get_mut(node) {
            host.is_apart = is_apart;
        }
    }

    /// An operator blocks a node at another one, or lets it back in.
    pub fn block(&mut self, at: usize, node: usize, is_blocked: bool) {
        let Some(peer) = self.hosts.get(node).map(|host| host.id) else { return };
        if let Some(host) = self.hosts.get_mut(at) {
            if is_blocked {
                host.blocked.insert(peer);
            } else {
                host.blocked.remove(&peer);
            }
        }
        self.input_now(at, Input::Block { peer, is_blocked });
    }

    /// Gives a node the name of another one, before it starts.
    pub fn rename_as(&mut self, node: usize, other: usize) {
        let name = self.hosts.get(other).map(|host| host.name.clone());
        if let (Some(name), Some(host)) = (name, self.hosts.get_mut(node)) {
            host.name = name;
        }
    }

    /// What one node answers when asked for a node by name.
    #[must_use]
    pub fn ask_for_node(&self, at: usize, node: usize) -> Option<String> {
        let name = self.hosts.get(node)?.name.to_string();
        let host = self.hosts.get(at)?;
        let select = Select { node: name, ..Select::default() };
        host.run.as_ref()?.node.outbox(&select, host.now(self.now)).err().map(|answer| answer.words.into_owned())
    }

    /// The id of a node, in words.
    #[must_use]
    pub fn node_id(&self, node: usize) -> String {
        self.hosts.get(node).map(|host| host.id.agent().to_string()).unwrap_or_default()
    }

    /// Something is said to a node over the link that it has with another one, whoever really says it.
    pub(crate) fn say_as(&mut self, from: usize, to: usize, said: mesh::PeerSaid) {
        if let Some((wire, side)) = self.network.open(to, from) {
            let link = self.network.wires.get(wire).map(|there| there.link(side));
            if let Some(link) = link {
                self.input_now(to, Input::PeerSaid { link, said });
            }
        }
    }

    /// The record that a node holds of itself.
    pub(crate) fn record_of(&self, node: usize) -> Option<Verified<Box<Known<NodeRecord>>>> {
        self.hosts.get(node)?.run.as_ref()?.record.clone()
    }
}
