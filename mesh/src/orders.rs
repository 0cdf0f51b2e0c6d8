//! What an operator may order: another attempt now, that a message is owned no longer, that what was given up is tried
//! again or forgotten, that the clock is right. Only an administrator may; an order that changes what is kept is one
//! transaction, and is answered once that is synced.

use alloc::vec::Vec;

use proto::control::{ControlBody, Done, Select, schema, subject};
use proto::entry::Entry;
use proto::{Content, ErrorCode, NodeId};

use crate::dead::Requeue;
use crate::ledger::Then;
use crate::link::Peer;
use crate::listing::Selection;
use crate::node::Node;
use crate::outbox::OutPair;
use crate::pair::Pair;
use crate::say::{Asked, Failure};
use crate::step::Step;
use crate::summary::PeerState;

impl Node {
    /// An order of a client.
    pub(crate) fn order(&mut self, asked: Asked, content: &Content, step: &mut Step<'_>) {
        match self.obey(asked, content, step) {
            Err(failure) => self.refuse(asked, failure, step),
            Ok(Order { count, changes: false }) => self.answer_count(asked, count, step),
            Ok(Order { count, changes: true }) => {
                self.make_promise();
                self.ledger.then(Then::Obeyed(asked, count));
            }
        }
    }

    pub(crate) fn answer_count(&mut self, asked: Asked, count: u64, step: &mut Step<'_>) {
        self.answer(asked, &Done { schema: schema::DONE.into(), count }, step);
    }

    fn obey(&mut self, asked: Asked, content: &Content, step: &mut Step<'_>) -> Result<Order, Failure> {
        if !self.clients.is_admin(asked.client) {
            let words = "only administrators may: root, the user that runs the daemon, or a member of the group that \
                         `[socket] admin_group` of its configuration names";
            return Err(Failure::new(ErrorCode::POLICY, words));
        }
        match content.metadata.subject() {
            Some(subject::OUTBOX_RETRY) => Ok(self.retry(&self.chosen(content)?, step)),
            Some(subject::OUTBOX_DROP) => Ok(self.drop_owned(&self.chosen(content)?, step)),
            Some(subject::DEAD_REQUEUE) => self.requeue_all(&self.chosen(content)?, step),
            Some(subject::DEAD_PURGE) => Ok(self.purge_all(&self.chosen(content)?, step)),
            Some(subject::TRUST_CLOCK) => {
                let was_suspended = self.trust_clock(step);
                Ok(Order { count: 0, changes: was_suspended })
            }
            _ => Err(Failure::new(ErrorCode::MALFORMED, "the node does not know this order")),
        }
    }

    /// An order says what it is for: nothing is touched by mistake.
    fn chosen(&self, content: &Content) -> Result<Selection, Failure> {
        let select = Select::read(content.header.content_type(), &content.body);
        let select = select.ok_or(Failure::new(ErrorCode::MALFORMED, "the body of the order cannot be read"))?;
        let selection = self.selection(&select)?;
        if selection.is_open && !select.all {
            let words = "an order names a message, an agent or a node, or says that it means all";
            return Err(Failure::new(ErrorCode::MALFORMED, words));
        }
        Ok(selection)
    }

    /// Whole flows are sent again, for they go in order. Nodes that are down are dialed at once.
    fn retry(&mut self, selection: &Selection, step: &mut Step<'_>) -> Order {
        let pairs = self.pairs_of(selection);
        let mut count = 0;
        for pair in &pairs {
            count += self.outbox.pairs.get(pair).map_or(0, OutPair::len) as u64;
        }
        let mut hosts: Vec<NodeId> = pairs.iter().filter_map(|pair| self.directory.host(pair.destination)).collect();
        hosts.sort_unstable();
        hosts.dedup();
        for pair in pairs {
            self.release_held(pair);
            self.repeat(pair, step);
        }
        for host in hosts {
            if self.links.peers.get(&host).is_some_and(Peer::is_down) {
                self.dial(host, step);
            }
        }
        Order { count, changes: false }
    }

    /// What the operator does not want to wait for is not waited for.
    fn release_held(&mut self, pair: Pair) {
        if let Some(out) = self.outbox.pairs.get_mut(&pair) {
            out.held = None;
        }
    }

    fn drop_owned(&mut self, selection: &Selection, step: &mut Step<'_>) -> Order {
        let mut count = 0;
        for (pair, place) in self.select_owned(selection).oldest {
            if let Some(id) = self.owned_at(pair, place).map(|owned| owned.letter.id) {
                count += u64::from(self.withdraw(pair, id, step));
            }
        }
        Order { count, changes: count > 0 }
    }

    /// Puts back all that can be. If nothing can, it says why.
    fn requeue_all(&mut self, selection: &Selection, step: &mut Step<'_>) -> Result<Order, Failure> {
        let mut count = 0;
        let mut first = None;
        let only_one = selection.id.is_some();
        for grave in self.select_dead(selection, |corpse| only_one || corpse.requeues()).oldest {
            match self.requeue(grave, step) {
                Ok(()) => count += 1,
                Err(why) => first = first.or(Some(why)),
            }
        }
        match first {
            Some(why) if count == 0 => Err(not_requeued(why)),
            Some(_) | None => Ok(Order { count, changes: count > 0 }),
        }
    }

    fn purge_all(&mut self, selection: &Selection, step: &Step<'_>) -> Order {
        let mut count = 0;
        for grave in self.select_dead(selection, |_| true).oldest {
            count += u64::from(self.purge(grave, step));
        }
        Order { count, changes: count > 0 }
    }

    /// What only forgets is synced with the next promise. An order is answered after a sync, so it makes one: a small
    /// entry is written anew.
    fn make_promise(&mut self) {
        let number = self.ledger.put(&Entry::MarksDropped(self.marks_dropped));
        if let Some(before) = self.marks_dropped_entry.replace(number) {
            self.ledger.forget(before);
        }
    }
}

fn not_requeued(why: Requeue) -> Failure {
    let malformed = |words: &'static str| Failure::new(ErrorCode::MALFORMED, words);
    match why {
        Requeue::Gone => Failure::new(ErrorCode::OFFLINE, "it is no dead letter any more"),
        Requeue::Nothing => malformed("there is nothing to put back, or nobody to put it back to"),
        Requeue::There => malformed("the same message is on its way again already"),
        Requeue::Full(full) => Failure::full(full.words()),
    }
}

/// An order that was carried out.
struct Order {
    /// How many messages it touched.
    count: u64,
    /// What is kept has changed.
    changes: bool,
}

impl Peer {
    fn is_down(&self) -> bool {
        self.state == PeerState::Down
    }
}
