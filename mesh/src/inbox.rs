//! Flows as their destination sees them: one mark for each pair and kind, in the order of the flow only. The place is
//! judged first; all else is asked only of the message that is next.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;

use proto::entry::{Entry, EntryNumber, Letter, Mark, Parts, Place, Received};
use proto::limits::{
    CLOCKS_APART_MAX, EARLY_LINK_BYTES, EXPIRY_AHEAD_MAX, MARK_MARGIN, SECOND, TRANSACTION_BYTES, WINDOW_BYTES,
    WINDOW_MESSAGES,
};
use proto::metadata::Key;
use proto::{Content, ErrorCode, FlowId, FlowKind, Header, MessageId, NodeId, Shape, Verified};

use crate::bounds::Full;
use crate::flows::Flows;
use crate::history::{Moment, What};
use crate::ledger::Then;
use crate::node::Node;
use crate::pair::Pair;
use crate::rules::Rule;
use crate::step::Step;
use crate::submission::end_in_words;
use crate::time::Mono;
use crate::timers::Why;

/// What came before its turn.
type Early = (Verified<Box<Content>>, bool);

/// One pair and kind.
#[derive(Debug, Default)]
pub(crate) struct InFlow {
    /// All up to here is settled, synced or not.
    pub(crate) place: Option<Place>,
    /// All up to here is on disk.
    pub(crate) stored: Option<Place>,
    pub(crate) entry: Option<EntryNumber>,
    pub(crate) keep_until: u64,
    pub(crate) early: BTreeMap<u32, Early>,
    pub(crate) early_bytes: usize,
    pub(crate) newest: Option<MessageId>,
    pub(crate) is_due: bool,
    pub(crate) said: Option<Mono>,
    pub(crate) older_said: Option<Mono>,
    pub(crate) prekey_said: Option<Mono>,
    pub(crate) full_said: Option<Mono>,
    /// What the last 4009 advised, in ms.
    pub(crate) full_retry: u32,
    /// Its mark is kept on disk, and counts against the source's node.
    pub(crate) has_mark: bool,
    /// The node that it counts against.
    pub(crate) host: Option<NodeId>,
    /// Its end is among the deadlines.
    pub(crate) has_timer: bool,
}

/// All flows towards agents of this node.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) flows: Flows,
}

impl Inbox {
    /// A mark as it lies on disk.
    pub(crate) fn insert_mark(&mut self, mark: &Mark, entry: EntryNumber) -> Option<EntryNumber> {
        let pair = Pair { source: mark.source, destination: mark.destination, kind: mark.place.flow.kind() };
        let flow = self.flows.known(pair);
        if flow.place.is_some_and(|place| place > mark.place) {
            return Some(entry);
        }
        flow.has_mark = true;
        flow.place = Some(mark.place);
        flow.stored = Some(mark.place);
        flow.keep_until = flow.keep_until.max(mark.keep_until);
        flow.entry.replace(entry)
    }
}

/// What became of the message that was next in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Taken {
    Yes,
    /// It stays with its source, which ends it or sends it again.
    No,
}

impl Node {
    /// A frame with a place in a flow. `is_fit` is false if its content is refused.
    pub(crate) fn receive(&mut self, content: Verified<Box<Content>>, is_fit: bool, step: &mut Step<'_>) {
        let header = content.get().header;
        let Shape::Durable(kind) = header.shape() else { return };
        let pair = Pair { source: header.source(), destination: header.destination(), kind };
        let (Some(flow), Some(floor)) = (content.get().metadata.flow_id(), floor_of(content.get())) else { return };
        if !self.locals.agents.contains_key(&pair.destination) {
            self.stats.ignored += 1;
            return;
        }
        self.make_flow(pair);
        let sequence = header.sequence().get();
        let Some(mark) = self.find_mark(pair, flow, floor, sequence, step) else { return };
        if sequence <= mark && self.rules.hold(Rule::MarkStopsDuplicates) {
            self.stats.duplicates += 1;
            self.history.note(Moment::of_header(What::Duplicate, &header), step);
            if self.rules.hold(Rule::StoredRepeated) {
                self.stored_due(pair, sequence, step);
            }
            return;
        }
        let is_next = sequence <= mark.saturating_add(1) || !self.rules.hold(Rule::InOrderOnly);
        if !is_next {
            if self.keep_early(pair, sequence, (content, is_fit)) {
                self.history.note(Moment::of_header(What::Early, &header), step);
            }
            return;
        }
        if self.take_next(pair, sequence, (content, is_fit), step) == Taken::Yes {
            self.take_early(pair, step);
        }
    }

    /// A pair that is new is kept in a small room of its source's node until something of it is settled. What has to make
    /// way for it is only what comes again.
    pub(crate) fn make_flow(&mut self, pair: Pair) {
        if self.inbox.flows.contains_key(&pair) {
            return;
        }
        let host = self.directory.host(pair.source);
        if let Some(oldest) = self.inbox.flows.begin(pair, host) {
            self.drop_early(oldest, u32::MAX);
            self.inbox.flows.remove(oldest);
        }
    }

    /// The mark of the frame's flow, once flow and floor have had their say. `None` if the flow is an older one.
    fn find_mark(&mut self, pair: Pair, flow: FlowId, floor: u32, sequence: u32, step: &mut Step<'_>) -> Option<u32> {
        let lifts = self.rules.hold(Rule::FloorLiftsMark);
        let at_floor = self.rules.hold(Rule::NewerFlowStartsAtFloor);
        let state = self.inbox.flows.get_mut(&pair)?;
        let below = floor.saturating_sub(1);
        match state.place {
            Some(place) if place.flow > flow => {
                self.stats.older_flows += 1;
                self.say_older(pair, place.flow, step);
                return None;
            }
            Some(place) if place.flow == flow => {
                let lifted = if lifts { place.sequence.max(below) } else { place.sequence };
                state.place = Some(Place { flow, sequence: lifted });
            }
            Some(_) | None => {
                let start = if at_floor { below } else { sequence.saturating_sub(1) };
                state.place = Some(Place { flow, sequence: start });
                self.drop_early(pair, u32::MAX);
            }
        }
        let mark = self.inbox.flows.get(&pair)?.place?.sequence;
        self.drop_early(pair, mark);
        Some(mark)
    }

    pub(crate) fn drop_early(&mut self, pair: Pair, upto: u32) {
        let host = self.directory.host(pair.source);
        let Some(state) = self.inbox.flows.get_mut(&pair) else { return };
        while let Some(first) = state.early.first_entry().filter(|first| *first.key() <= upto) {
            let bytes = weight(first.remove().0.get());
            state.early_bytes = state.early_bytes.saturating_sub(bytes);
            if let Some(total) = host.and_then(|host| self.links.early_bytes(host)) {
                *total = total.saturating_sub(bytes);
            }
        }
    }

    fn keep_early(&mut self, pair: Pair, sequence: u32, early: Early) -> bool {
        let bytes = weight(early.0.get());
        let host = self.directory.host(pair.source);
        let Some(state) = self.inbox.flows.get_mut(&pair) else { return false };
        let mark = state.place.map_or(0, |place| place.sequence);
        let Some(link_bytes) = host.and_then(|host| self.links.early_bytes(host)) else { return false };
        let fits = sequence - mark <= WINDOW_MESSAGES
            && state.early_bytes + bytes <= WINDOW_BYTES
            && *link_bytes + bytes <= EARLY_LINK_BYTES;
        if !fits || state.early.contains_key(&sequence) {
            self.stats.dropped += 1;
            return false;
        }
        state.early_bytes += bytes;
        *link_bytes += bytes;
        state.early.insert(sequence, early);
        self.stats.early += 1;
        true
    }

    /// Takes what waited early, as far as it is next.
    fn take_early(&mut self, pair: Pair, step: &mut Step<'_>) {
        loop {
            let Some(state) = self.inbox.flows.get_mut(&pair) else { return };
            let Some(next) = state.place.map(|place| place.sequence.saturating_add(1)) else { return };
            let Some((content, is_fit)) = state.early.get(&next).cloned() else { return };
            self.drop_early(pair, next);
            if self.ledger.open_bytes() > TRANSACTION_BYTES {
                self.close_transaction(step);
            }
            if self.take_next(pair, next, (content, is_fit), step) == Taken::No {
                return;
            }
        }
    }

    /// The message that is next in order. Its place is settled with it, in one transaction.
    fn take_next(&mut self, pair: Pair, sequence: u32, early: Early, step: &mut Step<'_>) -> Taken {
        let (content, is_fit) = early;
        let content = content.into_inner();
        let expiry = content.metadata.expiry().unwrap_or(0);
        let header = content.header;
        let aged = pair.kind == FlowKind::Messages || !self.rules.hold(Rule::AnswersNotAged);
        let wall = step.wall();
        let is_aged = expiry <= wall || expiry > wall.saturating_add(EXPIRY_AHEAD_MAX);
        if aged && is_fit && is_aged && !self.clock.is_suspended() {
            self.stats.stale += 1;
            return Taken::No;
        }
        let letter = letter_of(&header, &content, expiry);
        let source_node = self.directory.host(pair.source).unwrap_or_else(|| self.node_id());
        let hops = header.initial_ttl().saturating_sub(header.ttl());
        let held = self.mailboxes.holds(pair, letter.id) && self.rules.hold(Rule::HeldIdTakesPlaceOnly);
        let takes_place_only = letter.again && held && pair.kind == FlowKind::Messages;
        let bytes = content.metadata.as_bytes().len() + content.body.len();
        let is_new = is_fit && !takes_place_only && pair.kind == FlowKind::Messages;
        let refused =
            is_new.then(|| self.refused_by_policy(pair.source, pair.destination, &content.metadata)).flatten();
        let is_kept = is_fit && !takes_place_only && refused.is_none();
        if pair.kind == FlowKind::Messages
            && let Err(full) = self.judge_room(pair, source_node, is_kept.then_some(bytes))
        {
            self.history.note(Moment::of(What::SaidFull, &letter).bytes(bytes), step);
            self.say_full(pair, letter.id, full, step);
            return Taken::No;
        }
        self.settle_place(pair, sequence, letter.id, expiry, step);
        self.stats.received += 1;
        if let Some(words) = refused {
            self.refuse_received(&letter, words, bytes, step);
            return Taken::Yes;
        }
        let what = if is_fit { What::Received } else { What::SaidUnfit };
        self.history.note(Moment::of(what, &letter).bytes(bytes), step);
        let parts = Parts { metadata: content.metadata, body: content.body };
        match pair.kind {
            FlowKind::Messages if !is_fit => {
                if letter.handled_wanted {
                    let words = end_in_words(ErrorCode::MALFORMED);
                    self.send_error(&letter, ErrorCode::MALFORMED, words.into(), step);
                }
            }
            FlowKind::Messages if takes_place_only => {}
            FlowKind::Messages => {
                let marked = self.is_marked(&letter);
                let received = Received { letter, received: wall, source_node, hops, marked };
                self.keep(received, parts, None, step);
            }
            FlowKind::Answers if !is_fit => self.stats.unwanted_answers += 1,
            FlowKind::Answers => self.take_outcome(letter, parts, (source_node, hops), None, step),
        }
        Taken::Yes
    }

    /// Its place is settled in the same transaction. Its sender hears of it whether it waits for an end or not: nothing
    /// ends in silence.
    fn refuse_received(&mut self, letter: &Letter, words: String, bytes: usize, step: &mut Step<'_>) {
        self.stats.policy_refused += 1;
        self.history.note(Moment::of(What::SaidForbidden, letter).bytes(bytes).code(ErrorCode::POLICY), step);
        self.send_error(letter, ErrorCode::POLICY, words.into(), step);
    }

    /// Whether there is room for a message of another node, and for its mark. `bytes` is its length if it would be kept.
    fn judge_room(&self, pair: Pair, node: NodeId, bytes: Option<usize>) -> Result<(), Full> {
        if !self.inbox.flows.may_mark(&pair) {
            return Err(Full::Pairs);
        }
        if self.outbox.owes_too_much(Pair::answers(pair.destination, pair.source), node) {
            return Err(Full::Answers);
        }
        let Some(bytes) = bytes else { return Ok(()) };
        if !self.has_disk_room {
            return Err(Full::Disk);
        }
        if !self.fits_node(bytes) {
            return Err(Full::Node);
        }
        self.mailboxes.room(pair, Some(node), bytes, &self.bounds)
    }

    fn settle_place(&mut self, pair: Pair, sequence: u32, id: MessageId, expiry: u64, step: &mut Step<'_>) {
        let until = if self.rules.hold(Rule::MarkKeptPastExpiry) {
            expiry.max(step.wall()).min(step.wall().saturating_add(EXPIRY_AHEAD_MAX)).saturating_add(MARK_MARGIN)
        } else {
            step.wall().saturating_add(20 * SECOND)
        };
        let Some(state) = self.inbox.flows.get_mut(&pair) else { return };
        let Some(place) = state.place else { return };
        let place = Place { sequence: place.sequence.max(sequence), ..place };
        state.place = Some(place);
        state.newest = Some(id);
        state.keep_until = state.keep_until.max(until);
        state.full_retry = 0;
        let has_mark = self.inbox.flows.mark(&pair);
        let Some(state) = self.inbox.flows.get_mut(&pair) else { return };
        if has_mark && !state.has_timer {
            state.has_timer = true;
            self.timers.set(step.now.when(until), Why::MarkEnds(pair));
        }
        self.ledger.marks.insert(pair);
        if !self.rules.hold(Rule::StoredAfterSync) {
            self.mark_stored(pair, place);
        }
    }

    /// Writes the marks that have moved into the open transaction.
    pub(crate) fn write_marks(&mut self) {
        for pair in core::mem::take(&mut self.ledger.marks) {
            let Some(state) = self.inbox.flows.get_mut(&pair) else { continue };
            let Some(place) = state.place else { continue };
            if state.has_mark {
                let Pair { source, destination, .. } = pair;
                let mark = Mark { source, destination, place, keep_until: state.keep_until };
                let entry = self.ledger.put(&Entry::Mark(mark));
                if let Some(before) = state.entry.replace(entry) {
                    self.ledger.forget(before);
                }
            }
            self.ledger.then(Then::MarkStored(pair, place));
        }
    }

    /// A mark that nobody can need any more.
    pub(crate) fn mark_ends(&mut self, pair: Pair, step: &mut Step<'_>) {
        if self.clock.is_suspended() {
            // Looked at again when the clock is trusted.
            return;
        }
        let Some(state) = self.inbox.flows.get(&pair) else { return };
        if state.keep_until > step.wall() {
            self.timers.set(step.now.when(state.keep_until), Why::MarkEnds(pair));
            return;
        }
        self.drop_early(pair, u32::MAX);
        let Some(state) = self.inbox.flows.remove(pair) else { return };
        let Some(entry) = state.entry else { return };
        self.ledger.forget(entry);
        self.marks_dropped = self.marks_dropped.max(step.wall());
        let number = self.ledger.put(&Entry::MarksDropped(self.marks_dropped));
        if let Some(before) = self.marks_dropped_entry.replace(number) {
            self.ledger.forget(before);
        }
    }
}

fn floor_of(content: &Content) -> Option<u32> {
    content.metadata.number(Key::Floor).and_then(|floor| u32::try_from(floor).ok())
}

fn weight(content: &Content) -> usize {
    content.metadata.as_bytes().len() + content.body.len() + size_of::<Content>()
}

fn letter_of(header: &Header, content: &Content, expiry: u64) -> Letter {
    Letter {
        source: header.source(),
        destination: header.destination(),
        id: header.id(),
        message_type: header.message_type(),
        content_type: header.content_type(),
        timestamp: header.timestamp(),
        expiry,
        handled_wanted: content.metadata.has(Key::HandledWanted),
        again: content.metadata.has(Key::Again),
    }
}

const _: () = assert!(CLOCKS_APART_MAX == MARK_MARGIN);
