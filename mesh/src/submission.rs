//! What agents ask for at the door: durable messages are taken over, what goes at most once is passed on.

use alloc::boxed::Box;

use proto::entry::{Entry, Letter, Parts, Received, Stub};
use proto::limits::{MESSAGE_LIFE, MESSAGE_LIFE_MAX, OUTCOME_WAIT};
use proto::metadata::{Key, Stage};
use proto::{AgentId, Content, ErrorCode, Header, MessageType, Receipt, Shape};

use crate::bounds::Full;
use crate::history::{Moment, What};
use crate::input::ClientId;
use crate::ledger::Then;
use crate::node::Node;
use crate::pair::Pair;
use crate::rules::Rule;
use crate::say::{Asked, Failure, Teller};
use crate::step::Step;
use crate::timers::Why;

impl Node {
    /// A message for another agent. Its source is attached to the client.
    pub(crate) fn submit(&mut self, client: ClientId, content: Box<Content>, step: &mut Step<'_>) {
        let asked = Asked::of(client, &content.header);
        let moment = Moment::of_header(What::Refused, &content.header);
        // Nothing else is a submission.
        let is_durable = matches!(content.header.shape(), Shape::Durable(_));
        let result =
            if is_durable { self.submit_durable(client, *content, step) } else { self.submit_once(*content, step) };
        if let Err(failure) = result {
            self.history.note(moment.code(failure.code), step);
            self.refuse(asked, failure, step);
        }
    }

    fn submit_durable(&mut self, client: ClientId, content: Content, step: &mut Step<'_>) -> Result<(), Failure> {
        let teller = Teller { client, stage: stage_of(&content) };
        if self.rules.hold(Rule::KnownIdIsSameMessage) && self.is_known(&content.header, teller, step) {
            return Ok(());
        }
        let letter = self.letter_of(&content, step)?;
        let parts = Parts { metadata: content.metadata, body: content.body };
        if letter.handled_wanted && !self.stubs.has_room(letter.source) {
            return Err(Failure::full("as many answers are awaited as one agent may await"));
        }
        let bytes = parts.bytes();
        if !self.has_disk_room {
            return Err(Failure::full(Full::Disk.words()));
        }
        if !self.fits_node(bytes) {
            return Err(Failure::full(Full::Node.words()));
        }
        self.outbox.room(letter.source, bytes, &self.bounds).map_err(|full| Failure::full(full.words()))?;
        if self.locals.agents.contains_key(&letter.destination) {
            self.submit_locally(letter, parts, teller, step)?;
        } else {
            if !self.outbox.has_room_for(Pair::messages(letter.source, letter.destination)) {
                return Err(Failure::full(Full::Pairs.words()));
            }
            let numbered = self.own(letter, parts, Some(teller), step);
            numbered.ok_or(Failure::new(ErrorCode::SERVER, "the numbers of flows are used up"))?;
        }
        self.locals.count_sent(letter.source);
        if letter.handled_wanted {
            self.await_outcome(&letter, step);
        }
        if !self.rules.hold(Rule::AcceptedAfterSync) {
            self.tell_stage(Some(teller), letter.source, letter.id, Receipt::Accepted, step);
        }
        Ok(())
    }

    /// What the header and the metadata of a submission say, with what the agent left out filled in.
    fn letter_of(&self, content: &Content, step: &Step<'_>) -> Result<Letter, Failure> {
        let header = &content.header;
        let (source, destination) = (header.source(), header.destination());
        if destination.is_zero() {
            return Err(Failure::new(ErrorCode::MALFORMED, "a broadcast to all who want a topic is not supported"));
        }
        if destination == self.me.id {
            return Err(Failure::new(ErrorCode::POLICY, "a node takes no messages but PING and questions"));
        }
        if !self.is_addressable(destination) {
            return Err(Failure::new(ErrorCode::OFFLINE, "no such agent is known here"));
        }
        let timestamp = step.wall();
        let expiry = content.metadata.expiry().unwrap_or(timestamp.saturating_add(MESSAGE_LIFE));
        let again = content.metadata.has(Key::Again);
        if expiry <= timestamp && again {
            let words = "the message has expired; what was submitted before under its id may have been delivered";
            return Err(Failure::new(ErrorCode::TIMEOUT, words));
        }
        if expiry <= timestamp {
            return Err(Failure::new(ErrorCode::EXPIRED, "the message had expired when it was submitted"));
        }
        if expiry > timestamp.saturating_add(MESSAGE_LIFE_MAX) {
            return Err(Failure::new(ErrorCode::MALFORMED, "a message lives 72 hours at most"));
        }
        let is_request = header.message_type() == MessageType::Request;
        Ok(Letter {
            source,
            destination,
            id: header.id(),
            message_type: header.message_type(),
            content_type: header.content_type(),
            timestamp,
            expiry,
            handled_wanted: is_request || content.metadata.has(Key::HandledWanted),
            again,
        })
    }

    /// An agent of this node, or one whose record says where it lives.
    pub(crate) fn is_addressable(&self, agent: AgentId) -> bool {
        self.locals.agents.contains_key(&agent) || self.directory.record(agent).is_some()
    }

    /// Whether the message is owned or awaited already. It is the same one then: its stages are told again.
    fn is_known(&mut self, header: &Header, teller: Teller, step: &mut Step<'_>) -> bool {
        let (source, destination, id) = (header.source(), header.destination(), header.id());
        let pair = Pair::messages(source, destination);
        if let Some(owned) = self.outbox.find(pair, id) {
            owned.teller = Some(teller);
            if owned.is_accepted {
                self.tell_stage(Some(teller), source, id, Receipt::Accepted, step);
            }
            return true;
        }
        if let Some((item, is_synced)) = self.mailboxes.local_item(pair, id) {
            item.teller = Some(teller);
            if is_synced {
                self.tell_stage(Some(teller), source, id, Receipt::Accepted, step);
                self.tell_stage(Some(teller), source, id, Receipt::Stored, step);
            }
            return true;
        }
        let Some(awaited) = self.stubs.find(source, destination, id) else { return false };
        if awaited.has_outcome {
            // It says all. Whoever asks again has not understood it, and need not wait for the lease to end.
            self.deliver_again(Pair::answers(destination, source), id);
        } else if awaited.is_synced {
            // A stub without an outcome was settled by STORED.
            self.tell_stage(Some(teller), source, id, Receipt::Accepted, step);
            self.tell_stage(Some(teller), source, id, Receipt::Stored, step);
        }
        true
    }

    /// Both agents live here: one transaction, one sync, no wire.
    fn submit_locally(
        &mut self,
        letter: Letter,
        parts: Parts,
        teller: Teller,
        step: &mut Step<'_>,
    ) -> Result<(), Failure> {
        let pair = Pair::messages(letter.source, letter.destination);
        if let Some(words) = self.refused_by_policy(letter.source, letter.destination, &parts.metadata) {
            self.stats.policy_refused += 1;
            return Err(Failure::new(ErrorCode::POLICY, words));
        }
        let room = self.mailboxes.room(pair, None, parts.bytes(), &self.bounds);
        room.map_err(|full| Failure::full(full.words()))?;
        let marked = self.is_marked(&letter);
        let received = Received { letter, received: step.wall(), source_node: self.node_id(), hops: 0, marked };
        self.stats.accepted += 1;
        self.history.note(Moment::of(What::Accepted, &letter).bytes(parts.bytes()), step);
        self.keep(received, parts, Some(teller), step);
        Ok(())
    }

    fn await_outcome(&mut self, letter: &Letter, step: &Step<'_>) {
        let Letter { source, destination, id, expiry, .. } = *letter;
        let is_request = letter.message_type == MessageType::Request;
        let stub = Stub { source, destination, id, expiry, is_request };
        let entry = self.ledger.put(&Entry::Stub(stub));
        let ends = step.now.when(expiry.saturating_add(OUTCOME_WAIT));
        self.stubs.insert(stub, entry, ends);
        self.timers.set(ends, Why::StubEnds(source, destination, id));
        self.ledger.then(Then::Awaited(source, destination, id));
    }

    /// The answer to a durable REQUEST. It is taken only while the REQUEST lies with that agent, and the REQUEST goes
    /// in the same transaction.
    pub(crate) fn respond(&mut self, client: ClientId, content: Box<Content>, step: &mut Step<'_>) {
        let asked = Asked::of(client, &content.header);
        let (source, destination, id) = (content.header.source(), content.header.destination(), content.header.id());
        let teller = Teller { client, stage: stage_of(&content) };
        let number = content.metadata.number(Key::DeliveryNumber).unwrap_or(0);
        let held = self.mailboxes.delivered(number, client, source);
        let fits = held.and_then(|place| self.mailboxes.item(place)).is_some_and(|item| {
            let letter = &item.received.letter;
            letter.message_type == MessageType::Request && letter.source == destination && letter.id == id
        });
        if let Some(owned) = self.outbox.find(Pair::answers(source, destination), id) {
            // It was answered before, and came a second time: that copy is answered by the same RESPONSE.
            owned.teller = Some(teller);
            if owned.is_accepted {
                self.tell_stage(Some(teller), source, id, Receipt::Accepted, step);
            }
            if let Some(place) = held.filter(|_| fits) {
                self.drop_item(place);
                self.pump_mailbox(source, step);
            }
            return;
        }
        if !fits && self.rules.hold(Rule::ResponseOnlyWhileHeld) {
            let words = "the request is not with this agent any more; an earlier answer may have been taken";
            self.refuse(asked, Failure::new(ErrorCode::TIMEOUT, words), step);
            return;
        }
        let letter = self.answer_letter(&content, step);
        let parts = Parts { metadata: content.metadata.clone(), body: content.body.clone() };
        if let Some(place) = held.filter(|_| fits)
            && let Some(item) = self.drop_item(place)
        {
            self.history.note(Moment::of(What::Answered, &item.received.letter).attempt(item.tries), step);
        }
        self.locals.count_sent(source);
        self.send_answer(letter, parts, Some(teller), step);
        self.pump_mailbox(source, step);
    }

    fn answer_letter(&self, content: &Content, step: &Step<'_>) -> Letter {
        let header = &content.header;
        Letter {
            source: header.source(),
            destination: header.destination(),
            id: header.id(),
            message_type: header.message_type(),
            content_type: header.content_type(),
            timestamp: step.wall(),
            expiry: step.wall().saturating_add(proto::limits::ANSWER_LIFE),
            handled_wanted: false,
            again: false,
        }
    }

    /// What was refused after it had been taken over: its sender hears of the end. Whether anybody is there to hear it.
    pub(crate) fn end_untaken(
        &mut self,
        letter: &Letter,
        code: ErrorCode,
        teller: Option<Teller>,
        step: &mut Step<'_>,
    ) -> bool {
        let Letter { source, destination, id, .. } = *letter;
        let is_awaited = self.stubs.find(source, destination, id).is_some();
        if is_awaited && matches!(letter.message_type, MessageType::Request | MessageType::Broadcast) {
            self.end_by_ourselves(source, destination, id, letter.content_type, code, step);
            return true;
        }
        let listener = teller.filter(|teller| self.is_attached(teller.client, source));
        let Some(Teller { client, .. }) = listener else { return false };
        let asked = Asked { client, source, id, content_type: letter.content_type };
        self.refuse(asked, Failure::new(code, end_in_words(code)), step);
        true
    }
}

/// How an end is put into words.
pub(crate) fn end_in_words(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::EXPIRED => "expired, and was never delivered",
        ErrorCode::TIMEOUT => "ended before its end was known; it may have been delivered",
        ErrorCode::POLICY => {
            "no rule of its destination allows it, its agent refused it, or an operator withdrew it before it was sent"
        }
        ErrorCode::GIVEN_UP => "given up after too many deliveries that failed",
        ErrorCode::STORAGE => "what was said is lost: the disk did not give it back",
        ErrorCode::FULL => "there is an answer, and no room for it",
        ErrorCode::MALFORMED => "its destination refused its content",
        _ => "refused",
    }
}

/// The last stage that a submission wants to hear of.
fn stage_of(content: &Content) -> Stage {
    match content.metadata.number(Key::LastStage) {
        Some(0) => Stage::None,
        Some(1) => Stage::Stored,
        Some(2) => Stage::Handled,
        Some(_) => Stage::Accepted,
        None if content.header.message_type() == MessageType::Request => Stage::Handled,
        None => Stage::Accepted,
    }
}
