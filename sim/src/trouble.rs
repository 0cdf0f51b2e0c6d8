//! What goes wrong, and how it is mended. Each trouble is something that happens to machines; none knows the core.

use mesh::{Input, Stats};
use proto::metadata::Stage;
use proto::{AgentId, ContentType, MessageId, MessageType};

use crate::agent::{Act, Said};
use crate::fault::Promise;
use crate::machine::Crash;
use crate::shape::{Frames, Trouble};
use crate::time::{MILLI, SECOND, WALL_AT_BIRTH};
use crate::world::{What, World};

impl World {
    /// Plans all that is said and the first trouble.
    pub(crate) fn plan_life(&mut self) {
        for _ in 0..self.shape.messages {
            let at = self.chance.between(300 * MILLI, self.shape.length());
            let agent = self.chance.index(self.agents.len());
            if let Some(act) = self.something_to_say(agent, at) {
                self.plan(at, What::Act { agent, act });
            }
        }
        if self.shape.trouble_every_ms > 0 {
            let at = self.chance.below(self.shape.trouble_every_ms * MILLI);
            self.plan(at, What::Trouble);
        }
    }

    fn something_to_say(&mut self, agent: usize, at: u64) -> Option<Act> {
        let talk = self.shape.talk;
        let node = self.agents.get(agent)?.node;
        let local = self.chance.permille(talk.local);
        let others: Vec<_> = self
            .agents
            .iter()
            .enumerate()
            .filter(|(other, there)| *other != agent && (there.node == node) == local)
            .map(|(_, there)| there.id)
            .collect();
        let stranger = AgentId::new(self.chance.bytes32());
        let is_unknown = self.chance.permille(talk.unknown);
        let to = if is_unknown { stranger } else { *self.chance.pick(&others)? };
        if self.chance.permille(talk.once) {
            let asks = self.chance.percent(50);
            return Some(if self.chance.percent(15) { Act::Ping { to } } else { Act::SayOnce { to, asks } });
        }
        let id = MessageId::new(self.chance.number());
        let is_broadcast = self.chance.permille(talk.broadcast);
        let message_type = if is_broadcast { MessageType::Broadcast } else { MessageType::Request };
        let last = [Stage::None, Stage::Accepted, Stage::Stored, Stage::Handled, Stage::Handled, Stage::Handled];
        let last = self.chance.pick(&last).copied().unwrap_or(Stage::Handled);
        let wants_end = !is_broadcast || last == Stage::Handled;
        let life = self.chance.skewed(SECOND / 2, 40 * SECOND);
        let ahead = self.hosts.get(node).map_or(0, |host| host.wall_ahead);
        let is_short = self.chance.permille(talk.short_lived);
        let expiry = is_short.then_some((WALL_AT_BIRTH + at + life).saturating_add_signed(ahead));
        if self.chance.permille(talk.unfit) && !local && !is_unknown {
            self.unfit.insert(id);
        }
        let length = self.chance.index(talk.body_bytes + 1);
        let body = id.get().to_be_bytes().into_iter().cycle().take(length).collect();
        let content_type = if length == 0 { ContentType::None } else { ContentType::Octets };
        Some(Act::Say(Box::new(Said { to, id, message_type, content_type, last, wants_end, expiry, body, times: 0 })))
    }

    /// Something goes wrong.
    pub(crate) fn trouble(&mut self) {
        if self.is_mended {
            return;
        }
        let after = self.chance.skewed(MILLI, self.shape.trouble_every_ms * 2 * MILLI);
        self.plan(after, What::Trouble);
        let node = self.chance.index(self.hosts.len());
        self.back_up(node);
        let Some(trouble) = self.shape.troubles.draw(&mut self.chance) else { return };
        let node = self.chance.index(self.hosts.len());
        self.impatience();
        self.do_trouble(trouble, node);
    }

    /// Somebody says again what nobody has forgotten.
    fn impatience(&mut self) {
        let impatient = self.shape.talk.impatient;
        for agent in 0..self.agents.len() {
            let Some(who) = self.agents.get(agent) else { continue };
            let serials: Vec<_> = who.said.keys().copied().collect();
            if self.chance.permille(impatient)
                && let Some(serial) = self.chance.pick(&serials).copied()
            {
                self.plan(0, What::Act { agent, act: Act::SayAgain { serial } });
            }
        }
    }

    pub(crate) fn do_trouble(&mut self, trouble: Trouble, node: usize) {
        self.story.tell(self.now, Some(node), || format!("TROUBLE {trouble:?}"));
        match trouble {
            Trouble::Crash => self.crash_and_start(node, Crash::Power),
            Trouble::Kill => self.crash_and_start(node, Crash::Kill),
            Trouble::LoseStore => self.crash_and_start(node, Crash::StoreLost),
            Trouble::Stop => self.stop(node),
            Trouble::Cut => self.cut_one(node),
            Trouble::Partition => self.part_one(node),
            Trouble::ClientCrash | Trouble::Takeover | Trouble::Away => self.trouble_agents(trouble, node),
            Trouble::Rollback | Trouble::SilentRollback => {
                let Some(host) = self.hosts.get(node).filter(|host| host.run.is_some()) else { return };
                let Some(image) = self.chance.pick(&host.backups).cloned() else { return };
                self.roll_back(node, &image, trouble == Trouble::Rollback);
                self.start_later(node);
            }
            Trouble::Lie => {
                let Some(host) = self.hosts.get_mut(node).filter(|host| host.run.is_some() && !host.lies) else {
                    return;
                };
                host.lies = true;
                host.disk.lie(true);
                self.forgive(node);
                let after = self.chance.skewed(SECOND, 20 * SECOND);
                self.plan(after, What::Mend { trouble, node });
            }
            Trouble::Damage => self.damage(node),
            Trouble::Rot => self.rot(node),
            Trouble::ClockJump => {
                let most = self.shape.clocks.jump_ms * MILLI;
                let by = i64::try_from(self.chance.skewed(0, most)).unwrap_or(0);
                let by = if self.chance.percent(50) { by } else { -by };
                self.jump_clock(node, by);
            }
            Trouble::FullDisk => {
                self.model.tally.full += 1;
                let incarnation = self.incarnation(node);
                self.input_if(node, incarnation, Input::Disk { has_room: false });
                let after = self.chance.skewed(SECOND, 20 * SECOND);
                self.plan(after, What::Mend { trouble, node });
            }
            Trouble::Silence => self.silence(node),
            Trouble::Revoke => self.revoke_one(node),
            Trouble::SlowDisk => {
                let until = self.now + self.chance.skewed(SECOND, 20 * SECOND);
                if let Some(host) = self.hosts.get_mut(node) {
                    host.slow_until = until;
                }
            }
        }
    }

    fn trouble_agents(&mut self, trouble: Trouble, node: usize) {
        let of_node: Vec<_> =
            self.agents.iter().enumerate().filter(|(_, agent)| agent.node == node).map(|(at, _)| at).collect();
        let Some(agent) = self.chance.pick(&of_node).copied() else { return };
        let away = self.now + self.chance.skewed(5 * SECOND, 60 * SECOND);
        let act = match (trouble, self.chance.below(8)) {
            (Trouble::Takeover, 0) => Act::Rejoin { detaches: false },
            (Trouble::Takeover, 1) => Act::Rejoin { detaches: true },
            (Trouble::Takeover, 2) => Act::Intrude,
            (Trouble::Takeover, _) => Act::TakeOver,
            (_, _) => Act::Die,
        };
        if trouble == Trouble::Takeover {
            self.model.tally.takeovers += 1;
        }
        if trouble == Trouble::Away
            && let Some(who) = self.agents.get_mut(agent)
        {
            who.away_until = away;
        }
        self.plan(0, What::Act { agent, act });
    }

    fn crash_and_start(&mut self, node: usize, how: Crash) {
        if self.hosts.get(node).is_none_or(|host| host.run.is_none()) {
            return;
        }
        if self.hosts.get(node).is_some_and(|host| host.lies) && how != Crash::Kill {
            return self.mend(Trouble::Lie, node);
        }
        self.crash(node, how);
        self.start_later(node);
    }

    fn start_later(&mut self, node: usize) {
        let after = self.chance.skewed(5 * MILLI, 15 * SECOND);
        self.plan(after, What::Start { node });
    }

    /// What depends on this node's disk is not judged from here on.
    pub(crate) fn forgive(&mut self, node: usize) {
        if let Some(account) = self.model.accounts.get_mut(node) {
            account.is_forgiven = true;
        }
    }

    /// Some bytes change. What is read is checked, so a record is there or not; the node finds out when it reads it.
    fn rot(&mut self, node: usize) {
        let mut chance = self.chance.fork();
        let Some(host) = self.hosts.get_mut(node).filter(|host| host.run.is_some() && !host.lies) else { return };
        host.backups.clear();
        let flips = chance.between(1, 60);
        let changed = (0..flips).filter(|_| host.disk.flip(&mut chance)).count();
        if changed > 0 {
            self.model.excuse(node, "its store rots");
            self.model.tally.rots += 1;
            if let Some(account) = self.model.accounts.get_mut(node) {
                account.rots = true;
                account.has_rotted = true;
            }
        }
    }

    fn damage(&mut self, node: usize) {
        if !self.hosts.get(node).is_some_and(|host| host.run.is_some() && !host.lies) {
            return;
        }
        self.crash(node, Crash::PowerLosingAll);
        let mut chance = self.chance.fork();
        if let Some(host) = self.hosts.get_mut(node)
            && host.disk.flip(&mut chance)
        {
            host.backups.clear();
            self.model.disk_is_lost(node, "its store was damaged");
            if let Some(account) = self.model.accounts.get_mut(node) {
                account.has_rotted = true;
            }
        }
        self.start_later(node);
    }

    fn cut_one(&mut self, node: usize) {
        let open: Vec<_> = self
            .network
            .wires
            .iter()
            .enumerate()
            .filter(|(_, wire)| wire.is_open && wire.nodes.contains(&node))
            .map(|(at, _)| at)
            .collect();
        let Some(wire) = self.chance.pick(&open).copied() else { return };
        let delays = [self.chance.skewed(0, SECOND), self.chance.skewed(0, SECOND)];
        self.model.tally.cuts += 1;
        self.cut_wire(wire, delays);
    }

    fn part_one(&mut self, node: usize) {
        let other = self.chance.index(self.hosts.len());
        if other == node {
            return;
        }
        let length = self.chance.skewed(SECOND, 30 * SECOND);
        self.part(node, other, length);
    }

    /// A trouble has lasted as long as it lasts.
    pub(crate) fn mend(&mut self, trouble: Trouble, node: usize) {
        match trouble {
            Trouble::Lie => {
                let Some(host) = self.hosts.get(node).filter(|host| host.lies) else { return };
                let was_running = host.run.is_some();
                let loses_all = self.chance.percent(50);
                self.crash(node, if loses_all { Crash::PowerLosingAll } else { Crash::Power });
                if let Some(host) = self.hosts.get_mut(node) {
                    host.lies = false;
                    host.disk.lie(false);
                }
                self.model.disk_is_lost(node, "its disk had lied");
                if was_running {
                    self.start_later(node);
                }
            }
            Trouble::Stop => {
                let is_stopping = self.run(node).is_some_and(|run| run.is_stopping && !run.is_stopped);
                if is_stopping {
                    self.fault(Promise::ItSettles, node, "it was told to stop a minute ago, and has not");
                }
            }
            Trouble::Crash
            | Trouble::Kill
            | Trouble::Cut
            | Trouble::Partition
            | Trouble::ClientCrash
            | Trouble::Takeover
            | Trouble::Away
            | Trouble::LoseStore
            | Trouble::Rollback
            | Trouble::SilentRollback
            | Trouble::Damage
            | Trouble::Rot
            | Trouble::ClockJump
            | Trouble::Silence
            | Trouble::Revoke
            | Trouble::SlowDisk => {}
            Trouble::FullDisk => {
                let incarnation = self.incarnation(node);
                self.input_if(node, incarnation, Input::Disk { has_room: true });
            }
        }
    }

    /// A hint, true or not, that a peer is silent; and, as it must, the other one some time later.
    fn silence(&mut self, node: usize) {
        let Some(run) = self.run(node) else { return };
        let links: Vec<_> = run.links.keys().copied().collect();
        let Some(link) = self.chance.pick(&links).copied() else { return };
        let incarnation = self.incarnation(node);
        self.input_if(node, incarnation, Input::LinkSilent { link });
        let after = self.chance.skewed(SECOND, 30 * SECOND);
        let input = Box::new(Input::LinkHeard { link });
        self.plan(after, What::Input { node, incarnation, input });
    }

    /// From here on nothing goes wrong, and agents do as they should.
    pub fn mend_all(&mut self) {
        for node in 0..self.hosts.len() {
            self.mend(Trouble::Lie, node);
        }
        self.is_mended = true;
        self.fates = None;
        self.network.heal_all();
        self.network.frames = Frames { latency_ms: self.network.frames.latency_ms, ..Frames::default() };
        for node in 0..self.hosts.len() {
            self.mend(Trouble::FullDisk, node);
            if let Some(host) = self.hosts.get_mut(node) {
                host.slow_until = 0;
                host.holds_syncs = false;
                let incarnation = host.incarnation;
                self.plan(0, What::SyncBegins { node, incarnation });
            }
            // Whoever is down is started, whoever runs is left alone.
            if self.hosts.get(node).is_some_and(|host| !host.is_apart) {
                self.plan(20 * SECOND, What::Start { node });
            }
        }
        for agent in 0..self.agents.len() {
            self.plan(0, What::Act { agent, act: Act::Connect });
        }
    }

    /// The counters of all cores that run, added up.
    #[must_use]
    pub fn stats(&self) -> Vec<(&'static str, u64)> {
        let mut all = Stats::default().all();
        for run in self.hosts.iter().filter_map(|host| host.run.as_ref()) {
            for (sum, (_, count)) in all.iter_mut().zip(run.node.summary().stats.all()) {
                sum.1 += count;
            }
        }
        all
    }
}
