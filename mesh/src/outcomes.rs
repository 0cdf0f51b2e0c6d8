//! How a message ends, and how its sender hears of it: answers, ends that a daemon says itself, and the stubs that wait
//! for both.

use proto::control::ErrorBody;
use proto::entry::{Letter, Parts, Received};
use proto::limits::ANSWER_LIFE;
use proto::{AgentId, ContentType, ErrorCode, MessageId, MessageType, Metadata, NodeId};

use crate::effect::Effect;
use crate::mailbox::ItemPlace;
use crate::node::Node;
use crate::pair::Pair;
use crate::rules::Rule;
use crate::say::{Teller, error_encoding};
use crate::step::Step;
use crate::submission::end_in_words;
use crate::timers::Why;

impl Node {
    /// Ends an item that was not handled.
    pub(crate) fn end_item(&mut self, place: ItemPlace, code: ErrorCode, step: &mut Step<'_>) {
        let Some(item) = self.drop_item(place) else { return };
        let letter = item.received.letter;
        self.stats.expired += 1;
        if item.is_message() && !letter.handled_wanted && !item.is_synced {
            // Nobody was told that it was accepted: its sender hears that it never will be.
            self.end_untaken(&letter, code, item.teller, step);
        } else if !item.is_message() || !letter.handled_wanted {
            self.report_untold(letter.source, letter.destination, letter.id, code, step);
        } else if self.locals.agents.contains_key(&letter.source) {
            self.end_by_ourselves(letter.source, letter.destination, letter.id, letter.content_type, code, step);
        } else {
            self.send_error(&letter, code, step);
        }
        self.pump_mailbox(place.agent, step);
    }

    /// Tells the sender of a message how it ended, in the answers' flow.
    pub(crate) fn send_error(&mut self, letter: &Letter, code: ErrorCode, step: &mut Step<'_>) {
        let answer = Letter {
            message_type: MessageType::Error,
            content_type: error_encoding(letter.content_type),
            ..answer_to(letter, step.wall())
        };
        let parts = error_parts(code, letter.id, answer.content_type);
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
        code: ErrorCode,
        step: &mut Step<'_>,
    ) {
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
        let parts = error_parts(code, id, letter.content_type);
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
        let awaited = self.stubs.find(asker, answerer, id);
        let waits = awaited
            .filter(|awaited| (!awaited.has_outcome || !first_wins) && (awaited.stub.is_request || !is_response));
        let is_wanted = if let Some(awaited) = waits {
            awaited.has_outcome = true;
            true
        } else {
            !self.rules.hold(Rule::AnswersNeedStub)
        };
        if !is_wanted {
            self.stats.unwanted_answers += 1;
            return;
        }
        if self.rules.hold(Rule::OutcomeSettles) {
            self.settle_by_outcome(Pair::messages(asker, answerer), id, step);
        }
        if !self.rules.hold(Rule::StubUntilOutcomeAcknowledged) {
            self.drop_stub(asker, answerer, id);
        }
        let marked = self.is_marked(&letter);
        let received = Received { letter, received: step.wall(), source_node, hops, marked };
        self.keep(received, parts, teller, step);
    }

    pub(crate) fn drop_stub(&mut self, asker: AgentId, answerer: AgentId, id: MessageId) {
        if let Some(awaited) = self.stubs.remove(asker, answerer, id) {
            self.timers.clear(awaited.ends, Why::StubEnds(asker, answerer, id));
            self.ledger.forget(awaited.entry);
        }
    }

    /// An end that was awaited long enough.
    pub(crate) fn stub_ends(&mut self, asker: AgentId, answerer: AgentId, id: MessageId, step: &mut Step<'_>) {
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

fn error_parts(code: ErrorCode, id: MessageId, encoding: ContentType) -> Parts {
    let body = ErrorBody { code, message: end_in_words(code).into(), original: id, retry_after_ms: 0 };
    Parts { metadata: Metadata::default(), body: body.write(encoding) }
}
