//! Records and prekeys: those that this node makes for its agents, and those that it hears of.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;

use proto::control::{ControlBody, Resolve, ResolveReply};
use proto::limits::{
    NODE_RECORD_WAIT, PREKEY_ERASURE_DELAY, PREKEY_LIFE_MAX, PREKEY_ROTATION, PREKEY_ROTATION_SPREAD, RECORD_LIFE,
};
use proto::record::{AgentRecord, Known};
use proto::{AgentId, Content, ErrorCode, Name, PrekeyId, Verified};

use crate::chance::Chance;
use crate::directory::Found;
use crate::effect::{Control, Effect};
use crate::input::LinkId;
use crate::node::Node;
use crate::rules::Rule;
use crate::say::{Asked, Failure};
use crate::step::Step;
use crate::timers::Why;

impl Node {
    /// A new prekey, a day before the last one ends; and one at each start, for the secrets of the last run are gone.
    pub(crate) fn next_prekey(&mut self, agent: AgentId, step: &mut Step<'_>) {
        let not_after = step.wall().saturating_add(PREKEY_LIFE_MAX);
        step.ask(Effect::MakePrekey { agent, not_after });
        // All agents have theirs made together at a start; the next ones are spread.
        let after = PREKEY_ROTATION - self.chance.between(0, PREKEY_ROTATION_SPREAD);
        let next = step.now.mono.after(after);
        if let Some(before) = self.locals.agents.get_mut(&agent).and_then(|local| local.next_prekey.replace(next)) {
            self.timers.clear(before, Why::NextPrekey(agent));
        }
        self.timers.set(next, Why::NextPrekey(agent));
    }

    pub(crate) fn prekey_made(
        &mut self,
        agent: AgentId,
        id: PrekeyId,
        public: [u8; 32],
        not_after: u64,
        step: &mut Step<'_>,
    ) {
        let Some(local) = self.locals.agents.get_mut(&agent) else { return };
        local.prekey = Some((public, not_after));
        local.prekeys.insert(id);
        let erase = step.now.when(not_after.saturating_add(PREKEY_ERASURE_DELAY));
        self.timers.set(erase, Why::ErasePrekey(agent, id));
        self.sign_agent(agent, step);
    }

    /// The secret half of a prekey has done its time.
    pub(crate) fn erase_prekey(&mut self, agent: AgentId, prekey: PrekeyId, step: &mut Step<'_>) {
        if self.locals.agents.get_mut(&agent).is_some_and(|local| local.prekeys.remove(&prekey)) {
            step.ask(Effect::ErasePrekey { agent, prekey });
        }
    }

    /// All that are kept go at once.
    pub(crate) fn erase_prekeys(&mut self, agent: AgentId, step: &mut Step<'_>) {
        let kept = self.locals.agents.get_mut(&agent).map(|local| core::mem::take(&mut local.prekeys));
        for prekey in kept.unwrap_or_default() {
            step.ask(Effect::ErasePrekey { agent, prekey });
        }
    }

    pub(crate) fn sign_agent(&mut self, agent: AgentId, step: &mut Step<'_>) {
        let node = self.node_id();
        let known = self.directory.record(agent).map_or(0, |record| record.sequence);
        let Some(local) = self.locals.agents.get_mut(&agent) else { return };
        local.sequence = next_sequence(local.sequence.max(known), step.wall(), &mut self.chance);
        let record = AgentRecord {
            public_key: local.hosted.public_key,
            name: local.hosted.name.clone(),
            capabilities: local.capabilities.clone(),
            topics: local.topics.clone(),
            prekey: local.prekey,
            host: node,
            chain: Vec::new(),
            sequence: local.sequence,
            expiry: step.wall().saturating_add(RECORD_LIFE),
        };
        step.ask(Effect::SignAgent(Box::new(record)));
    }

    /// A record of an agent, of this node or of another one.
    pub(crate) fn learn_agent(
        &mut self,
        known: Verified<Box<Known<AgentRecord>>>,
        from: Option<LinkId>,
        step: &mut Step<'_>,
    ) {
        let (agent, host) = (known.get().id, known.get().record.host);
        let (sequence, carried) = (known.get().record.sequence, known.get().carried.clone());
        let is_local = self.locals.agents.contains_key(&agent);
        if is_local && self.locals.agents.get(&agent).is_some_and(|local| sequence > local.sequence) {
            // Made by this agent's key in a life that the store does not remember.
            if let Some(local) = self.locals.agents.get_mut(&agent) {
                local.sequence = sequence;
            }
            self.sign_agent(agent, step);
            return;
        }
        let fits = if is_local { host == self.node_id() } else { self.links.peers.contains_key(&host) };
        if !fits {
            return;
        }
        if !is_local && self.has_ended(known.get().record.expiry, step) {
            self.stats.ignored += 1;
            return;
        }
        if !self.directory.take_agent(&known, &mut self.ledger) {
            self.say_newer(&known, step);
            return;
        }
        step.ask(Effect::LearnAgent(known));
        self.arm_agents_end(step);
        if is_local {
            let links: Vec<_> = self.links.peers.values().filter_map(|peer| peer.link).collect();
            for link in links {
                step.ask(Effect::Control { link, said: Control::Record(carried.clone()) });
            }
        } else {
            self.pass_on_agent((agent, host), &carried, from, step);
            self.prekey_changed(agent, step);
        }
    }

    /// A host brings an older record of its agent than one that it made before, in a life that its store does not
    /// remember, or by a clock that stood higher. It is shown that one, and signs anew above it.
    fn say_newer(&self, known: &Verified<Box<Known<AgentRecord>>>, step: &mut Step<'_>) {
        let Known { id, record, .. } = known.get().as_ref();
        let Some(held) = self.directory.agents.get(id) else { return };
        let link = self.links.to(record.host).filter(|_| held.record().host == record.host);
        if let Some(link) = link.filter(|_| held.record().sequence > record.sequence) {
            let said = Control::Record(held.known.get().carried.clone());
            step.ask(Effect::Control { link, said });
        }
    }

    /// Among members, an agent is known while its host signs for it. While the clock is not to be trusted, none has ended.
    fn has_ended(&self, expiry: u64, step: &Step<'_>) -> bool {
        let ends = self.members.mesh.is_some() && self.rules.hold(Rule::EndedAgentIsForgotten);
        ends && !self.clock.is_suspended() && expiry <= step.wall()
    }

    pub(crate) fn arm_agents_end(&mut self, step: &Step<'_>) {
        let Some(expiry) = self.directory.next_end().filter(|_| self.members.mesh.is_some()) else { return };
        // What has ended and is kept is not looked at without a pause.
        let at = step.now.when(expiry).max(step.now.mono.after(NODE_RECORD_WAIT));
        if self.members.agents_end.is_some_and(|before| before <= at) {
            return;
        }
        if let Some(before) = self.members.agents_end.replace(at) {
            self.timers.clear(before, Why::AgentsEnd);
        }
        self.timers.set(at, Why::AgentsEnd);
    }

    /// Agents whose hosts sign for them no longer are not known any more. Those of this node are for their keys to end.
    pub(crate) fn agents_end(&mut self, step: &Step<'_>) {
        self.members.agents_end = None;
        if self.clock.is_suspended() {
            // Looked at again when the clock is trusted.
            return;
        }
        let ended: Vec<AgentId> = self.directory.ended(step.wall()).collect();
        for agent in ended {
            let is_kept = self.locals.agents.contains_key(&agent) || !self.rules.hold(Rule::EndedAgentIsForgotten);
            if !is_kept {
                self.forget_agent(agent);
            }
        }
        self.arm_agents_end(step);
    }

    fn forget_agent(&mut self, agent: AgentId) {
        let early = self.inbox.flows.iter().filter(|(pair, flow)| pair.source == agent && !flow.early.is_empty());
        let early: Vec<_> = early.map(|(pair, _)| *pair).collect();
        for pair in early {
            self.drop_early(pair, u32::MAX);
        }
        if let Some(entry) = self.directory.forget_agent(agent) {
            self.ledger.forget(entry);
        }
    }

    /// Somebody wants the record of an agent.
    pub(crate) fn wanted(&self, link: crate::LinkId, agent: AgentId, step: &mut Step<'_>) {
        if let Some(held) = self.directory.agents.get(&agent) {
            let said = Control::Record(held.known.get().carried.clone());
            step.ask(Effect::Control { link, said });
        }
    }

    pub(crate) fn resolve(&mut self, asked: Asked, content: &Content, step: &mut Step<'_>) {
        match self.find_address(content) {
            Err(failure) => self.refuse(asked, failure, step),
            Ok(agent) => {
                let node = self.directory.host(agent).unwrap_or_else(|| self.node_id());
                let names = self.proved(agent, node);
                let text = |name: Option<Name>| name.map(|name| name.as_str().into()).unwrap_or_default();
                let reply = ResolveReply {
                    agent_id: alloc::format!("{agent}"),
                    agent_name: text(names.source_name),
                    node_id: alloc::format!("{node}"),
                    node_name: text(names.source_node_name),
                };
                self.answer(asked, &reply, step);
            }
        }
    }

    fn find_address(&self, content: &Content) -> Result<AgentId, Failure> {
        let resolve = Resolve::read(content.header.content_type(), &content.body);
        let resolve = resolve.ok_or(Failure::new(ErrorCode::MALFORMED, "the body of agent.resolve cannot be read"))?;
        match resolve.address.parse::<AgentId>() {
            Ok(id) if self.is_addressable(id) => Ok(id),
            Ok(_) => Err(nobody()),
            Err(_) => self.find_name(&resolve.address),
        }
    }

    /// Whom `agent@node` or `agent` means.
    pub(crate) fn find_name(&self, address: &str) -> Result<AgentId, Failure> {
        let not_address = Failure::new(ErrorCode::MALFORMED, "an address is agent@node, agent, or an id");
        let (agent, node) = address.split_once('@').map_or((address, None), |(agent, node)| (agent, Some(node)));
        let agent: Name = agent.parse().map_err(|_| not_address.clone())?;
        let found = match node {
            Some(node) => {
                let node: Name = node.parse().map_err(|_| not_address)?;
                let node = self.node_named(&node)?;
                self.directory.find(&agent, Some(node))
            }
            None => match self.directory.find(&agent, Some(self.node_id())) {
                Found::Nobody => self.directory.find(&agent, None),
                found @ (Found::One(_) | Found::Several(..)) => found,
            },
        };
        match found {
            Found::One(agent) => Ok(agent),
            Found::Nobody => Err(nobody()),
            Found::Several(one, other) => {
                let words =
                    alloc::format!("several agents have this name, {one} and {other}: say agent@node, or the id");
                Err(Failure::new(ErrorCode::OFFLINE, words))
            }
        }
    }
}

/// The sequence of the next record: the clock, or where that is behind, a number drawn above the last one. A store that
/// went back would make another record under the same number by a fixed step, and the two would never be told apart.
pub(crate) fn next_sequence(last: u64, wall: u64, chance: &mut Chance) -> u64 {
    const STEP_MAX: u64 = 1 << 32;
    if wall > last { wall } else { last.saturating_add(chance.between(1, STEP_MAX)) }
}

const fn nobody() -> Failure {
    Failure { code: ErrorCode::OFFLINE, words: Cow::Borrowed("no such agent is known here"), retry_after_ms: 0 }
}
