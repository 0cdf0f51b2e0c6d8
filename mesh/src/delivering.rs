//! How a message reaches its agent, and how it ends there: handled, answered, refused for now, or expired.

use alloc::boxed::Box;
use alloc::vec::Vec;

use proto::entry::{Entry, Letter, Parts, Received};
use proto::limits::{
    CLOCKS_APART_MAX, DELIVERED_NOTED, DELIVERIES_OUT_MAX, LEASE, REDELIVERY_PAUSE, REDELIVERY_PAUSE_MAX,
    TRANSACTION_BYTES,
};
use proto::metadata::Proof;
use proto::{AgentId, ContentType, Draft, ErrorCode, MessageId, MessageType, Name, NodeId, Receipt, Sequence, Shape};

use crate::effect::{Effect, Notes, Outgoing};
use crate::history::{Moment, What};
use crate::input::{ClientId, Load};
use crate::ledger::Then;
use crate::mailbox::{Item, ItemPlace, State};
use crate::node::Node;
use crate::outcomes::answer_to;
use crate::pair::Pair;
use crate::rules::Rule;
use crate::say::Teller;
use crate::sending::kind_of;
use crate::step::Step;
use crate::time::millis;
use crate::timers::Why;

impl Node {
    /// Keeps a message for an agent of this node.
    pub(crate) fn keep(&mut self, received: Received, parts: Parts, teller: Option<Teller>, step: &mut Step<'_>) {
        let bytes = parts.bytes();
        let entry = Entry::Received { received, parts };
        let number = self.ledger.put(&entry);
        let Entry::Received { parts, .. } = entry else { return };
        let early = !self.rules.hold(Rule::DeliverAfterSync);
        let item = Item {
            received,
            entry: number,
            revived: None,
            bytes,
            parts: Some(parts),
            is_synced: early,
            tries: 0,
            failures: 0,
            state: State::Ready,
            may_be_seen: false,
            teller,
            expires: step.now.when(received.letter.expiry),
        };
        let place = self.mailboxes.insert(item);
        self.set_expiry(place);
        self.ledger.then(Then::Deliverable(place.agent, place.order));
        if early {
            self.pump_mailbox(place.agent, step);
        }
    }

    /// Answers do not expire in the mailbox of the one who waits for them.
    pub(crate) fn set_expiry(&mut self, place: ItemPlace) {
        if let Some(item) = self.mailboxes.item(place).filter(|item| item.is_message()) {
            self.timers.set(item.expires, Why::ReceivedExpires(place.agent, place.order));
        }
    }

    /// A transaction is synced, so one more message may be delivered.
    pub(crate) fn deliverable(&mut self, agent: AgentId, order: u64, step: &mut Step<'_>) {
        let place = ItemPlace { agent, order };
        let Some(item) = self.mailboxes.item_mut(place) else { return };
        item.is_synced = true;
        let (teller, source, id) = (item.teller, item.received.letter.source, item.received.letter.id);
        if item.state == State::Ready {
            self.mailboxes.take_back(place, State::Ready);
        }
        if self.rules.hold(Rule::AcceptedAfterSync) {
            self.tell_stage(teller, source, id, Receipt::Accepted, step);
        }
        self.tell_stage(teller, source, id, Receipt::Stored, step);
        self.filled.insert(agent);
    }

    /// Delivers as much as the agent may have at a time.
    pub(crate) fn pump_mailbox(&mut self, agent: AgentId, step: &mut Step<'_>) {
        let Some(client) = self.locals.client_of(agent) else { return };
        while let Some(mailbox) = self.mailboxes.boxes.get(&agent) {
            let Some(order) = mailbox.ready.first().copied() else { return };
            let bytes = mailbox.items.get(&order).map_or(0, |item| item.bytes);
            if mailbox.out >= DELIVERIES_OUT_MAX || !self.clients.take_room(client, bytes) {
                return;
            }
            self.deliver(ItemPlace { agent, order }, client, step);
        }
    }

    fn deliver(&mut self, place: ItemPlace, client: ClientId, step: &mut Step<'_>) {
        let number = self.chance.number();
        let until = step.now.mono.after(LEASE);
        let Some(item) = self.mailboxes.item(place) else { return };
        let outgoing = self.delivery(item, number);
        self.mailboxes.put_out(place, number, client, until);
        self.timers.set(until, Why::LeaseEnds(place.agent, place.order));
        self.stats.deliveries += 1;
        if let Some(item) = self.mailboxes.item(place) {
            self.history.note(Moment::of(What::Delivered, &item.received.letter).attempt(item.tries), step);
            if !matches!(item.received.letter.message_type, MessageType::Ack | MessageType::Error) {
                self.locals.count_received(place.agent);
            }
        }
        step.ask(Effect::Tell { client, outgoing: Box::new(outgoing), is_delivery: true });
    }

    fn delivery(&self, item: &Item, number: u64) -> Outgoing {
        let received = &item.received;
        let letter = &received.letter;
        let is_ours = received.source_node == self.node_id();
        // An ERROR of this node is its own word, not that of the agent it is about.
        let source = if is_ours && letter.message_type == MessageType::Error { self.me.id } else { letter.source };
        let notes = Notes {
            expiry: Some(letter.expiry),
            handled_wanted: letter.handled_wanted,
            again: letter.again,
            delivery_number: Some(number),
            attempt: Some(item.tries.saturating_add(1)),
            hops: Some(received.hops),
            received: Some(received.received),
            marked: received.marked || item.may_be_seen || item.tries > 0,
            lease_ms: Some(millis(LEASE)),
            ..self.proved(source, received.source_node)
        };
        let draft = Draft {
            message_type: letter.message_type,
            shape: Shape::Durable(kind_of(letter)),
            id: letter.id,
            timestamp: letter.timestamp,
            source,
            destination: letter.destination,
            content_type: letter.content_type,
            hops: 0,
            sequence: Sequence::NONE,
            told: Receipt::None,
            last: false,
        };
        let load = item.parts.clone().map_or(Load::Entry(item.entry), Load::Here);
        Outgoing { draft, notes, load, bytes: item.bytes }
    }

    /// What every delivery says about its source.
    pub(crate) fn proved(&self, source: AgentId, node: NodeId) -> Notes {
        let is_ours = node == self.node_id();
        let name = if source == self.me.id {
            Some(self.me.name.clone())
        } else {
            self.directory.record(source).map(|record| record.name.clone())
        };
        Notes {
            source_name: name.or_else(unknown),
            source_node: Some(node),
            source_node_name: self.node_name(node).or_else(unknown),
            proof: Some(if is_ours { Proof::SameHost } else { Proof::Signature }),
            ..Notes::default()
        }
    }

    /// The agent has handled a delivery.
    pub(crate) fn handled(
        &mut self,
        client: ClientId,
        agent: AgentId,
        number: u64,
        id: MessageId,
        step: &mut Step<'_>,
    ) {
        let Some(place) = self.held_by(number, client, agent, id) else { return };
        let Some(item) = self.drop_item(place) else { return };
        let letter = &item.received.letter;
        self.history.note(Moment::of(What::Handled, letter).attempt(item.tries), step);
        if !item.is_message() {
            // What an outcome ends stands under the answerer's name, whoever brought it.
            self.drop_stub(letter.destination, letter.source, letter.id);
        } else if letter.handled_wanted {
            let answer = Letter {
                message_type: MessageType::Ack,
                content_type: ContentType::None,
                ..answer_to(letter, step.wall())
            };
            self.send_answer(answer, Parts::default(), None, step);
        }
        self.pump_mailbox(agent, step);
    }

    pub(crate) fn held_by(&self, number: u64, client: ClientId, agent: AgentId, id: MessageId) -> Option<ItemPlace> {
        let place = if self.rules.hold(Rule::TakeoverVoidsNumbers) {
            self.mailboxes.delivered(number, client, agent)?
        } else {
            self.mailboxes.by_number(number).filter(|place| place.agent == agent)?
        };
        self.mailboxes.item(place).filter(|item| item.received.letter.id == id)?;
        Some(place)
    }

    /// Delivers again what an agent has and does not seem to know.
    pub(crate) fn deliver_again(&mut self, pair: Pair, id: MessageId) {
        if let Some(place) = self.mailboxes.place(pair, id) {
            self.clear_lease(place);
            self.mailboxes.take_back(place, State::Ready);
            self.filled.insert(place.agent);
        }
    }

    /// A delivery came to nothing. The next one comes after a pause that grows; after too many it is a dead letter.
    pub(crate) fn delivery_failed(&mut self, place: ItemPlace, how: Failed, step: &mut Step<'_>) {
        self.stats.failed_deliveries += 1;
        self.clear_lease(place);
        self.mailboxes.take_back(place, State::Resting);
        let Some(item) = self.mailboxes.item_mut(place) else { return };
        item.failures = item.failures.saturating_add(1);
        let failures = item.failures;
        let moment = Moment::of(What::DeliveryFailed, &item.received.letter).attempt(item.tries);
        self.history.note(moment, step);
        if failures >= self.bounds.deliveries_failed && self.rules.hold(Rule::TooManyFailuresEnd) {
            self.end_item(place, ErrorCode::GIVEN_UP, step);
            return;
        }
        match how.pause(failures) {
            0 => self.mailboxes.take_back(place, State::Ready),
            pause => self.timers.set(step.now.mono.after(pause), Why::Redeliver(place.agent, place.order)),
        }
    }

    pub(crate) fn redeliver(&mut self, place: ItemPlace, step: &mut Step<'_>) {
        if self.mailboxes.item(place).is_some_and(|item| item.state == State::Resting) {
            self.mailboxes.take_back(place, State::Ready);
            self.pump_mailbox(place.agent, step);
        }
    }

    /// The agent is still at it. Whether the number still holds.
    pub(crate) fn working(&mut self, client: ClientId, agent: AgentId, number: u64, step: &Step<'_>) -> bool {
        let Some(place) = self.mailboxes.delivered(number, client, agent) else { return false };
        self.clear_lease(place);
        let lease_end = step.now.mono.after(LEASE);
        if let Some(item) = self.mailboxes.item_mut(place) {
            if let State::Out { until, .. } = &mut item.state {
                *until = lease_end;
            }
            self.history.note(Moment::of(What::Working, &item.received.letter).attempt(item.tries), step);
        }
        self.timers.set(lease_end, Why::LeaseEnds(agent, place.order));
        true
    }

    pub(crate) fn lease_ends(&mut self, place: ItemPlace, step: &mut Step<'_>) {
        let Some(item) = self.mailboxes.item(place) else { return };
        let State::Out { until, .. } = item.state else { return };
        if until <= step.now.mono && self.rules.hold(Rule::LeaseEndsDelivery) {
            self.delivery_failed(place, Failed::LeaseEnded, step);
            self.pump_mailbox(place.agent, step);
        }
    }

    /// Whoever was attached is gone: what it held is delivered again to the next one.
    pub(crate) fn take_back_all(&mut self, agent: AgentId, client: ClientId, step: &mut Step<'_>) {
        for place in self.mailboxes.out_with(agent, client) {
            self.delivery_failed(place, Failed::SessionLost, step);
        }
    }

    /// Forgets an item, in the open transaction.
    pub(crate) fn drop_item(&mut self, place: ItemPlace) -> Option<Item> {
        let item = self.take_item(place)?;
        self.ledger.forget(item.entry);
        Some(item)
    }

    /// Takes an item out of its mailbox; what was said stays on disk.
    pub(crate) fn take_item(&mut self, place: ItemPlace) -> Option<Item> {
        self.clear_lease(place);
        let item = self.mailboxes.remove(place)?;
        self.timers.clear(item.expires, Why::ReceivedExpires(place.agent, place.order));
        if let Some(revived) = item.revived {
            self.ledger.forget(revived);
        }
        Some(item)
    }

    /// A message that no agent handled in time. Its sender hears whether it may have been seen.
    pub(crate) fn received_expires(&mut self, place: ItemPlace, step: &mut Step<'_>) {
        if self.clock.is_suspended() {
            // Looked at again when the clock is trusted.
            return;
        }
        let Some(item) = self.mailboxes.item_mut(place) else { return };
        if item.received.letter.expiry > step.wall() {
            item.expires = step.now.when(item.received.letter.expiry);
            self.set_expiry(place);
            return;
        }
        let seen = item.tries > 0 || item.may_be_seen || item.received.marked;
        let code = if seen { ErrorCode::TIMEOUT } else { ErrorCode::EXPIRED };
        let letter = item.received.letter;
        self.stats.expired += 1;
        self.history.note(Moment::of(What::Expired, &letter).code(code), step);
        self.end_item(place, code, step);
    }

    /// Takes the deadline of a delivery out, before its number is voided.
    fn clear_lease(&mut self, place: ItemPlace) {
        if let Some(Item { state: State::Out { until, .. }, .. }) = self.mailboxes.item(place) {
            self.timers.clear(*until, Why::LeaseEnds(place.agent, place.order));
        }
    }

    /// Whether it may have been delivered before by what this node has forgotten.
    pub(crate) fn is_marked(&self, letter: &Letter) -> bool {
        let again = letter.again && self.rules.hold(Rule::AgainMarks);
        let older = is_older(self.birth, letter.timestamp);
        let dropped = letter.expiry < self.marks_dropped && self.rules.hold(Rule::DroppedMarkMarks);
        again || (older && self.rules.hold(Rule::BirthMarks)) || dropped
    }

    /// A clean stop notes what was delivered and not acknowledged, so that it is marked the next time.
    pub(crate) fn note_delivered(&mut self, step: &mut Step<'_>) {
        if !self.rules.hold(Rule::DeliveredNotedAtCleanStop) {
            return;
        }
        let items = self.mailboxes.boxes.values().flat_map(|mailbox| mailbox.items.values());
        let seen = items.filter(|item| item.tries > 0 || item.may_be_seen).map(|item| item.entry);
        let entries: Vec<_> = seen.collect();
        for some in entries.chunks(DELIVERED_NOTED) {
            self.ledger.put(&Entry::Delivered(some.to_vec()));
            if self.ledger.open_bytes() > TRANSACTION_BYTES {
                self.close_transaction(step);
            }
        }
    }
}

/// Whether a moment may lie before a store was born, by any clock.
pub(crate) fn is_older(birth: Option<u64>, moment: u64) -> bool {
    birth.is_some_and(|birth| moment < birth.saturating_add(CLOCKS_APART_MAX))
}

/// Why a delivery came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failed {
    Refused,
    LeaseEnded,
    SessionLost,
}

impl Failed {
    /// The pause before the next delivery. A session may be lost for any reason, and whoever comes next should not wait
    /// for what it had; the same message again is another matter.
    const fn pause(self, failures: u32) -> u64 {
        let doublings = match (self, failures) {
            (Self::SessionLost, 0 | 1) => return 0,
            (Self::SessionLost, failures) => failures - 2,
            (Self::Refused | Self::LeaseEnded, failures) => failures.saturating_sub(1),
        };
        if doublings >= 6 { REDELIVERY_PAUSE_MAX } else { REDELIVERY_PAUSE << doublings }
    }
}

const _: () = assert!(REDELIVERY_PAUSE << 6 >= REDELIVERY_PAUSE_MAX);

fn unknown() -> Option<Name> {
    "unknown".parse().ok()
}
