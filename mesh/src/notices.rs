//! What the other end says about attempts, before anything is stored there: that a prekey is not kept, that a newer flow
//! is known, that there is no room. It ends no message; it leads to another attempt.

use alloc::boxed::Box;
use alloc::vec::Vec;

use proto::entry::{Entry, Place};
use proto::limits::{FLOW_ID_MAX, FULL_HEEDED_MAX, FULL_RETRY_MS, RENUMBER_PAUSE, SECOND};
use proto::metadata::Key;
use proto::{AgentId, Content, ErrorCode, FlowId, FlowKind, MessageId, Verified};

use crate::history::{Moment, What};
use crate::input::LinkId;
use crate::ledger::Then;
use crate::node::Node;
use crate::outbox::Flow;
use crate::pair::Pair;
use crate::rules::Rule;
use crate::step::Step;
use crate::timers::Why;

impl Node {
    /// The destination does not keep the prekey that the last attempt was sealed to.
    fn prekey_refused(&mut self, pair: Pair, id: MessageId, link: LinkId, step: &mut Step<'_>) {
        if !self.rules.hold(Rule::PrekeyFetchedAnew) {
            return;
        }
        let current = self.directory.record(pair.destination).and_then(|record| record.prekey);
        let current = current.map(|(prekey, _)| prekey);
        let used = self.outbox.find(pair, id).and_then(|owned| owned.sealed_to);
        if used != current {
            self.repeat(pair, step);
            return;
        }
        if let Some(out) = self.outbox.pairs.get_mut(&pair) {
            out.refused = current;
        }
        if let Some(owned) = self.outbox.find(pair, id) {
            let moment = Moment::of(What::HeardOldPrekey, &owned.letter).code(ErrorCode::PREKEY);
            self.history.note(moment, step);
        }
        self.fetch(link, pair.destination, step);
    }

    /// The same about a message that has ended meanwhile: its outcome came first. It is said of one alone, and what was sent
    /// behind it was sealed to the same prekey.
    fn prekey_refused_of_ended(&mut self, ours: AgentId, theirs: AgentId, step: &mut Step<'_>) {
        if !self.rules.hold(Rule::PrekeyFetchedAnew) {
            return;
        }
        let current = self.directory.record(theirs).and_then(|record| record.prekey).map(|(prekey, _)| prekey);
        for pair in [Pair::messages(ours, theirs), Pair::answers(ours, theirs)] {
            let Some(out) = self.outbox.pairs.get_mut(&pair) else { continue };
            let used = out.flows.iter().flat_map(|flow| flow.owned.values()).find_map(|owned| owned.sealed_to);
            if used.is_some() && used == current {
                out.doubted = true;
            } else if used.is_some() {
                self.repeat(pair, step);
            }
        }
    }

    /// The destination has no room for the message that is next in order. What follows it waits with it.
    fn heard_full(&mut self, pair: Pair, id: MessageId, retry_after_ms: u32, step: &mut Step<'_>) {
        if let Some(place) = self.outbox.place(pair, id) {
            self.hold(pair, place, retry_after_ms, step);
        }
    }

    /// What was settled may have brought the message to the front that its destination has no room for.
    pub(crate) fn hold_if_full(&mut self, pair: Pair, step: &mut Step<'_>) {
        let later = self.outbox.pairs.get_mut(&pair).and_then(|out| out.full_later.take());
        if let Some((place, retry_after_ms)) = later {
            self.hold(pair, place, retry_after_ms, step);
        }
    }

    fn hold(&mut self, pair: Pair, place: Place, retry_after_ms: u32, step: &mut Step<'_>) {
        let Some(out) = self.outbox.pairs.get_mut(&pair) else { return };
        let Some(flow) = out.flows.front_mut().filter(|flow| flow.id == place.flow) else { return };
        // It counts for the lowest one alone, and once for each attempt. It is said before the STORED of those before it,
        // which wait for their sync.
        if flow.floor() < place.sequence {
            out.full_later = Some((place, retry_after_ms));
            return;
        }
        if flow.floor() > place.sequence {
            return;
        }
        let Some(owned) = flow.owned.get_mut(&place.sequence).filter(|owned| owned.may_hear_full) else { return };
        owned.may_hear_full = false;
        self.history.note(Moment::of(What::HeardFull, &owned.letter).code(ErrorCode::FULL), step);
        flow.rewind();
        let advice = u64::from(retry_after_ms.max(FULL_RETRY_MS)) * (SECOND / 1000);
        let until = step.now.mono.after(advice.min(FULL_HEEDED_MAX));
        if let Some(before) = out.held.replace(until) {
            self.timers.clear(before, Why::HoldEnds(pair));
        }
        if let Some(at) = out.repeat.take() {
            self.timers.clear(at, Why::Repeat(pair));
        }
        self.timers.set(until, Why::HoldEnds(pair));
        self.stats.heard_full += 1;
    }

    /// Another prekey of a destination is known: what was sealed to the old one is sealed again.
    pub(crate) fn prekey_changed(&mut self, destination: AgentId, step: &mut Step<'_>) {
        let pairs = self.outbox.pairs.iter().filter(|(pair, _)| pair.destination == destination);
        let pairs: Vec<(Pair, bool)> = pairs.map(|(pair, out)| (*pair, out.refused.is_some() || out.doubted)).collect();
        for (pair, was_refused) in pairs {
            if was_refused {
                self.repeat(pair, step);
            } else {
                self.pump(pair, step);
            }
        }
    }

    /// The destination knows a newer flow of this pair than the one that is sent: all that is owned gets places above.
    fn older_flow(&mut self, content: &Content, step: &mut Step<'_>) {
        let header = &content.header;
        let Some(newest) = content.metadata.number(Key::FlowId).and_then(FlowId::new) else { return };
        let pair = Pair { source: header.destination(), destination: header.source(), kind: newest.kind() };
        let Some(out) = self.outbox.pairs.get_mut(&pair) else { return };
        let sending = out.flows.front().map(|flow| flow.id);
        let lately = out.renumbered.is_some_and(|at| step.now.mono.since(at) < RENUMBER_PAUSE);
        let no_room = newest.get() >= FLOW_ID_MAX - (1 << 33);
        if out.is_empty() || lately || no_room || sending.is_none_or(|sending| newest <= sending) {
            return;
        }
        out.renumbered = Some(step.now.mono);
        let above = out.newest.max(Some(newest));
        let Some(id) = pair.flow_above(above, step.wall(), &mut self.chance) else { return };
        self.renumber(pair, id, step);
    }

    fn renumber(&mut self, pair: Pair, id: FlowId, step: &Step<'_>) {
        let with_again = self.rules.hold(Rule::RenumberAboveWithAgain);
        let Some(out) = self.outbox.pairs.get_mut(&pair) else { return };
        let flows = core::mem::take(&mut out.flows);
        let mut flow = Flow::new(id);
        out.newest = Some(id);
        out.is_open = true;
        out.repeat = None;
        for mut owned in flows.into_iter().flat_map(|flow| flow.owned.into_values()) {
            let place = Place { flow: id, sequence: flow.next };
            owned.letter.again |= with_again;
            owned.is_synced = false;
            if let Some(before) = owned.moved {
                self.ledger.forget(before);
            }
            owned.moved = Some(self.ledger.put(&Entry::Moved(owned.entry, place)));
            self.ledger.then(Then::Sendable(pair, id, place.sequence));
            self.outbox.moved(pair, owned.letter.id, place);
            self.history.note(Moment::of(What::Renumbered, &owned.letter), step);
            flow.owned.insert(place.sequence, owned);
            flow.next += 1;
        }
        if let Some(out) = self.outbox.pairs.get_mut(&pair) {
            out.flows.push_back(flow);
        }
        self.stats.renumbered += 1;
    }

    /// Finds the pair, of either kind, in which our agent owns a message with this id.
    fn pair_of(&self, ours: AgentId, theirs: AgentId, id: MessageId) -> Option<Pair> {
        [Pair::messages(ours, theirs), Pair::answers(ours, theirs)]
            .into_iter()
            .find(|pair| self.outbox.place(*pair, id).is_some())
    }

    /// An ERROR without a place, from the agent that we sent something to.
    pub(crate) fn take_notice(&mut self, link: LinkId, content: &Verified<Box<Content>>, step: &mut Step<'_>) {
        let content = content.get();
        let header = &content.header;
        let Ok(error) = content.error() else { return };
        let (ours, theirs) = (header.destination(), header.source());
        if error.code == ErrorCode::OLDER_FLOW {
            if self.rules.hold(Rule::OlderFlowAnswered) {
                self.older_flow(content, step);
            }
            return;
        }
        let owned = self.pair_of(ours, theirs, header.id());
        match (owned, error.code) {
            (Some(pair), ErrorCode::PREKEY) => self.prekey_refused(pair, header.id(), link, step),
            (Some(pair), ErrorCode::FULL) if pair.kind == FlowKind::Messages => {
                self.heard_full(pair, header.id(), error.retry_after_ms, step);
            }
            (Some(_), _) => self.stats.ignored += 1,
            (None, code) => {
                if code == ErrorCode::PREKEY {
                    self.prekey_refused_of_ended(ours, theirs, step);
                    self.fetch(link, theirs, step);
                }
                self.pass_notice(content, step);
            }
        }
    }
}
