//! What agents do with what they are told: they handle, answer, refuse, take their time, or never say a word.

use mesh::ClientId;
use proto::control::{ErrorBody, subject};
use proto::metadata::{Key as Field, MetadataDraft};
use proto::{AgentId, Content, ContentType, Draft, ErrorCode, FlowKind, MessageId, MessageType, Shape};

use crate::agent::{Act, Answer};
use crate::shape::Handling;
use crate::time::MILLI;
use crate::world::{What, World};

impl World {
    /// A durable delivery: what is done with it is decided now and done later.
    pub(crate) fn takes(&mut self, agent: usize, client: ClientId, content: &Content) {
        let header = &content.header;
        let Some(number) = content.metadata.number(Field::DeliveryNumber) else { return };
        let lease = content.metadata.number(Field::Lease).unwrap_or(30_000) * MILLI;
        let (to, id) = (header.source(), header.id());
        let Some(who) = self.agents.get_mut(agent) else { return };
        who.seen += 1;
        let handling = who.handling;
        let ends = crate::account::is_answer(header.message_type());
        let is_request = header.message_type() == MessageType::Request;
        if ends {
            who.is_over(id);
        }
        let pause = if ends { self.chance.skewed(0, 20 * MILLI) } else { self.pause(&handling) };
        let draw = u32::try_from(self.chance.below(1000)).unwrap_or(0);
        let unruly = if ends || self.is_mended { Handling::default() } else { handling };
        let mut plan = |after: u64, how: Answer| {
            let act = Act::Answer { client, number, to, id, how };
            self.plan(after, What::Act { agent, act });
        };
        let mut from = unruly.refuse;
        if draw < from {
            return plan(pause, Answer::Refuse(code_for_now(number)));
        }
        from += unruly.refuse_for_good;
        if draw < from {
            return plan(pause, Answer::Refuse(code_for_good(number)));
        }
        from += unruly.never;
        if draw < from {
            return;
        }
        from += unruly.late;
        if draw < from {
            let how = if is_request && draw.is_multiple_of(2) { Answer::Respond } else { Answer::Handled };
            return plan(lease + pause, how);
        }
        from += unruly.slow;
        if draw < from {
            plan(lease / 2, Answer::Working);
            plan(lease, Answer::Working);
            return plan(lease + lease / 3, Answer::Handled);
        }
        from += handling.respond;
        let responds = is_request && draw < from;
        plan(pause, if responds { Answer::Respond } else { Answer::Handled });
    }

    fn pause(&mut self, handling: &Handling) -> u64 {
        let most = if self.is_mended { 50 } else { handling.pause_ms };
        self.chance.skewed(0, most * MILLI)
    }

    /// A process that lost its connection while it worked says so over the next one, under a number that is void.
    fn line_for_answer(&mut self, agent: usize, client: ClientId) -> ClientId {
        let Some(who) = self.agents.get(agent) else { return client };
        let newest = who.attached().map(|line| line.client);
        match newest.filter(|newest| *newest != client) {
            Some(newest) if who.line(client).is_none() || self.chance.percent(30) => newest,
            Some(_) | None => client,
        }
    }

    pub(crate) fn answer(
        &mut self,
        agent: usize,
        client: ClientId,
        number: u64,
        to: AgentId,
        id: MessageId,
        how: Answer,
    ) {
        let client = self.line_for_answer(agent, client);
        let metadata = MetadataDraft { delivery_number: Some(number), ..MetadataDraft::default() };
        match how {
            Answer::Handled => {
                let draft = Draft {
                    content_type: ContentType::None,
                    ..self.draft(agent, MessageType::Ack, Shape::Handled, to, id)
                };
                self.up(agent, client, &draft, &metadata, &[]);
            }
            Answer::Respond => {
                let draft = self.draft(agent, MessageType::Response, Shape::Durable(FlowKind::Answers), to, id);
                self.up(agent, client, &draft, &metadata, b"the answer");
            }
            Answer::Refuse(code) => self.refuse(agent, client, (to, id), code, &metadata),
            Answer::Working => {
                let id = MessageId::new(self.chance.number());
                let draft = Draft {
                    content_type: ContentType::None,
                    ..self.draft(agent, MessageType::Request, Shape::Once, AgentId::ZERO, id)
                };
                let metadata = MetadataDraft { subject: Some(subject::WORKING), ..metadata };
                self.up(agent, client, &draft, &metadata, &[]);
            }
        }
    }

    pub(crate) fn refuse(
        &mut self,
        agent: usize,
        client: ClientId,
        (to, id): (AgentId, MessageId),
        code: ErrorCode,
        metadata: &MetadataDraft<'_>,
    ) {
        let draft = Draft {
            content_type: ContentType::MessagePack,
            ..self.draft(agent, MessageType::Error, Shape::Notice, to, id)
        };
        let body = ErrorBody { code, message: "not now".into(), original: id, retry_after_ms: 0 };
        self.up(agent, client, &draft, metadata, &body.write(ContentType::MessagePack));
    }
}

/// What an agent does with what it was asked at most once: as often as with what comes durably, it refuses.
pub(crate) fn what_once(handling: &Handling, client: ClientId, to: AgentId, id: MessageId) -> Act {
    let draw = u32::try_from(id.get() % 1000).unwrap_or(0);
    let (now, good) = (handling.refuse, handling.refuse_for_good);
    let code = match draw {
        draw if draw < now => code_for_now(id.get() / 1000),
        draw if draw < now + good => code_for_good(id.get() / 1000),
        _ => return Act::AnswerOnce { client, to, id },
    };
    Act::DeclineOnce { client, to, id, code }
}

/// Some claim what only a node can know. It counts for nothing.
fn code_for_now(any: u64) -> ErrorCode {
    let codes = [ErrorCode::SERVER, ErrorCode::FULL, ErrorCode::TIMEOUT, ErrorCode::EXPIRED, ErrorCode::GIVEN_UP];
    codes.into_iter().cycle().nth(usize::try_from(any % 5).unwrap_or(0)).unwrap_or(ErrorCode::SERVER)
}

const fn code_for_good(any: u64) -> ErrorCode {
    if any.is_multiple_of(2) { ErrorCode::MALFORMED } else { ErrorCode::POLICY }
}
