//! What is sent at most once: it touches no disk, ages, and is remembered so that nothing can be replayed.

use alloc::boxed::Box;

use bytes::Bytes;
use proto::control::ErrorBody;
use proto::entry::Parts;
use proto::limits::{ONCE_AGE_MAX, ONCE_AHEAD_MAX, ONCE_MEMORY};
use proto::{
    AgentId, Content, ContentType, Draft, ErrorCode, Header, MessageId, MessageType, NodeId, Receipt, Sequence, Shape,
    Verified,
};

use crate::effect::{Effect, Notes, Outgoing};
use crate::history::{Moment, What};
use crate::input::{ClientId, LinkId, Load};
use crate::node::Node;
use crate::outcomes::for_good;
use crate::pair::Pair;
use crate::recent::Recent;
use crate::rules::Rule;
use crate::say::{Asked, Failure, error_encoding};
use crate::step::Step;
use crate::time::Now;
use crate::timers::Why;

/// Whether a timestamp is in the bounds of what is sent at most once.
pub(crate) fn is_timely(header: &Header, now: Now) -> bool {
    let ages = matches!(header.shape(), Shape::Once | Shape::Ping | Shape::Opener);
    let timestamp = header.timestamp();
    let wall = now.wall.0;
    !ages || (timestamp.saturating_add(ONCE_AGE_MAX) >= wall && timestamp <= wall.saturating_add(ONCE_AHEAD_MAX))
}

impl Node {
    /// An agent of this node says something that nobody keeps.
    pub(crate) fn submit_once(&mut self, content: Content, step: &mut Step<'_>) -> Result<(), Failure> {
        let header = content.header;
        let destination = header.destination();
        if destination.is_zero() {
            return Err(Failure::new(ErrorCode::MALFORMED, "a broadcast to all who want a topic is not supported"));
        }
        if destination == self.me.id {
            return Err(Failure::new(ErrorCode::POLICY, "a node takes no messages but PING and questions"));
        }
        let expiry = content.metadata.expiry();
        if expiry.is_some_and(|expiry| expiry <= step.wall()) {
            return Err(Failure::new(ErrorCode::EXPIRED, "the message had expired when it was submitted"));
        }
        let draft = self.once_draft(&header, step);
        let notes = Notes { expiry, ..Notes::default() };
        let parts = Parts { metadata: content.metadata, body: content.body };
        let bytes = parts.bytes();
        let load = Load::Here(parts);
        self.stats.once += 1;
        self.history.note_once(Moment::of_draft(What::Accepted, &draft).bytes(bytes), step);
        self.locals.count_sent(draft.source);
        if self.locals.agents.contains_key(&destination) {
            if header.message_type() == MessageType::Request {
                // So that its answer is known as one, whatever rules there are for whoever asks.
                self.await_notice(&draft, step);
            }
            let is_answer = header.message_type() == MessageType::Response;
            if !(is_answer && self.heard_of(destination, header.source(), header.id())) {
                let Load::Here(parts) = &load else { return Ok(()) };
                self.judge_once(&header, parts, step)?;
            }
            let notes = Notes { hops: Some(0), ..notes };
            return self.deliver_once(draft, notes, (load, bytes), self.node_id(), step);
        }
        let record = self.directory.record(destination);
        let record = record.ok_or(Failure::new(ErrorCode::OFFLINE, "no such agent is known here"))?;
        let offline = Failure::new(ErrorCode::OFFLINE, "the agent's node cannot be reached now");
        let link = self.links.to(record.host).ok_or(offline)?;
        let Some((prekey, _)) = record.prekey else {
            return Err(Failure::new(ErrorCode::PREKEY, "the agent has no prekey that anything could be sealed to"));
        };
        if self.links.room(link) == 0 {
            return Err(Failure::full("the link to the agent's node has no room now"));
        }
        self.links.take_room(link, bytes);
        self.await_notice(&draft, step);
        self.history.note_once(Moment::of_draft(What::Sent, &draft).bytes(bytes), step);
        let outgoing = Box::new(Outgoing { draft, notes, load, bytes });
        step.ask(Effect::Send { link, outgoing, seal_to: Some(prekey) });
        Ok(())
    }

    fn once_draft(&self, header: &Header, step: &Step<'_>) -> Draft {
        Draft {
            message_type: header.message_type(),
            shape: header.shape(),
            id: header.id(),
            timestamp: step.wall(),
            source: header.source(),
            destination: header.destination(),
            content_type: header.content_type(),
            hops: self.hops,
            sequence: Sequence::NONE,
            told: Receipt::None,
            last: false,
        }
    }

    /// Gives a message to its agent, if that is attached and has room.
    fn deliver_once(
        &mut self,
        draft: Draft,
        notes: Notes,
        (load, bytes): (Load, usize),
        node: NodeId,
        step: &mut Step<'_>,
    ) -> Result<(), Failure> {
        let offline = Failure::new(ErrorCode::OFFLINE, "the agent is not attached");
        let client = self.locals.client_of(draft.destination).ok_or(offline)?;
        if !self.clients.take_room(client, bytes) {
            return Err(Failure::full("the agent does not read what it has"));
        }
        self.history.note_once(Moment::of_draft(What::Delivered, &draft).bytes(bytes), step);
        self.locals.count_received(draft.destination);
        let notes = Notes { expiry: notes.expiry, hops: notes.hops, ..self.proved(draft.source, node) };
        let notes = Notes { received: Some(step.wall()), ..notes };
        let draft = Draft { hops: 0, ..draft };
        let outgoing = Box::new(Outgoing { draft, notes, load, bytes });
        step.ask(Effect::Tell { client, outgoing, is_delivery: true });
        Ok(())
    }

    /// A frame from the wire that nobody keeps.
    pub(crate) fn receive_once(&mut self, content: Verified<Box<Content>>, step: &mut Step<'_>) {
        let content = *content.into_inner();
        let header = content.header;
        if self.clock.is_back(step.now.mono) {
            self.stats.stale += 1;
            return;
        }
        if !is_timely(&header, step.now) && self.rules.hold(Rule::OnceStale) {
            self.stats.stale += 1;
            return;
        }
        if !self.is_fresh(&header, step) {
            return;
        }
        // Nobody waits for an ERROR about the question any more.
        let was_asked = header.message_type() == MessageType::Response
            && self.heard_of(header.destination(), header.source(), header.id());
        if content.metadata.expiry().is_some_and(|expiry| expiry <= step.wall()) {
            self.stats.stale += 1;
            return;
        }
        let node = self.directory.host(header.source()).unwrap_or_else(|| self.node_id());
        let hops = header.initial_ttl().saturating_sub(header.ttl());
        let draft = Draft { timestamp: header.timestamp(), ..self.once_draft(&header, step) };
        let notes = Notes { expiry: content.metadata.expiry(), hops: Some(hops), ..Notes::default() };
        let parts = Parts { metadata: content.metadata, body: content.body };
        let bytes = parts.bytes();
        self.history.note_once(Moment::of_header(What::Received, &header).bytes(bytes), step);
        let allowed = if was_asked { Ok(()) } else { self.judge_once(&header, &parts, step) };
        let delivered = allowed.and_then(|()| self.deliver_once(draft, notes, (Load::Here(parts), bytes), node, step));
        if let Err(failure) = delivered
            && header.message_type() == MessageType::Request
        {
            let pair = Pair::messages(header.source(), header.destination());
            self.say_notice(pair, header.id(), (failure.code, failure.words), Notes::default(), step);
        }
    }

    /// Whether rules let an agent of this node hear it.
    fn judge_once(&mut self, header: &Header, parts: &Parts, step: &Step<'_>) -> Result<(), Failure> {
        let refused = self.refused_by_policy(header.source(), header.destination(), &parts.metadata);
        let Some(words) = refused else { return Ok(()) };
        self.stats.policy_refused += 1;
        self.history.note_once(Moment::of_header(What::SaidForbidden, header).code(ErrorCode::POLICY), step);
        Err(Failure::new(ErrorCode::POLICY, words))
    }

    fn is_fresh(&mut self, header: &Header, step: &Step<'_>) -> bool {
        if !self.rules.hold(Rule::OnceRemembered) {
            return true;
        }
        let node = self.directory.host(header.source()).unwrap_or(NodeId::new(header.source()));
        let recent = self.recent.entry(node).or_insert_with(|| Recent::new(&mut self.chance));
        let was_empty = recent.is_empty();
        let message_type = header.message_type() as u8;
        let tag = recent.tag(header.source(), header.destination(), message_type, header.id());
        let is_new = recent.add(header.timestamp(), tag, step.now.mono);
        if !is_new {
            self.stats.stale += 1;
        } else if was_empty {
            self.timers.set(step.now.mono.after(ONCE_MEMORY), Why::OnceForgotten);
        }
        is_new
    }

    pub(crate) fn forget_once(&mut self, step: &Step<'_>) {
        let now = step.now.mono;
        let next = self.recent.values_mut().map(|recent| recent.forget(now)).chain([self.asked.forget(now)]);
        for next in next.flatten() {
            self.timers.set(next, Why::OnceForgotten);
        }
        // A low-water mark that is older than anything timely says nothing any more.
        self.recent.retain(|_, recent| !recent.is_empty());
    }

    /// An agent, or a client that is none, asks whether somebody is there.
    pub(crate) fn submit_ping(&mut self, client: ClientId, content: &Content, step: &mut Step<'_>) {
        let header = content.header;
        let asked = Asked::of(client, &header);
        let destination = header.destination();
        let is_own = destination.is_zero() || destination == self.me.id;
        if is_own || self.locals.client_of(destination).is_some() {
            self.pong(asked, if is_own { self.me.id } else { destination }, self.node_id(), 0, step);
            return;
        }
        if let Err(failure) = self.send_ping(&header, content, step) {
            self.refuse(asked, failure, step);
        }
    }

    fn send_ping(&mut self, header: &Header, content: &Content, step: &mut Step<'_>) -> Result<(), Failure> {
        let destination = header.destination();
        let as_node = self.links.peers.contains_key(&NodeId::new(destination)).then_some(NodeId::new(destination));
        let host = self.directory.host(destination).or(as_node);
        let host = host.ok_or(Failure::new(ErrorCode::OFFLINE, "no such agent is known here"))?;
        if host == self.node_id() {
            return Err(Failure::new(ErrorCode::OFFLINE, "the agent is not attached"));
        }
        let offline = Failure::new(ErrorCode::OFFLINE, "the agent's node cannot be reached now");
        let link = self.links.to(host).ok_or(offline)?;
        if self.links.room(link) == 0 {
            return Err(Failure::full("the link to the agent's node has no room now"));
        }
        let draft = self.once_draft(header, step);
        self.await_notice(&draft, step);
        self.send_signed(link, draft, Notes::default(), content.body.clone(), step);
        Ok(())
    }

    fn pong(&mut self, asked: Asked, source: AgentId, node: NodeId, hops: u8, step: &mut Step<'_>) {
        let draft = Draft {
            message_type: MessageType::Ack,
            shape: Shape::Pong,
            id: asked.id,
            timestamp: step.wall(),
            source,
            destination: asked.source,
            content_type: ContentType::None,
            hops: 0,
            sequence: Sequence::NONE,
            told: Receipt::None,
            last: false,
        };
        let notes = Notes { hops: Some(hops), ..self.proved(source, node) };
        let outgoing = Box::new(Outgoing { draft, notes, load: Load::Here(Parts::default()), bytes: 0 });
        step.ask(Effect::Tell { client: asked.client, outgoing, is_delivery: false });
    }

    /// A PING from the wire. It is answered if the agent is there; silence says that it is not.
    pub(crate) fn receive_ping(&mut self, link: LinkId, header: &Header, step: &mut Step<'_>) {
        let destination = header.destination();
        let is_there = destination == self.me.id || self.locals.client_of(destination).is_some();
        if !is_timely(header, step.now) || !self.is_fresh(header, step) || !is_there || self.links.room(link) == 0 {
            self.stats.stale += 1;
            return;
        }
        let draft = Draft {
            message_type: MessageType::Ack,
            shape: Shape::Pong,
            id: header.id(),
            timestamp: step.wall(),
            source: destination,
            destination: header.source(),
            content_type: ContentType::None,
            hops: self.hops,
            sequence: Sequence::NONE,
            told: Receipt::None,
            last: false,
        };
        self.send_signed(link, draft, Notes::default(), Bytes::new(), step);
    }

    /// The answer to a PING of an agent of this node.
    pub(crate) fn receive_pong(&mut self, header: &Header, step: &mut Step<'_>) {
        let Some(client) = self.locals.client_of(header.destination()) else { return };
        let source = header.source();
        let node = self.directory.host(source).unwrap_or(NodeId::new(source));
        let hops = header.initial_ttl().saturating_sub(header.ttl());
        let asked = Asked { client, source: header.destination(), id: header.id(), content_type: ContentType::None };
        self.pong(asked, source, node, hops, step);
    }

    /// An ERROR about this counts for as long as anybody would wait for it.
    fn await_notice(&mut self, draft: &Draft, step: &Step<'_>) {
        let was_empty = self.asked.is_empty();
        self.asked.add(draft.source, draft.destination, draft.id, step.now.mono);
        if was_empty {
            self.timers.set(step.now.mono.after(ONCE_MEMORY), Why::OnceForgotten);
        }
    }

    fn heard_of(&mut self, ours: AgentId, theirs: AgentId, id: MessageId) -> bool {
        self.asked.remove(ours, theirs, id)
    }

    /// An agent of this node will not do what it was asked once. It does not come again, so whoever asked hears at once.
    pub(crate) fn decline(&mut self, content: &Content, step: &mut Step<'_>) {
        let header = content.header;
        let (agent, asker) = (header.source(), header.destination());
        let failed = || ErrorBody {
            code: ErrorCode::SERVER,
            message: "its agent could not handle it".into(),
            original: header.id(),
            retry_after_ms: content.error().map_or(0, |error| error.retry_after_ms),
        };
        let error = ErrorBody { original: header.id(), ..for_good(content).unwrap_or_else(failed) };
        self.stats.failed_deliveries += 1;
        self.history.note_once(Moment::of_asked(What::DeliveryFailed, &header).code(error.code), step);
        if self.locals.agents.contains_key(&asker) {
            let encoding = error_encoding(header.content_type());
            let draft = notice(&header, encoding, step.wall());
            self.tell_asker(&header, draft, error.write(encoding), error.code, step);
        } else {
            self.say_error(Pair::messages(asker, agent), &error, Notes::default(), step);
        }
    }

    /// An ERROR about something that went at most once.
    pub(crate) fn pass_notice(&mut self, content: &Content, step: &mut Step<'_>) {
        let header = content.header;
        let Ok(error) = content.error() else { return };
        let draft = notice(&header, header.content_type(), header.timestamp());
        self.tell_asker(&header, draft, content.body.clone(), error.code, step);
    }

    /// Whoever asked hears of it, once.
    fn tell_asker(&mut self, header: &Header, draft: Draft, body: Bytes, code: ErrorCode, step: &mut Step<'_>) {
        if !self.heard_of(header.destination(), header.source(), header.id()) && self.rules.hold(Rule::OnceRefusedOnce)
        {
            self.stats.ignored += 1;
            return;
        }
        self.history.note_once(Moment::of_asked(What::Outcome, header).code(code), step);
        let Some(client) = self.locals.client_of(header.destination()) else { return };
        self.tell_own(client, draft, body, step);
    }
}

/// An ERROR at the door about something that went at most once.
const fn notice(header: &Header, content_type: ContentType, timestamp: u64) -> Draft {
    Draft {
        message_type: MessageType::Error,
        shape: Shape::Notice,
        id: header.id(),
        timestamp,
        source: header.source(),
        destination: header.destination(),
        content_type,
        hops: 0,
        sequence: Sequence::NONE,
        told: Receipt::None,
        last: false,
    }
}
