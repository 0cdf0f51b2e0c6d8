//! The daemon's shell, as far as the core can see it: starts, syncs, and doing what the core asks for. It keeps the
//! order of effects, as the real one must.

use mesh::{Change, Effect, Event, HostedAgent, Input, Load, Outgoing, TransactionNumber};
use proto::entry::{Entry, EntryNumber, Parts};
use proto::limits::CLIENT_ROOM_DELIVERIES;
use proto::{AgentId, Boundary, MessageId, Name, PrekeyId};

use crate::fault::Promise;
use crate::forge;
use crate::host::{Prekey, Run};
use crate::show::{show_effect, show_input};
use crate::time::MILLI;
use crate::world::{What, World};

/// A node that is called more often than this without time passing will never stop.
const TICKS_AT_ONCE_MAX: u32 = 1000;

impl World {
    /// Tells the core something, if the process that it was meant for is still there.
    pub(crate) fn input_if(&mut self, node: usize, incarnation: u32, input: Input) {
        if self.is_running(node, incarnation) {
            self.note_room(node, &input);
            self.input(node, input);
        }
    }

    /// Room that is given back is there.
    fn note_room(&mut self, node: usize, input: &Input) {
        let Some(run) = self.run(node) else { return };
        if let Input::LinkRoom { link, frames, .. } = input
            && let Some(end) = run.links.get_mut(link)
        {
            end.frames_out = end.frames_out.saturating_sub(*frames);
        } else if let Input::ClientRoom { client, deliveries, .. } = input
            && let Some(end) = run.clients.get_mut(client)
        {
            end.deliveries_out = end.deliveries_out.saturating_sub(*deliveries);
        }
    }

    pub(crate) fn input(&mut self, node: usize, input: Input) {
        let now = self.now;
        let mut effects = std::mem::take(&mut self.effects);
        let Some(host) = self.hosts.get_mut(node) else { return };
        let core_now = host.now(now);
        let Some(run) = host.run.as_mut() else { return };
        if run.is_stopped {
            return;
        }
        self.trace.word(node as u64);
        self.story.tell(now, Some(node), || format!("<- {}", show_input(&input)));
        self.model.wall_most = self.model.wall_most.max(core_now.wall.0);
        run.node.handle(input, core_now, &mut effects);
        self.carry_out(node, &mut effects);
        self.effects = effects;
        self.plan_tick(node);
    }

    pub(crate) fn input_later(&mut self, after: u64, node: usize, input: Input) {
        let incarnation = self.incarnation(node);
        self.plan(after, What::Input { node, incarnation, input: Box::new(input) });
    }

    pub(crate) fn plan_tick(&mut self, node: usize) {
        let now = self.now;
        let late = self.chance.skewed(0, 5 * MILLI);
        let Some(host) = self.hosts.get_mut(node) else { return };
        let (booted, incarnation) = (host.booted, host.incarnation);
        let Some(run) = host.run.as_mut() else { return };
        let Some(deadline) = run.node.next_deadline() else { return };
        let due = deadline.at.0.saturating_add(booted).max(now);
        if run.tick_at.is_some_and(|at| at <= due && at >= now) {
            return;
        }
        if due == now {
            run.ticks_here += 1;
            if run.ticks_here > TICKS_AT_ONCE_MAX {
                let what = format!("it is called for {} again and again, and time stands still", deadline.why);
                return self.fault(Promise::HostIsUsable, node, what);
            }
        } else {
            run.ticks_here = 0;
        }
        run.tick_at = Some(due + late);
        self.plan(due + late - now, What::Tick { node, incarnation });
    }

    pub(crate) fn tick(&mut self, node: usize, incarnation: u32) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(node).filter(|host| host.incarnation == incarnation) else { return };
        let Some(run) = host.run.as_mut().filter(|run| run.tick_at == Some(now)) else { return };
        run.tick_at = None;
        self.input(node, Input::Tick);
    }

    /// Does what the core asks for, in order.
    pub(crate) fn carry_out(&mut self, node: usize, effects: &mut Vec<Effect>) {
        // What one step writes and says belongs together: a frame may speak of what the step's transaction does.
        let wall = self.hosts.get(node).map_or(0, |host| host.wall(self.now));
        self.model.told_now = effects.iter().filter_map(refusal_of).collect();
        for effect in effects.iter() {
            if let Effect::Store { changes, .. } = effect {
                self.model.asked(node, changes, wall);
            }
        }
        for effect in effects.drain(..) {
            self.trace_effect(&effect);
            self.story.tell(self.now, Some(node), || format!("-> {}", show_effect(&effect)));
            self.carry_out_one(node, effect);
        }
    }

    fn carry_out_one(&mut self, node: usize, effect: Effect) {
        match effect {
            Effect::Store { transaction, changes } => self.store(node, transaction, changes),
            Effect::Send { link, outgoing, seal_to } => {
                if self.hosts.get(node).is_some_and(|host| !host.is_apart) {
                    self.busy_at = self.now;
                }
                self.send(node, link, &outgoing, seal_to);
            }
            Effect::Tell { client, outgoing, is_delivery } => {
                self.busy_at = self.now;
                self.tell(node, client, &outgoing, is_delivery);
            }
            Effect::Control { link, said } => self.send_control(node, link, said),
            Effect::Dial { peer } => self.dial(node, peer),
            Effect::HangUp { link, why: _ } => self.hang_up(node, link),
            Effect::Disconnect { client } => self.disconnect(node, client),
            Effect::MakeAgent { name, uid } => self.make_agent(node, name, uid),
            Effect::MakePrekey { agent, not_after } => self.make_prekey(node, agent, not_after),
            Effect::ErasePrekey { agent, prekey } => self.erase_prekey(node, agent, prekey),
            Effect::SignAgent(record) => match forge::sign_agent(*record) {
                Ok(signed) => self.made(node, Input::AgentSigned(signed)),
                Err(refusal) => self.fault(Promise::HostIsUsable, node, format!("an agent's record: {refusal}")),
            },
            Effect::SignNode(record) => match forge::sign_node(self.with_certificate(node, *record)) {
                Ok(signed) => {
                    if let Some(run) = self.run(node) {
                        run.record = Some(signed.clone());
                    }
                    self.made(node, Input::NodeSigned(signed));
                }
                Err(refusal) => self.fault(Promise::HostIsUsable, node, format!("a node's record: {refusal}")),
            },
            Effect::LearnAgent(known) => {
                if let Some(run) = self.run(node) {
                    run.learned.insert(known.get().id);
                }
            }
            Effect::LearnNode(known) => {
                if let Some(run) = self.run(node) {
                    run.learned.insert(known.get().id);
                    let node = proto::NodeId::new(known.get().id);
                    run.learned_nodes.insert(node);
                    run.sequences.insert(node, known.get().record.sequence);
                }
            }
            Effect::ForgetNode(peer) => self.forgets(node, peer),
            Effect::KeepRevoked(list) => self.keeps_revoked(node, list),
            Effect::Renew => self.renews(node),
            Effect::Report(event) => self.report(node, &event),
            Effect::Stopped => {
                if let Some(run) = self.run(node) {
                    run.is_stopped = true;
                }
                self.stop_if_synced(node);
            }
        }
    }

    pub(crate) fn run(&mut self, node: usize) -> Option<&mut Run> {
        self.hosts.get_mut(node)?.run.as_deref_mut()
    }

    /// What was made or signed comes back after a moment.
    fn made(&mut self, node: usize, input: Input) {
        let after = self.chance.skewed(0, 3 * MILLI);
        self.input_later(after, node, input);
    }

    fn report(&mut self, node: usize, event: &Event) {
        if let Event::Lost { entry } = event
            && !self.model.is_forgiven(node)
        {
            self.story.tell(self.now, Some(node), || format!("lost {entry:?}"));
        }
    }

    fn store(&mut self, node: usize, transaction: TransactionNumber, changes: Vec<Change>) {
        let Some(run) = self.run(node) else { return };
        let follows = transaction.0 == run.last_transaction + 1;
        run.last_transaction = transaction.0;
        run.waiting.push((transaction, changes));
        let is_idle = run.syncing.is_none() && run.waiting.len() == 1;
        if !follows {
            self.fault(Promise::HostIsUsable, node, format!("transaction {} is out of turn", transaction.0));
        }
        if is_idle {
            let incarnation = self.incarnation(node);
            self.plan(0, What::SyncBegins { node, incarnation });
        }
    }

    /// The parts of what is to be sent, from memory or from disk.
    pub(crate) fn parts(&mut self, node: usize, outgoing: &Outgoing) -> Option<(Parts, Option<EntryNumber>)> {
        let entry = match &outgoing.load {
            Load::Here(parts) => return Some((parts.clone(), None)),
            Load::Entry(entry) => *entry,
        };
        let run = self.run(node)?;
        match run.load(entry).map(into_parts) {
            Some(Some(parts)) => Some((parts, Some(entry))),
            Some(None) => {
                self.fault(Promise::HostIsUsable, node, format!("{entry:?} holds nothing that was said"));
                None
            }
            None => {
                let is_asked = self.model.accounts.get(node).is_some_and(|a| a.synced.entries.contains_key(&entry));
                let rots = self.model.accounts.get(node).is_some_and(|account| account.rots);
                if !is_asked && !rots && !self.model.is_forgiven(node) {
                    let what = format!("{entry:?} is to be read from disk, and is not there");
                    self.fault(Promise::HostIsUsable, node, what);
                }
                self.model.tally.unreadable += 1;
                self.made(node, Input::Unreadable { entry });
                None
            }
        }
    }

    fn tell(&mut self, node: usize, client: mesh::ClientId, outgoing: &Outgoing, is_delivery: bool) {
        let Some((parts, entry)) = self.parts(node, outgoing) else { return };
        let content = match forge::outgoing(outgoing, &parts, Boundary::Down) {
            Ok(content) => content,
            Err(refusal) => {
                let what = format!("a frame for a client cannot be made: {refusal}; {:?}", outgoing.draft);
                return self.fault(Promise::HostIsUsable, node, what);
            }
        };
        let now = self.now;
        let after = self.chance.skewed(MILLI / 20, 2 * MILLI);
        let Some(host) = self.hosts.get_mut(node) else { return };
        let wall = host.wall(now);
        let Some(run) = host.run.as_mut() else { return };
        let Some(end) = run.clients.get_mut(&client) else { return };
        end.heard_at = end.heard_at.max(now + after);
        let (agent, heard_at) = (end.agent, end.heard_at);
        let is_let_in = end.is_stranger && content.header.shape() != proto::Shape::Notice;
        if is_delivery {
            end.deliveries_out += 1;
            let out = end.deliveries_out;
            if out > CLIENT_ROOM_DELIVERIES {
                self.fault(Promise::BoundsHold, node, format!("{out} deliveries to a client that has no room"));
            }
        }
        if is_let_in {
            self.fault(Promise::StrangersStayOut, node, "another user is told something");
        }
        self.judge_delivery(node, &content, is_delivery);
        self.model.told(node, client, &content, entry, wall);
        self.plan(heard_at - now, What::Hears { agent, client, content: Box::new(content) });
        if is_delivery {
            let room = self.chance.skewed(0, 20 * MILLI);
            self.give_client_room(node, client, outgoing.bytes as u64, heard_at - now + room);
        }
    }

    fn give_client_room(&mut self, node: usize, client: mesh::ClientId, bytes: u64, after: u64) {
        let incarnation = self.incarnation(node);
        let input = Box::new(Input::ClientRoom { client, deliveries: 1, bytes });
        self.plan(after, What::Input { node, incarnation, input });
    }

    fn make_agent(&mut self, node: usize, name: Name, uid: u32) {
        let fails = !self.is_mended && self.shape.trouble_every_ms > 0 && self.chance.percent(10);
        if fails {
            return self.made(node, Input::AgentNotMade { name });
        }
        let known = self.agents.iter().find(|agent| agent.node == node && agent.name == name).map(|agent| agent.id);
        let fresh = AgentId::new(self.chance.bytes32());
        let id = known.unwrap_or(fresh);
        let hosted = HostedAgent { id, public_key: forge::public_key(id), name, uid };
        self.model.homes.insert(id, node);
        if let Some(host) = self.hosts.get_mut(node) {
            host.agents.push(hosted.clone());
        }
        if let Some(run) = self.run(node) {
            run.learned.insert(id);
        }
        self.made(node, Input::AgentMade(hosted));
    }

    fn make_prekey(&mut self, node: usize, agent: AgentId, not_after: u64) {
        let public = self.chance.bytes32();
        let drawn = self.chance.number().to_be_bytes();
        let id = PrekeyId::new(drawn.first_chunk().copied().unwrap_or_default());
        if let Some(run) = self.run(node) {
            run.prekeys.insert(public, Prekey { agent, id, not_after });
        }
        self.made(node, Input::PrekeyMade { agent, id, public, not_after });
    }

    fn erase_prekey(&mut self, node: usize, agent: AgentId, prekey: PrekeyId) {
        if let Some(run) = self.run(node) {
            run.prekeys.retain(|_, kept| kept.agent != agent || kept.id != prekey);
        }
    }

    fn trace_effect(&mut self, effect: &Effect) {
        let trace = &mut self.trace;
        match effect {
            Effect::Store { transaction, changes } => {
                trace.word(1 + transaction.0 * 16);
                for change in changes {
                    match change {
                        Change::Put(number, bytes) => {
                            trace.word(number.get());
                            trace.bytes(bytes);
                        }
                        Change::Forget(number) => trace.word(!number.get()),
                    }
                }
            }
            Effect::Send { link, outgoing, seal_to } => {
                trace.word(2 + link.0 * 16);
                trace.word(outgoing.draft.id.get());
                trace.word(u64::from(outgoing.draft.sequence.get()));
                trace.bytes(seal_to.as_ref().map_or(&[][..], |key| &key[..]));
            }
            Effect::Tell { client, outgoing, .. } => {
                trace.word(3 + client.0 * 16);
                trace.word(outgoing.draft.id.get());
                trace.word(outgoing.notes.delivery_number.unwrap_or(0));
            }
            Effect::Control { link, .. } => trace.word(4 + link.0 * 16),
            Effect::Dial { peer } => trace.bytes(peer.as_bytes()),
            Effect::HangUp { link, .. } => trace.word(5 + link.0 * 16),
            Effect::Disconnect { client } => trace.word(6 + client.0 * 16),
            Effect::MakeAgent { .. } => trace.word(7),
            Effect::MakePrekey { not_after, .. } => trace.word(8 ^ *not_after),
            Effect::ErasePrekey { .. } => trace.word(9),
            Effect::SignAgent(record) => trace.word(10 ^ record.sequence),
            Effect::SignNode(record) => trace.word(11 ^ record.sequence),
            Effect::LearnAgent(known) => trace.bytes(known.get().id.as_bytes()),
            Effect::LearnNode(known) => trace.bytes(known.get().id.as_bytes()),
            Effect::ForgetNode(peer) => trace.bytes(peer.as_bytes()),
            Effect::KeepRevoked(list) => trace.word(14 ^ list.get().record.epoch),
            Effect::Renew => trace.word(15),
            Effect::Report(_) => trace.word(12),
            Effect::Stopped => trace.word(13),
        }
    }
}

/// What was said, if an entry holds any.
fn into_parts(entry: Entry) -> Option<Parts> {
    if let Entry::Owned { parts, .. } | Entry::Received { parts, .. } | Entry::Dead { parts, .. } = entry {
        Some(parts)
    } else {
        None
    }
}

/// Who is told in this step that a message came to nothing.
fn refusal_of(effect: &Effect) -> Option<(AgentId, MessageId)> {
    let Effect::Tell { outgoing, .. } = effect else { return None };
    let draft = &outgoing.draft;
    (draft.shape == proto::Shape::Notice).then_some((draft.destination, draft.id))
}
