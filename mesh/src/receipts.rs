//! What a destination says to a source in its agents' names: STORED, and notices that end nothing. All of it is signed
//! and not sealed, may get lost, and is said again when the frame that it is about comes again.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;
use proto::control::ErrorBody;
use proto::entry::{Parts, Place};
use proto::limits::{EXPIRY_AHEAD_MAX, FULL_RETRY_MS, FULL_RETRY_MS_MAX, MARK_MARGIN, REPEAT_PAUSE};
use proto::{
    ContentType, Draft, ErrorCode, FlowId, FlowKind, Header, MessageId, MessageType, NodeId, Receipt, Sequence, Shape,
};

use crate::bounds::Full;
use crate::effect::{Effect, Notes, Outgoing};
use crate::input::{LinkId, Load};
use crate::node::Node;
use crate::pair::Pair;
use crate::step::Step;
use crate::timers::Why;

impl Node {
    /// A mark is synced, so STORED may be said.
    pub(crate) fn mark_stored(&mut self, pair: Pair, place: Place) {
        let Some(state) = self.inbox.flows.get_mut(&pair) else { return };
        if state.stored.is_some_and(|stored| stored >= place) {
            return;
        }
        state.stored = Some(place);
        state.is_due = true;
        state.said = None;
        self.due.insert(pair);
    }

    /// A repeat shows that STORED may have been lost.
    pub(crate) fn stored_due(&mut self, pair: Pair, sequence: u32, step: &mut Step<'_>) {
        let Some(state) = self.inbox.flows.get_mut(&pair) else { return };
        state.is_due = true;
        let Some(place) = state.place else { return };
        if state.stored.is_none_or(|stored| stored < Place { sequence, ..place }) {
            // A floor alone has brought the mark this far, or its message is not synced yet: STORED follows the sync.
            if state.keep_until == 0 {
                state.keep_until = step.wall().saturating_add(EXPIRY_AHEAD_MAX + MARK_MARGIN);
            }
            if self.inbox.flows.mark(&pair) || pair.kind == FlowKind::Answers {
                self.ledger.marks.insert(pair);
            }
        } else {
            self.say_stored(pair, step);
        }
    }

    /// Says STORED for a pair, if it is due, the link has room, and it was not said a moment ago.
    pub(crate) fn say_stored(&mut self, pair: Pair, step: &mut Step<'_>) {
        let Some(host) = self.directory.host(pair.source) else { return };
        let Some(link) = self.links.to(host) else { return };
        let room = self.links.room(link);
        let hops = self.hops;
        let Some(state) = self.inbox.flows.get_mut(&pair).filter(|state| state.is_due) else { return };
        // What is settled by a floor alone is said together with what is stored.
        let Some(place) = state.stored.filter(|place| place.sequence > 0) else { return };
        if state.place.is_some_and(|now| now.flow != place.flow) {
            state.is_due = false;
            return;
        }
        if let Some(said) = state.said.filter(|said| step.now.mono.since(*said) < REPEAT_PAUSE) {
            self.timers.set(said.after(REPEAT_PAUSE), Why::SayStored(pair));
            return;
        }
        if room == 0 {
            if let Some(peer) = self.links.peers.get_mut(&host) {
                peer.stuck.insert(pair);
            }
            return;
        }
        state.is_due = false;
        state.said = Some(step.now.mono);
        let id = state.newest.unwrap_or(MessageId::new(0));
        let draft = Draft { id, sequence: Sequence::new(place.sequence), ..signed(pair, Shape::Stored, hops, step) };
        let notes = Notes { flow_id: Some(place.flow), ..Notes::default() };
        self.links.take_room(link, 0);
        let outgoing = Box::new(Outgoing { draft, notes, load: Load::Here(Parts::default()), bytes: 0 });
        step.ask(Effect::Send { link, outgoing, seal_to: None });
    }

    /// A link has come up: what was said over the one before it may not have arrived, and is said again when it is due.
    pub(crate) fn forget_said(&mut self, peer: NodeId) {
        for (_, state) in self.inbox.flows.iter_mut().filter(|(_, state)| state.host == Some(peer)) {
            state.older_said = None;
            state.prekey_said = None;
            state.full_said = None;
        }
    }

    /// A link has come up: what could not be said is said.
    pub(crate) fn say_all_stored(&mut self, peer: NodeId, step: &mut Step<'_>) {
        let due = self.inbox.flows.iter().filter(|(_, state)| state.is_due).map(|(pair, _)| *pair);
        let pairs: Vec<Pair> = due.collect();
        for pair in pairs {
            if self.directory.host(pair.source) == Some(peer) {
                self.say_stored(pair, step);
            }
        }
    }

    pub(crate) fn say_older(&mut self, pair: Pair, newest: FlowId, step: &mut Step<'_>) {
        let Some(state) = self.inbox.flows.get_mut(&pair) else { return };
        if state.older_said.is_some_and(|said| step.now.mono.since(said) < REPEAT_PAUSE) {
            return;
        }
        state.older_said = Some(step.now.mono);
        let notes = Notes { flow_id: Some(newest), ..Notes::default() };
        self.say_notice(pair, MessageId::new(0), in_words(ErrorCode::OLDER_FLOW), notes, step);
    }

    /// A frame was sealed to a prekey that is not kept here. Its source fetches the record and seals again.
    pub(crate) fn old_prekey(&mut self, header: &Header, step: &mut Step<'_>) {
        let is_once = header.shape() == Shape::Once;
        let kind = if let Shape::Durable(kind) = header.shape() {
            kind
        } else if is_once {
            FlowKind::Messages
        } else {
            return;
        };
        let pair = Pair { source: header.source(), destination: header.destination(), kind };
        if !is_once {
            self.make_flow(pair);
            let Some(state) = self.inbox.flows.get_mut(&pair) else { return };
            if state.prekey_said.is_some_and(|said| step.now.mono.since(said) < REPEAT_PAUSE) {
                return;
            }
            state.prekey_said = Some(step.now.mono);
        }
        self.say_notice(pair, header.id(), in_words(ErrorCode::PREKEY), Notes::default(), step);
    }

    /// There is no room for the message that is next in order. It stays with its source, and so does all that follows it.
    pub(crate) fn say_full(&mut self, pair: Pair, id: MessageId, full: Full, step: &mut Step<'_>) {
        self.stats.said_full += 1;
        self.drop_early(pair, u32::MAX);
        let is_there = self.locals.client_of(pair.destination).is_some();
        let Some(state) = self.inbox.flows.get_mut(&pair) else { return };
        if state.full_said.is_some_and(|said| step.now.mono.since(said) < REPEAT_PAUSE) {
            return;
        }
        state.full_said = Some(step.now.mono);
        // Whoever reads makes room soon; whoever is away may stay away.
        let next = state.full_retry.saturating_mul(2).clamp(FULL_RETRY_MS, FULL_RETRY_MS_MAX);
        state.full_retry = if is_there { FULL_RETRY_MS } else { next };
        let error = ErrorBody {
            code: ErrorCode::FULL,
            message: full.words().into(),
            original: id,
            retry_after_ms: state.full_retry,
        };
        self.say_error(pair, &error, Notes::default(), step);
    }

    /// Says an ERROR without a place, in the name of an agent of this node. It ends nothing and may get lost.
    pub(crate) fn say_notice(
        &mut self,
        pair: Pair,
        id: MessageId,
        (code, words): (ErrorCode, Cow<'static, str>),
        notes: Notes,
        step: &mut Step<'_>,
    ) {
        let error = ErrorBody { code, message: words.into_owned().into_boxed_str(), original: id, retry_after_ms: 0 };
        self.say_error(pair, &error, notes, step);
    }

    /// The same, with all that an ERROR can say.
    pub(crate) fn say_error(&mut self, pair: Pair, error: &ErrorBody, notes: Notes, step: &mut Step<'_>) {
        let Some(link) = self.directory.host(pair.source).and_then(|host| self.links.to(host)) else { return };
        if self.links.room(link) == 0 {
            return;
        }
        let body = error.write(ContentType::MessagePack);
        let draft = Draft {
            message_type: MessageType::Error,
            id: error.original,
            content_type: ContentType::MessagePack,
            ..signed(pair, Shape::Notice, self.hops, step)
        };
        self.send_signed(link, draft, notes, body, step);
    }

    pub(crate) fn send_signed(&mut self, link: LinkId, draft: Draft, notes: Notes, body: Bytes, step: &mut Step<'_>) {
        let bytes = body.len();
        self.links.take_room(link, bytes);
        let load = Load::Here(Parts { metadata: proto::Metadata::default(), body });
        step.ask(Effect::Send { link, outgoing: Box::new(Outgoing { draft, notes, load, bytes }), seal_to: None });
    }
}

/// The header of what this end of a pair says to the other, signed and not sealed.
fn signed(pair: Pair, shape: Shape, hops: u8, step: &Step<'_>) -> Draft {
    Draft {
        message_type: MessageType::Ack,
        shape,
        id: MessageId::new(0),
        timestamp: step.wall(),
        source: pair.destination,
        destination: pair.source,
        content_type: ContentType::None,
        hops,
        sequence: Sequence::NONE,
        told: Receipt::None,
        last: false,
    }
}

fn in_words(code: ErrorCode) -> (ErrorCode, Cow<'static, str>) {
    let words = match code {
        ErrorCode::OLDER_FLOW => "a newer flow of this pair is known here",
        ErrorCode::PREKEY => "sealed to a prekey that is not kept here",
        ErrorCode::FULL => "the agent has no room for more",
        _ => "refused",
    };
    (code, words.into())
}
