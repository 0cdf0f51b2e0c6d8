//! Who is who: signed records of agents and nodes. A newer record replaces an older one; what is known survives a
//! restart. Nothing here verifies: whoever brings a record has the proof.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use proto::entry::{Entry, EntryNumber};
use proto::limits::{DIRECTORY_MAX, DIRECTORY_PEER_BYTES, DIRECTORY_PEER_MAX, ID_BYTES};
use proto::record::{AgentRecord, Known, NodeRecord};
use proto::{AgentId, Name, NodeId, Verified};

use crate::ledger::Ledger;

/// A record, and where it lies.
#[derive(Debug)]
pub(crate) struct Held<R> {
    pub(crate) known: Verified<Box<Known<R>>>,
    pub(crate) entry: EntryNumber,
}

impl<R> Held<R> {
    pub(crate) fn record(&self) -> &R {
        &self.known.get().record
    }
}

/// All records.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) agents: BTreeMap<AgentId, Held<AgentRecord>>,
    pub(crate) nodes: BTreeMap<AgentId, Held<NodeRecord>>,
    names: BTreeMap<Name, BTreeSet<AgentId>>,
    /// Bytes of the records of each node's agents.
    bytes: BTreeMap<NodeId, usize>,
    /// Which agents each node hosts.
    hosted: BTreeMap<NodeId, BTreeSet<AgentId>>,
    /// When each agent's record ends, by the wall clock.
    ends: BTreeSet<(u64, AgentId)>,
}

/// Whom an address means.
pub(crate) enum Found {
    One(AgentId),
    Nobody,
    /// A name that two keys claim.
    Several(AgentId, AgentId),
}

impl Directory {
    /// Takes a record of an agent, if it is newer than what is known.
    pub(crate) fn take_agent(&mut self, known: &Verified<Box<Known<AgentRecord>>>, ledger: &mut Ledger) -> bool {
        let new = known.get();
        let old = self.agents.get(&new.id);
        if old.is_some_and(|old| old.record().sequence >= new.record.sequence) {
            return false;
        }
        let old_bytes = old.map_or(0, |old| old.known.get().carried.as_bytes().len());
        let of_host = self.bytes.get(&new.record.host).copied().unwrap_or(0);
        let fits = of_host + new.carried.as_bytes().len() <= DIRECTORY_PEER_BYTES + old_bytes;
        let hosted = self.hosted.get(&new.record.host);
        let is_new_there = hosted.is_none_or(|hosted| !hosted.contains(&new.id));
        let is_beyond = is_new_there && hosted.is_some_and(|hosted| hosted.len() >= DIRECTORY_PEER_MAX);
        if !fits || is_beyond || (old.is_none() && self.agents.len() >= DIRECTORY_MAX) {
            return false;
        }
        let entry = ledger.put(&Entry::Record(new.carried.clone()));
        if let Some(old) = self.insert_agent(known.clone(), entry) {
            ledger.forget(old);
        }
        true
    }

    /// Puts a record in place of an older one, and says where that lay.
    pub(crate) fn insert_agent(
        &mut self,
        known: Verified<Box<Known<AgentRecord>>>,
        entry: EntryNumber,
    ) -> Option<EntryNumber> {
        let id = known.get().id;
        let name = known.get().record.name.clone();
        let (host, expiry) = (known.get().record.host, known.get().record.expiry);
        *self.bytes.entry(known.get().record.host).or_default() += known.get().carried.as_bytes().len();
        let old = self.agents.insert(id, Held { known, entry });
        if let Some(old) = &old {
            self.uncount(id, old);
        }
        self.ends.insert((expiry, id));
        self.hosted.entry(host).or_default().insert(id);
        self.names.entry(name).or_default().insert(id);
        old.map(|old| old.entry)
    }

    fn uncount(&mut self, id: AgentId, old: &Held<AgentRecord>) {
        let AgentRecord { name, host, expiry, .. } = old.record();
        self.forget_name(id, name);
        self.ends.remove(&(*expiry, id));
        if let Some(bytes) = self.bytes.get_mut(host) {
            *bytes = bytes.saturating_sub(old.known.get().carried.as_bytes().len());
        }
        if let Some(hosted) = self.hosted.get_mut(host) {
            hosted.remove(&id);
        }
    }

    /// The agents that a node hosts.
    pub(crate) fn agents_of(&self, host: NodeId) -> impl Iterator<Item = AgentId> {
        self.hosted.get(&host).into_iter().flatten().copied()
    }

    /// Forgets a node's agents, and says where their records lay.
    pub(crate) fn forget_agents(&mut self, host: NodeId) -> Vec<EntryNumber> {
        let mut entries = Vec::new();
        for agent in self.hosted.remove(&host).unwrap_or_default() {
            if let Some(old) = self.agents.remove(&agent) {
                self.uncount(agent, &old);
                entries.push(old.entry);
            }
        }
        self.bytes.remove(&host);
        entries
    }

    /// Forgets one agent, and says where its record lay.
    pub(crate) fn forget_agent(&mut self, agent: AgentId) -> Option<EntryNumber> {
        let old = self.agents.remove(&agent)?;
        self.uncount(agent, &old);
        Some(old.entry)
    }

    /// When the next record of an agent ends.
    pub(crate) fn next_end(&self) -> Option<u64> {
        self.ends.first().map(|(expiry, _)| *expiry)
    }

    /// Agents whose records have ended by then.
    pub(crate) fn ended(&self, wall: u64) -> impl Iterator<Item = AgentId> {
        self.ends.range(..=(wall, AgentId::new([0xff; ID_BYTES]))).map(|(_, agent)| *agent)
    }

    fn forget_name(&mut self, id: AgentId, name: &Name) {
        if let Some(ids) = self.names.get_mut(name) {
            ids.remove(&id);
            if ids.is_empty() {
                self.names.remove(name);
            }
        }
    }

    /// Takes a record of a node, if it is newer than what is known.
    pub(crate) fn take_node(&mut self, known: &Verified<Box<Known<NodeRecord>>>, ledger: &mut Ledger) -> bool {
        let new = known.get();
        let old = self.nodes.get(&new.id);
        if old.is_some_and(|old| old.record().sequence >= new.record.sequence) {
            return false;
        }
        let entry = ledger.put(&Entry::Record(new.carried.clone()));
        if let Some(old) = self.insert_node(known.clone(), entry) {
            ledger.forget(old);
        }
        true
    }

    /// Puts a record in place of an older one, and says where that lay.
    pub(crate) fn insert_node(
        &mut self,
        known: Verified<Box<Known<NodeRecord>>>,
        entry: EntryNumber,
    ) -> Option<EntryNumber> {
        self.nodes.insert(known.get().id, Held { known, entry }).map(|old| old.entry)
    }

    pub(crate) fn record(&self, agent: AgentId) -> Option<&AgentRecord> {
        self.agents.get(&agent).map(Held::record)
    }

    /// Where an agent lives.
    pub(crate) fn host(&self, agent: AgentId) -> Option<NodeId> {
        self.record(agent).map(|record| record.host)
    }

    /// The agents of that name, on that node or anywhere.
    pub(crate) fn find(&self, name: &Name, node: Option<NodeId>) -> Found {
        let ids = self.names.get(name).into_iter().flatten().copied();
        let mut there = ids.filter(|id| node.is_none() || self.host(*id) == node);
        match (there.next(), there.next()) {
            (None, _) => Found::Nobody,
            (Some(one), None) => Found::One(one),
            (Some(one), Some(other)) => Found::Several(one, other),
        }
    }
}
