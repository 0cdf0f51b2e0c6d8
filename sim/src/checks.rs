//! What only rest can show: that everything ended, and nothing waits for what will not come.

use proto::AgentId;
use proto::metadata::Stage;

use crate::account::Key;
use crate::fault::Promise;
use crate::time::{SECOND, minutes};
use crate::world::World;

/// Before it rests, a world has done nothing for this long.
const QUIET: u64 = 60 * SECOND;

impl World {
    /// Mends everything, and gives the world that much time to come to rest.
    pub fn settle(&mut self, length: u64) {
        self.mend_all();
        self.run_for(length);
    }

    /// Lets time pass.
    pub fn run_for(&mut self, length: u64) {
        let until = self.now + length;
        while self.step(until) {}
        self.now = until;
        self.model.now = until;
    }

    /// Lets time pass until something is so, at most that long. Whether it was.
    pub fn run_until(&mut self, length: u64, mut is_so: impl FnMut(&Self) -> bool) -> bool {
        let until = self.now + length;
        while !is_so(self) {
            if !self.step(until) {
                return is_so(self);
            }
        }
        true
    }

    /// Ten minutes of rest, and the full account.
    pub fn settle_and_check(&mut self) {
        self.settle(minutes(10));
        self.check();
    }

    /// The full account of a world that has come to rest.
    pub fn check(&mut self) {
        // What has expired by one clock and not by another is sent until both agree.
        if self.now.saturating_sub(self.busy_at) < QUIET && !self.model.clocks_jump {
            self.model.fault(Promise::ItSettles, None, None, "it does not come to rest");
        }
        for node in 0..self.hosts.len() {
            self.check_node(node);
        }
        self.check_members();
        self.check_wires();
        let keys: Vec<_> = self.model.mail.keys().copied().collect();
        for key in keys {
            self.check_mail(key);
        }
        self.check_libraries();
    }

    fn check_node(&mut self, node: usize) {
        let Some(host) = self.hosts.get(node).filter(|host| !host.is_apart) else { return };
        let Some(run) = host.run.as_ref() else {
            return self.fault(Promise::ItSettles, node, "it does not run");
        };
        let summary = run.node.summary();
        let Some(account) = self.model.accounts.get(node) else { return };
        let is_excused =
            |key: &Key| account.is_forgiven || self.model.mail.get(key).is_none_or(|mail| mail.excuse.is_some());
        let owned = account.synced.owned.keys().find(|key| !is_excused(key)).copied();
        let received = account.synced.received.keys().find(|key| !is_excused(key)).copied();
        let stub = account.synced.stubs.keys().find(|key| !is_excused(key)).copied();
        let counts = [
            (account.synced.owned.len() as u64, summary.outbox_messages, "owned"),
            (account.synced.received.len() as u64, summary.mailbox_messages, "waiting"),
            (account.synced.stubs.len() as u64, summary.awaiting, "awaited"),
            (account.synced.dead() as u64, summary.dead_messages, "dead"),
        ];
        for (what, key) in
            [("is still owned", owned), ("still waits for its agent", received), ("awaits its end", stub)]
        {
            if key.is_some() {
                self.model.fault(Promise::ItSettles, Some(node), key, format!("all is mended, and it {what}"));
            }
        }
        for (on_disk, told, what) in counts {
            if on_disk != told {
                let what = format!("{on_disk} on disk are {what}, and the summary tells {told}");
                self.fault(Promise::HostIsUsable, node, what);
            }
        }
    }

    /// Of two connections between two nodes one stays.
    fn check_wires(&mut self) {
        for a in 0..self.hosts.len() {
            for b in a + 1..self.hosts.len() {
                let is_between = |wire: &&crate::network::Wire| wire.nodes.contains(&a) && wire.nodes.contains(&b);
                let open = self.network.wires.iter().filter(is_between).filter(|wire| wire.is_open).count();
                let is_apart = |node: usize| self.hosts.get(node).is_none_or(|host| host.is_apart);
                // Whoever is out may dial again and again, and is hung up on.
                let may_not = is_apart(a) || is_apart(b) || self.is_blocked_between(a, b);
                if open != 1 && !may_not {
                    self.fault(Promise::ItSettles, a, format!("{open} connections to node {b}"));
                }
            }
        }
    }

    fn check_mail(&mut self, key: Key) {
        let Some(mail) = self.model.mail.get(&key) else { return };
        let is_free = mail.excuse.is_some()
            || self.model.is_forgiven(mail.source_node)
            || self.model.is_forgiven(mail.destination_node);
        if key.pair.answers || is_free || !mail.was_owned {
            return;
        }
        let (node, is_asked, ends) = (mail.source_node, mail.is_asked, mail.ends.len());
        let arrived = mail.was_acknowledged || mail.may_be_acknowledged || ends > 0 || mail.is_unfit || mail.is_refused;
        let expired = self.model.wall_most >= mail.expiry;
        let most = self.model.deliveries_max;
        let given_up = mail.deliveries >= most;
        // The end itself may have been given up, by an agent that would not take it.
        let end_given_up = self.model.mail.get(&key.reverse()).is_some_and(|answer| answer.deliveries >= most);
        if !arrived && !expired && !given_up {
            let what = "accepted, and neither handled nor ended";
            self.model.fault(Promise::NothingIsLost, Some(node), Some(key), what);
        }
        if is_asked && ends == 0 && !end_given_up {
            self.model.fault(Promise::NothingIsLost, Some(node), Some(key), "its sender was told no end");
        }
    }

    /// Libraries that were not told what they asked for.
    fn check_libraries(&mut self) {
        let mut waiting = Vec::new();
        for agent in &self.agents {
            for said in agent.said.values().filter(|said| said.times > 0 && said.last != Stage::None) {
                waiting.push((agent.node, Key::message(agent.id, said.to, said.id), said.last));
            }
        }
        for (node, key, last) in waiting {
            let is_free = self.model.is_forgiven(node)
                || self
                    .model
                    .mail
                    .get(&key)
                    .is_some_and(|mail| mail.excuse.is_some() || self.model.is_forgiven(mail.destination_node));
            if !is_free && self.home(key.pair.destination).is_some() {
                let what = format!("its library waits for {last:?}, and nothing comes");
                self.model.fault(Promise::StagesAreTold, Some(node), Some(key), what);
            }
        }
    }

    /// Whether a message is on the disk of its source, synced.
    #[must_use]
    pub fn is_owned(&self, sent: crate::world::Sent) -> bool {
        self.mail(sent).is_some_and(|mail| mail.was_owned)
    }

    /// Whether a message is on the disk of its destination, synced.
    #[must_use]
    pub fn is_stored(&self, sent: crate::world::Sent) -> bool {
        self.mail(sent).is_some_and(|mail| mail.was_stored)
    }

    /// What is known of a message.
    #[must_use]
    pub fn mail(&self, sent: crate::world::Sent) -> Option<&crate::model::Mail> {
        self.model.mail.get(&Key::message(sent.source, sent.destination, sent.id))
    }

    /// How many durable messages an agent was given.
    #[must_use]
    pub fn seen(&self, agent: usize) -> u64 {
        self.agents.get(agent).map_or(0, |agent| agent.seen)
    }

    /// Whether a node knows an agent.
    #[must_use]
    pub fn knows(&self, node: usize, agent: AgentId) -> bool {
        let run = self.hosts.get(node).and_then(|host| host.run.as_ref());
        run.is_some_and(|run| run.node.summary().agents.iter().any(|known| known.id == agent))
    }
}
