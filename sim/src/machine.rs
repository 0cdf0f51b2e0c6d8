//! What can be done to machines, by chance or by hand: crash, start, stop, put a backup back, move a clock, part two.

use mesh::Input;
use proto::limits::{CLOCK_JUMP, CLOCK_STEADY};

use crate::disk::Image;
use crate::shape::Trouble;
use crate::time::{MILLI, SECOND};
use crate::world::{What, World};

/// Copies that are kept of a disk.
const BACKUPS_MAX: usize = 4;

/// A node that was told to stop does so within this time.
const STOP_MAX: u64 = 60 * SECOND;

/// How a process ends before its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crash {
    /// The power fails: what was not synced is lost, torn or there, as chance will have it.
    Power,
    /// The power fails, and nothing that was not synced is there.
    PowerLosingAll,
    /// The process is killed; the machine stays.
    Kill,
    /// With the machine goes the store; its keys are elsewhere.
    StoreLost,
}

impl World {
    /// Ends a node's process now, as `how` says. It stays away until it is started.
    pub fn crash(&mut self, node: usize, how: Crash) {
        let now = self.now;
        let mut chance = self.chance.fork();
        let Some(host) = self.hosts.get_mut(node) else { return };
        if host.run.take().is_none() {
            return;
        }
        match how {
            Crash::Kill => self.model.tally.kills += 1,
            Crash::Power => {
                host.disk.crash(&mut chance);
                host.booted = now;
                self.model.tally.crashes += 1;
            }
            Crash::PowerLosingAll => {
                host.disk.crash_losing_all();
                host.booted = now;
                self.model.tally.crashes += 1;
            }
            Crash::StoreLost => {
                host.disk.restore(&Image::default());
                host.booted = now;
                host.is_reborn = true;
                host.backups.clear();
                self.model.tally.stores_lost += 1;
                self.model.disk_is_lost(node, "its store was lost");
            }
        }
        self.story.tell(now, Some(node), || format!("CRASH {how:?}"));
        self.process_ended(node);
    }

    /// Starts a node that is down.
    pub fn restart(&mut self, node: usize) {
        self.plan(0, What::Start { node });
    }

    /// The keys of a node's agents are gone. An agent that attaches again is taken for the same all the same.
    pub fn lose_keys(&mut self, node: usize) {
        if let Some(host) = self.hosts.get_mut(node) {
            host.agents.clear();
        }
    }

    /// A copy of what is synced, as somebody might put back.
    pub fn back_up(&mut self, node: usize) {
        let Some(host) = self.hosts.get_mut(node).filter(|host| !host.lies) else { return };
        if host.backups.len() >= BACKUPS_MAX {
            host.backups.remove(0);
        }
        host.backups.push(host.disk.image());
    }

    /// Ends a node and puts its newest copy back. It is told so, or not.
    pub fn put_back(&mut self, node: usize, is_told: bool) {
        let Some(image) = self.hosts.get(node).and_then(|host| host.backups.last().cloned()) else { return };
        self.roll_back(node, &image, is_told);
    }

    pub(crate) fn roll_back(&mut self, node: usize, image: &Image, is_told: bool) {
        self.crash(node, Crash::PowerLosingAll);
        if let Some(host) = self.hosts.get_mut(node) {
            host.disk.restore(image);
            host.disk.lie(false);
            host.lies = false;
            host.is_reborn = is_told;
        }
        self.model.tally.rollbacks += 1;
        self.model.disk_is_lost(node, "its store went back");
        if !is_told {
            self.forgive(node);
        }
    }

    /// Moves a wall clock.
    pub fn jump_clock(&mut self, node: usize, by: i64) {
        self.model.clocks_jump = true;
        self.model.tally.jumps += 1;
        let is_far = by.unsigned_abs() > CLOCK_JUMP;
        let until = self.now + CLOCK_STEADY;
        let Some(host) = self.hosts.get_mut(node) else { return };
        host.wall_ahead += by;
        let is_seen = is_far && host.run.is_some();
        if let Some(account) = self.model.accounts.get_mut(node) {
            account.clock_moved = true;
            if is_seen {
                account.suspended_until = until;
            }
        }
    }

    /// Tells a node to stop. It starts again by itself some seconds after it has stopped.
    pub fn stop(&mut self, node: usize) {
        let incarnation = self.incarnation(node);
        let Some(run) = self.run(node).filter(|run| !run.is_stopping) else { return };
        run.is_stopping = true;
        self.model.tally.stops += 1;
        self.plan(STOP_MAX, What::Mend { trouble: Trouble::Stop, node });
        self.input_if(node, incarnation, Input::Stop);
    }

    /// Nothing passes between two nodes for that many ns; each finds that out in its own time.
    pub fn part(&mut self, a: usize, b: usize, length: u64) {
        self.network.part(a, b, self.now + length);
        self.model.tally.cuts += 1;
        let between: Vec<_> = self
            .network
            .wires
            .iter()
            .enumerate()
            .filter(|(_, wire)| wire.is_open && wire.nodes.contains(&a) && wire.nodes.contains(&b))
            .map(|(at, _)| at)
            .collect();
        for wire in between {
            let delays = [self.chance.skewed(SECOND / 10, 6 * SECOND), self.chance.skewed(SECOND / 10, 6 * SECOND)];
            self.cut_wire(wire, delays);
        }
    }

    /// Frames pass between two nodes again.
    pub fn heal(&mut self, a: usize, b: usize) {
        self.network.heal(a, b);
    }

    /// A process is gone: with it go its connections.
    pub(crate) fn process_ended(&mut self, node: usize) {
        let wires: Vec<_> = self
            .network
            .wires
            .iter()
            .enumerate()
            .filter(|(_, wire)| wire.is_open && wire.nodes.contains(&node))
            .map(|(at, _)| at)
            .collect();
        for wire in wires {
            let delays = [self.chance.skewed(MILLI, 6 * SECOND), self.chance.skewed(MILLI, 6 * SECOND)];
            self.cut_wire(wire, delays);
        }
        let lines: Vec<_> = self
            .agents
            .iter()
            .enumerate()
            .filter(|(_, agent)| agent.node == node)
            .flat_map(|(at, agent)| agent.lines.iter().map(move |line| (at, line.client)))
            .collect();
        for (agent, client) in lines {
            let after = self.chance.skewed(MILLI / 10, 5 * MILLI);
            self.plan(after, What::LineLost { agent, client });
        }
        self.model.void(node, None, None);
    }
}
