//! The simple account of every message: what was said of it, where it lies, what its agents were told. It is held
//! against each step; what only time can tell is held against it at rest (`checks.rs`).

use std::collections::{BTreeMap, BTreeSet};

use proto::{AgentId, ErrorCode, FlowId, MessageId, MessageType};

use crate::account::{Account, Key, PairKey, View};
use crate::fault::{Fault, Promise};

mod deliveries;
mod journal;
mod once;
mod wire;

pub(crate) use deliveries::Delivered;
use once::{OnceKey, SaidOnce};

/// How a message ended, as its sender was told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum End {
    /// HANDLED.
    Handled,
    /// A RESPONSE.
    Responded,
    /// An ERROR.
    Failed(ErrorCode),
}

/// What is known of one durable message or answer.
#[derive(Clone, Debug, Default)]
pub struct Mail {
    /// Node of its source.
    pub source_node: usize,
    /// Node of its destination.
    pub destination_node: usize,
    /// Its sender wants to hear of its end.
    pub is_asked: bool,
    /// How often it was submitted.
    pub submissions: u32,
    /// A submission said AGAIN.
    pub said_again: bool,
    /// It was given a new place.
    pub is_renumbered: bool,
    /// Its place among all that were accepted, in this world.
    pub order: Option<u64>,
    /// The same, of the copy that its destination took last; what a node made up itself has none.
    pub received_order: Option<u64>,
    /// It was on its source's disk.
    pub was_owned: bool,
    /// It was on its destination's disk, or was refused there on disk.
    pub was_stored: bool,
    /// It was asked to be put on its destination's disk.
    pub was_received: bool,
    /// At which start of the destination it was put there last.
    pub received_start: u32,
    /// When the source accepted it, by its wall clock.
    pub timestamp: u64,
    /// By the wall clocks.
    pub expiry: u64,
    /// Attempts that left.
    pub attempts: u32,
    /// Deliveries to its agent.
    pub deliveries: u32,
    /// Those of the present run of its node, and which run that is.
    pub deliveries_in_run: (u32, u32),
    /// Its agent has acknowledged the copy that its mailbox holds, or held last.
    pub was_acknowledged: bool,
    /// Its agent has acknowledged any copy of it.
    pub was_handled: bool,
    /// An acknowledgement came so close to the end of its lease that both may be right.
    pub may_be_acknowledged: bool,
    /// Its agent has refused a copy of it for good.
    pub is_refused: bool,
    /// In which run of its node it did so, if nobody can doubt that.
    pub refused_in_run: Option<u32>,
    /// A RESPONSE to it was given by its agent.
    pub was_responded: bool,
    /// Its content is refused where it arrives.
    pub is_unfit: bool,
    /// Submission was refused.
    pub refused: Option<ErrorCode>,
    /// The last stage that was asked for, in the order in which stages come.
    pub asked_rank: u8,
    /// How often each stage was told: accepted, stored, handled.
    pub told: [u32; 3],
    /// The ends that were told.
    pub ends: BTreeSet<End>,
    /// Why it may be lost.
    pub excuse: Option<&'static str>,
    /// Its source has forgotten what became of it: it may be told another story.
    pub is_source_lost: bool,
}

/// What a submission asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asks {
    pub(crate) is_asked: bool,
    pub(crate) says_again: bool,
    /// How many stages it wants to hear of.
    pub(crate) rank: u8,
}

/// Everything that is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) mail: BTreeMap<Key, Mail>,
    pub(crate) accounts: Vec<Account>,
    /// Where each agent lives.
    pub(crate) homes: BTreeMap<AgentId, usize>,
    /// The nodes, which speak as agents do.
    pub(crate) nodes: BTreeSet<AgentId>,
    pub(crate) faults: Vec<Fault>,
    /// Which message holds a place.
    places: BTreeMap<(PairKey, FlowId, u32), Key>,
    /// The highest place of a flow that was sent, and up to where it is settled.
    flights: BTreeMap<(PairKey, FlowId), Flight>,
    /// Up to where a flow was marked last.
    marked: BTreeMap<(PairKey, FlowId), u32>,
    order: u64,
    last_unmarked: BTreeMap<PairKey, (u64, MessageId)>,
    pub(crate) out: Vec<BTreeMap<u64, Delivered>>,
    once: BTreeMap<OnceKey, u32>,
    /// What an agent said at most once to another one.
    said_once: BTreeMap<(AgentId, AgentId, MessageId), SaidOnce>,
    /// What an agent said under an id.
    said: BTreeMap<(AgentId, MessageId), Vec<Key>>,
    /// Whose destination says STORED of what it has not: it answers for what it was sent.
    pub(crate) liars: BTreeSet<PairKey>,
    /// Nodes that are out.
    pub(crate) out_nodes: BTreeSet<usize>,
    /// Given up by its source, perhaps not yet on disk.
    gone: BTreeSet<Key>,
    pub(crate) now: u64,
    /// The furthest that any wall clock has ever been.
    pub(crate) wall_most: u64,
    /// How far apart clocks may be by the scenario, and jump.
    pub(crate) clocks_jump: bool,
    /// Deliveries after which a message may be given up, and is by every node sooner or later.
    pub(crate) deliveries_max: u32,
    /// Who is told in the present step that a message came to nothing.
    pub(crate) told_now: BTreeSet<(AgentId, MessageId)>,
    pub(crate) tally: Tally,
}

/// That what should be tried was tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "each says what it counts")]
pub struct Tally {
    pub accepted: u64,
    pub handled: u64,
    pub ended: u64,
    pub deliveries: u64,
    pub marked: u64,
    pub renumbered: u64,
    pub once: u64,
    pub declined: u64,
    pub unfit: u64,
    pub refused: u64,
    pub crashes: u64,
    pub kills: u64,
    pub stops: u64,
    pub stores_lost: u64,
    pub rollbacks: u64,
    pub takeovers: u64,
    pub strangers: u64,
    pub rots: u64,
    pub unreadable: u64,
    pub cuts: u64,
    pub old_prekeys: u64,
    pub unknown_sources: u64,
    pub late_frames: u64,
    pub dead: u64,
    pub jumps: u64,
    pub full: u64,
    pub joins: u64,
    pub revoked: u64,
    pub records: u64,
    pub record_bytes: u64,
}

#[derive(Clone, Debug, Default)]
struct Flight {
    highest: u32,
    settled: u32,
    /// Bytes of what was sent and is not confirmed.
    bytes: BTreeMap<u32, usize>,
}

impl Model {
    pub(crate) fn new(nodes: usize, deliveries_max: u32) -> Self {
        Self {
            deliveries_max,
            accounts: vec![Account::default(); nodes],
            out: vec![BTreeMap::new(); nodes],
            ..Self::default()
        }
    }

    pub(crate) fn fault(&mut self, promise: Promise, node: Option<usize>, key: Option<Key>, what: impl Into<String>) {
        // One fault draws others after it; the first few tell what happened.
        if self.faults.len() < 8 {
            self.faults.push(Fault { promise, at: self.now, node, key, what: what.into() });
        }
    }

    pub(crate) fn mail_of(&mut self, key: Key) -> &mut Mail {
        if !self.mail.contains_key(&key) {
            self.said.entry((key.pair.source, key.id)).or_default().push(key);
        }
        let source_node = self.homes.get(&key.pair.source).copied().unwrap_or(usize::MAX);
        let destination_node = self.homes.get(&key.pair.destination).copied().unwrap_or(usize::MAX);
        let is_out = self.out_nodes.contains(&source_node) || self.out_nodes.contains(&destination_node);
        let excuse = is_out.then_some("its node was revoked");
        self.mail.entry(key).or_insert_with(|| Mail { source_node, destination_node, excuse, ..Mail::default() })
    }

    /// An agent said this to its node, and the node takes it now.
    pub(crate) fn submitted(&mut self, key: Key, asks: Asks, is_unfit: bool) {
        let Asks { is_asked, says_again, rank } = asks;
        let mail = self.mail_of(key);
        mail.asked_rank = mail.asked_rank.max(rank);
        mail.submissions += 1;
        mail.is_asked |= is_asked;
        mail.said_again |= says_again;
        mail.is_unfit |= is_unfit;
    }

    /// Everything that a node may have lost with its disk: nobody can be held to it.
    pub(crate) fn excuse(&mut self, node: usize, why: &'static str) {
        let mut lost = Vec::new();
        for (key, mail) in &mut self.mail {
            let at_source = mail.source_node == node && (mail.was_owned || mail.order.is_some());
            let at_destination = mail.destination_node == node && (mail.was_received || mail.was_stored);
            if at_source || at_destination {
                mail.excuse = Some(why);
                mail.is_source_lost |= at_source;
                lost.push(key.reverse());
            }
        }
        // With an answer the end of its message may be lost.
        for key in lost {
            if let Some(mail) = self.mail.get_mut(&key)
                && !key.pair.answers
            {
                mail.excuse = Some(why);
            }
        }
    }

    /// A node is out: what its agents said or were to hear may end in any way that is told.
    pub(crate) fn excuse_node(&mut self, node: usize, why: &'static str) {
        for mail in self.mail.values_mut().filter(|mail| mail.source_node == node || mail.destination_node == node) {
            mail.excuse = Some(why);
        }
        self.out_nodes.insert(node);
    }

    /// What was synced on a node is no longer there.
    pub(crate) fn disk_is_lost(&mut self, node: usize, why: &'static str) {
        if let Some(account) = self.accounts.get_mut(node) {
            account.synced = View::default();
        }
        self.excuse(node, why);
    }

    pub(crate) fn is_forgiven(&self, node: usize) -> bool {
        self.accounts.get(node).is_none_or(|account| account.is_forgiven)
    }

    /// What an agent said under an id, of either kind: nodes speak of it in their own name.
    pub(crate) fn find_said(&self, source: AgentId, id: MessageId) -> Option<Key> {
        let keys = self.said.get(&(source, id))?;
        keys.iter().find(|key| !key.pair.answers).or(keys.first()).copied()
    }
}

/// How an answer ends its message.
pub(crate) fn end_of(message_type: MessageType, code: Option<ErrorCode>) -> Option<End> {
    match message_type {
        MessageType::Ack => Some(End::Handled),
        MessageType::Response => Some(End::Responded),
        MessageType::Error => code.map(End::Failed),
        MessageType::Request | MessageType::Broadcast | MessageType::Ping => None,
    }
}
