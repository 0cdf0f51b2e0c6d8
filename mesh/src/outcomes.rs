//! How a message ends, and how its sender hears of it: answers, ends that a daemon says itself, and the stubs that wait
//! for both.

use alloc::borrow::Cow;
use alloc::format;

use proto::control::ErrorBody;
use proto::entry::{Letter, Parts, Received};
use proto::limits::{ANSWER_LIFE, MESSAGE_LIFE_MAX};
use proto::{AgentId, Content, ContentType, ErrorCode, MessageId, MessageType, Metadata, NodeId};

use crate::dead::{Corpse, Home};
use crate::delivering::{Failed, is_older};
use crate::effect::Effect;
use crate::history::{Moment, What};
use crate::input::ClientId;
use crate::mailbox::ItemPlace;
use crate::node::Node;
use crate::pair::Pair;
use crate::rules::Rule;
use crate::say::{Failure, Teller, error_encoding};
use crate::step::Step;
use crate::submission::end_in_words;
use crate::timers::Why;

/// With these codes an agent refuses a message for good. What else ends a message is for nodes to say.
const FOR_GOOD: [ErrorCode; 2] = [ErrorCode::POLICY, ErrorCode::MALFORMED];

/// What an agent says of a message that it refuses for good, if that is what it says.
pub(crate) fn for_good(content: &Content) -> Option<ErrorBody> {
    let error = content.error().ok().filter(|error| FOR_GOOD.contains(&error.code))?;
    // So that nobody takes an agent's words for those of a node.
    let message = format!("its agent refused it: {}", error.message).into_boxed_str();
    Some(ErrorBody { message, ..error })
}

impl Node {
    /// The agent will not handle a delivery: not now, and it comes again, marked; or never, and its sender hears why.
    pub(crate) fn refuse_delivery(
        &mut self,
        client: ClientId,
        agent: AgentId,
        number: u64,
        content: &Content,
        step: &mut Step<'_>,
    ) {
        let Some(place) = self.held_by(number, client, agent, content.header.id()) else { return };
        match for_good(content).filter(|_| self.rules.hold(Rule::RefusedForGoodEnds)) {
            Some(error) => self.refused_for_good(place, error, step),
            None => self.delivery_failed(place, Failed::Refused, step),
        }
        self.pump_mailbox(agent, step);
    }

    fn refused_for_good(&mut self, place: ItemPlace, error: ErrorBody, step: &mut Step<'_>) {
        let Some(item) = self.mailboxes.item(place) else { return };
        self.stats.failed_deliveries += 1;
        let moment = Moment::of(What::DeliveryFailed, &item.received.letter).attempt(item.tries).code(error.code);
        self.history.note(moment, step);
        self.end_item(place, Failure::new(error.code, error.message.into_string()), step);
    }

    /// Ends an item that was not handled.
    pub(crate) fn end_item(&mut self, place: ItemPlace, why: impl Into<Failure>, step: &mut Step<'_>) {
        let Some(item) = self.take_item(place) else { return };
        let why = why.into();
        let code = why.code;
        let letter = item.received.letter;
        let (asker, answerer, id) = (letter.destination, letter.source, letter.id);
        let is_told = if !item.is_message() && code == ErrorCode::STORAGE {
            // The outcome is lost; that there was one is not.
            self.outcome_lost(asker, answerer, id, step)
        } else if !item.is_message() {
            self.drop_stub(asker, answerer, id);
            false
        } else if !letter.handled_wanted {
            // If nobody was told that it was accepted, its sender hears that it never will be.
            !item.is_synced && self.end_untaken(&letter, code, item.teller, step)
        } else if self.locals.agents.contains_key(&letter.source) {
            self.end_by_ourselves(letter.source, letter.destination, letter.id, letter.content_type, why, step);
            true
        } else {
            self.send_error(&letter, code, why.words, step);
            true
        };
        // What was given up is kept, whoever was told: somebody may mend the agent and put it back.
        let is_kept = code == ErrorCode::GIVEN_UP || (!is_told && self.rules.hold(Rule::UntoldBecomesDead));
        let is_lost = code == ErrorCode::STORAGE;
        if is_kept {
            let home = if is_lost { Home::Nowhere } else { Home::Mailbox(item.received) };
            let node = item.received.source_node;
            let peer = (node != self.node_id()).then_some(node);
            let corpse = Corpse { letter, code, bytes: item.bytes, home, peer };
            self.bury(corpse, (!is_lost).then_some(item.entry), Parts::default(), step);
        }
        if is_lost || !is_kept {
            self.ledger.forget(item.entry);
        }
        self.pump_mailbox(place.agent, step);
    }

    /// The answer that an agent waits for cannot be read back. Whether somebody waited.
    fn outcome_lost(&mut self, asker: AgentId, answerer: AgentId, id: MessageId, step: &mut Step<'_>) -> bool {
        let Some(awaited) = self.stubs.find(asker, answerer, id) else { return false };
        awaited.has_outcome = false;
        self.end_by_ourselves(asker, answerer, id, ContentType::None, ErrorCode::STORAGE, step);
        true
    }

    /// Tells the sender of a message how it ended, in the answers' flow.
    pub(crate) fn send_error(
        &mut self,
        letter: &Letter,
        code: ErrorCode,
        words: Cow<'static, str>,
        step: &mut Step<'_>,
    ) {
        let answer = Letter {
            message_type: MessageType::Error,
            content_type: error_encoding(letter.content_type),
            ..answer_to(letter, step.wall())
        };
        let parts = error_parts(code, words, letter.id, answer.content_type);
        self.send_answer(answer, parts, None, step);
    }

    /// Sends an answer towards whoever waits for it.
    pub(crate) fn send_answer(&mut self, letter: Letter, parts: Parts, teller: Option<Teller>, step: &mut Step<'_>) {
        if self.locals.agents.contains_key(&letter.destination) {
            let node = self.node_id();
            self.take_outcome(letter, parts, (node, 0), teller, step);
        } else if self.rules.hold(Rule::OutcomeInOneTransaction) {
            if self.own(letter, parts, teller, step).is_none() {
                step.ask(Effect::Report(crate::Event::Ignored { what: "the numbers of flows are used up" }));
            }
        } else {
            self.postponed.push((letter, parts, teller));
        }
    }

    /// This node ends a message itself: the one who waits hears it as an outcome.
    pub(crate) fn end_by_ourselves(
        &mut self,
        asker: AgentId,
        answerer: AgentId,
        id: MessageId,
        content_type: ContentType,
        why: impl Into<Failure>,
        step: &mut Step<'_>,
    ) {
        let Failure { code, words, .. } = why.into();
        let letter = Letter {
            source: answerer,
            destination: asker,
            id,
            message_type: MessageType::Error,
            content_type: error_encoding(content_type),
            timestamp: step.wall(),
            expiry: step.wall().saturating_add(ANSWER_LIFE),
            handled_wanted: false,
            again: false,
        };
        let parts = error_parts(code, words, id, letter.content_type);
        let node = self.node_id();
        self.take_outcome(letter, parts, (node, 0), None, step);
    }

    /// Takes an answer, if a stub waits for it. The first outcome wins.
    pub(crate) fn take_outcome(
        &mut self,
        letter: Letter,
        parts: Parts,
        (source_node, hops): (NodeId, u8),
        teller: Option<Teller>,
        step: &mut Step<'_>,
    ) {
        let (asker, answerer, id) = (letter.destination, letter.source, letter.id);
        let first_wins = self.rules.hold(Rule::FirstOutcomeWins);
        let is_response = letter.message_type == MessageType::Response;
        let (us, birth) = (self.node_id(), self.birth);
        let awaited = self.stubs.find(asker, answerer, id);
        let waits = awaited
            .filter(|awaited| (!awaited.has_outcome || !first_wins) && (awaited.stub.is_request || !is_response));
        let mut is_from_before = false;
        let is_wanted = if let Some(awaited) = waits {
            awaited.has_outcome = true;
            let said_from = awaited.stub.expiry.saturating_sub(MESSAGE_LIFE_MAX);
            is_from_before = source_node == us && awaited.is_past && is_older(birth, said_from);
            true
        } else {
            !self.rules.hold(Rule::AnswersNeedStub)
        };
        if !is_wanted {
            self.stats.unwanted_answers += 1;
            if letter.message_type == MessageType::Error && self.rules.hold(Rule::UntoldBecomesDead) {
                self.bury_error(letter, parts, source_node, step);
            }
            return;
        }
        let (letter, parts) = self.fit_answer(letter, parts);
        let bytes = parts.bytes();
        self.history.note(Moment::of(What::Outcome, &letter).bytes(bytes), step);
        if self.rules.hold(Rule::OutcomeSettles) {
            self.settle_by_outcome(Pair::messages(asker, answerer), id, step);
        }
        if !self.rules.hold(Rule::StubUntilOutcomeAcknowledged) {
            self.drop_stub(asker, answerer, id);
        }
        // What this node says itself now may stand in for an end that it told before its store went back.
        let may_be_told = is_from_before && self.rules.hold(Rule::BirthMarks);
        let marked = self.is_marked(&letter) || may_be_told;
        let received = Received { letter, received: step.wall(), source_node, hops, marked };
        self.keep(received, parts, teller, step);
    }

    /// An answer whose bytes find no room is told to be so.
    fn fit_answer(&self, letter: Letter, parts: Parts) -> (Letter, Parts) {
        let bytes = parts.bytes();
        let is_response = letter.message_type == MessageType::Response;
        let fits = self.mailboxes.has_room_for_answer(letter.destination, bytes, &self.bounds) && self.fits_node(bytes);
        if !is_response || fits {
            return (letter, parts);
        }
        let content_type = error_encoding(letter.content_type);
        let words = end_in_words(ErrorCode::FULL).into();
        let parts = error_parts(ErrorCode::FULL, words, letter.id, content_type);
        (Letter { message_type: MessageType::Error, content_type, ..letter }, parts)
    }

    /// The end of a message that nobody waits for any more, as another node tells it.
    fn bury_error(&mut self, letter: Letter, parts: Parts, node: NodeId, step: &mut Step<'_>) {
        let code = ErrorBody::read(letter.content_type, &parts.body).map_or(ErrorCode::SERVER, |error| error.code);
        let peer = (node != self.node_id()).then_some(node);
        let corpse = Corpse { letter, code, bytes: parts.bytes(), home: Home::Nowhere, peer };
        self.bury(corpse, None, parts, step);
    }

    pub(crate) fn drop_stub(&mut self, asker: AgentId, answerer: AgentId, id: MessageId) {
        if let Some(awaited) = self.stubs.remove(asker, answerer, id) {
            self.timers.clear(awaited.ends, Why::StubEnds(asker, answerer, id));
            self.ledger.forget(awaited.entry);
        }
    }

    /// An end that was awaited long enough.
    pub(crate) fn stub_ends(&mut self, asker: AgentId, answerer: AgentId, id: MessageId, step: &mut Step<'_>) {
        if self.clock.is_suspended() {
            // Looked at again when the clock is trusted.
            return;
        }
        let Some(awaited) = self.stubs.find(asker, answerer, id).filter(|awaited| !awaited.has_outcome) else { return };
        let due = awaited.stub.expiry.saturating_add(proto::limits::OUTCOME_WAIT);
        if due > step.wall() {
            awaited.ends = step.now.when(due);
            self.timers.set(awaited.ends, Why::StubEnds(asker, answerer, id));
        } else {
            self.end_by_ourselves(asker, answerer, id, ContentType::None, ErrorCode::TIMEOUT, step);
        }
    }
}

pub(crate) fn answer_to(letter: &Letter, wall: u64) -> Letter {
    Letter {
        source: letter.destination,
        destination: letter.source,
        id: letter.id,
        message_type: letter.message_type,
        content_type: letter.content_type,
        timestamp: wall,
        expiry: wall.saturating_add(ANSWER_LIFE),
        handled_wanted: false,
        again: false,
    }
}

fn error_parts(code: ErrorCode, words: Cow<'static, str>, id: MessageId, encoding: ContentType) -> Parts {
    let message = words.into_owned().into_boxed_str();
    let body = ErrorBody { code, message, original: id, retry_after_ms: 0 };
    Parts { metadata: Metadata::default(), body: body.write(encoding) }
}
