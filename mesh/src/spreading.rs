//! How all members hear of each other and of their agents. A node tells its own links about itself; a neighbour passes
//! on what somebody cannot have heard so: at once what is new, and now and again whatever a change of links has left
//! untold. Each record goes over a link once in each direction at most.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use proto::limits::{NEIGHBOURS_LOOK, PASSED_ON_MAX};
use proto::record::{CarriedRecord, NodeRecord};
use proto::{AgentId, NodeId};

use crate::directory::Held;
use crate::effect::{Control, Effect};
use crate::input::LinkId;
use crate::node::Node;
use crate::rules::Rule;
use crate::step::Step;
use crate::timers::Why;

impl Node {
    /// A link has come up: each side says who it knows, but for those whom the other one hears of directly.
    pub(crate) fn say_members(&mut self, link: LinkId, peer: NodeId, step: &mut Step<'_>) {
        if self.members.mesh.is_none() {
            return;
        }
        self.say_revoked(link, step);
        let is_told = |held: &Held<NodeRecord>| held.record().links.contains(&peer);
        let others = self.directory.nodes.iter().filter(|(id, _)| **id != peer.agent());
        let untold = others.filter(|(id, held)| **id == self.me.id || !is_told(held)).map(|(id, _)| NodeId::new(*id));
        let untold: Vec<NodeId> = untold.collect();
        for node in untold {
            if node == self.node_id() || self.rules.hold(Rule::RecordsGoOn) {
                self.say_node(link, node, step);
            }
        }
        self.sign_soon(step);
        self.pass_on_soon(step);
    }

    /// Says a node's record, unless the other side has it, or a newer one.
    pub(crate) fn say_node(&mut self, link: LinkId, node: NodeId, step: &mut Step<'_>) {
        let Some(held) = self.directory.nodes.get(&node.agent()) else { return };
        if self.links.is_news(link, node, held.record().sequence) {
            let said = Control::Record(held.known.get().carried.clone());
            step.ask(Effect::Control { link, said });
        }
    }

    /// A node's record is new here. It goes on to all links but the one that it came from, and those of its maker and of
    /// whoever brought it, who have told theirs.
    pub(crate) fn pass_on(&mut self, node: NodeId, from: Option<LinkId>, step: &mut Step<'_>) {
        let is_own = node == self.node_id();
        if !is_own && !self.rules.hold(Rule::RecordsGoOn) {
            return;
        }
        let bringer = from.and_then(|link| self.links.peer_of(link)).filter(|bringer| *bringer != node);
        let told: Vec<NodeId> = if is_own {
            Vec::new()
        } else {
            let tellers = [Some(node), bringer].into_iter().flatten();
            tellers.flat_map(|teller| self.links_of(teller).iter().copied()).collect()
        };
        let up: Vec<(NodeId, LinkId)> = self.links.up().collect();
        for (peer, link) in up {
            if Some(link) != from && peer != node && !told.contains(&peer) {
                self.say_node(link, node, step);
            }
        }
    }

    /// Whom a node is linked with, as it says itself.
    fn links_of(&self, node: NodeId) -> &[NodeId] {
        self.directory.nodes.get(&node.agent()).map_or(&[], |held| &held.record().links)
    }

    /// Links have changed somewhere: what somebody has not heard is looked for, once that has settled.
    pub(crate) fn pass_on_soon(&mut self, step: &Step<'_>) {
        let Some(mesh) = &mut self.members.mesh else { return };
        if !core::mem::replace(&mut mesh.passes_on, true) {
            self.timers.set(step.now.mono.after(NEIGHBOURS_LOOK), Why::PassOn);
        }
    }

    /// Looks for what peers cannot hear from its maker, and says it if that is for this node to do.
    pub(crate) fn pass_on_rest(&mut self, step: &mut Step<'_>) {
        let Some(mesh) = &mut self.members.mesh else { return };
        mesh.passes_on = false;
        let others = self.directory.nodes.keys().filter(|id| **id != self.me.id);
        let others: Vec<NodeId> = others.map(|id| NodeId::new(*id)).collect();
        let up: Vec<(NodeId, LinkId)> = self.links.up().collect();
        for (peer, link) in up {
            let mut room = PASSED_ON_MAX;
            for host in others.iter().copied().filter(|host| *host != peer) {
                if !self.is_ours_to_tell(host, peer) {
                    self.links.passes_agents_of(link, host, false);
                } else if room == 0 {
                    self.pass_on_soon(step);
                } else {
                    self.say_node(link, host, step);
                    if self.links.passes_agents_of(link, host, true) {
                        room = room.saturating_sub(self.say_agents_of(host, link, step));
                    }
                }
            }
        }
    }

    /// Whether a peer that is not linked with a node hears of it and its agents from here: from the lowest of those that
    /// are linked with both, or from whoever knows, if there is none.
    fn is_ours_to_tell(&self, host: NodeId, peer: NodeId) -> bool {
        let of_host = self.links_of(host);
        if of_host.contains(&peer) || !self.rules.hold(Rule::RecordsGoOn) {
            return false;
        }
        let of_peer: BTreeSet<&NodeId> = self.links_of(peer).iter().collect();
        let lowest = of_host.iter().filter(|node| of_peer.contains(node)).min();
        lowest.is_none_or(|lowest| *lowest == self.node_id())
    }

    /// Says all records of a node's agents, and how many.
    fn say_agents_of(&self, host: NodeId, link: LinkId, step: &mut Step<'_>) -> usize {
        let mut count = 0;
        for held in self.directory.agents_of(host).filter_map(|agent| self.directory.agents.get(&agent)) {
            let said = Control::Record(held.known.get().carried.clone());
            step.ask(Effect::Control { link, said });
            count += 1;
        }
        count
    }

    /// A record of another node's agent is new here: it goes on to those whom this node tells about that node.
    pub(crate) fn pass_on_agent(
        &self,
        (agent, host): (AgentId, NodeId),
        carried: &CarriedRecord,
        from: Option<LinkId>,
        step: &mut Step<'_>,
    ) {
        for (peer, link) in self.links.up() {
            let is_wanted = Some(link) != from && peer != host && peer.agent() != agent;
            if is_wanted && self.links.is_told_agents_of(link, host) {
                step.ask(Effect::Control { link, said: Control::Record(carried.clone()) });
            }
        }
    }
}
