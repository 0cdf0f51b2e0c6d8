//! How what is owned leaves: in order, within the window and the link's room, again until it is stored. And how it
//! ends: by STORED, by its outcome, or by its own clock.

use alloc::boxed::Box;
use alloc::vec::Vec;

use proto::entry::{Entry, Letter, Parts, Place};
use proto::limits::{RETRY_DOUBLINGS_MAX, RETRY_MAX, RETRY_MIN, RETRY_USUAL_TIMES, WINDOW_BYTES, WINDOW_MESSAGES};
use proto::{Content, Draft, FlowId, MessageId, NodeId, Receipt, Sequence};

use crate::effect::{Effect, Notes, Outgoing};
use crate::history::{Moment, What};
use crate::input::Load;
use crate::ledger::Then;
use crate::node::Node;
use crate::outbox::{Flow, OutPair, Owned};
use crate::pair::Pair;
use crate::rules::{Rule, Rules};
use crate::say::Teller;
use crate::step::Step;
use crate::timers::Why;

/// How a message left this node's hands before it was stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Settled {
    Stored,
    Outcome,
}

/// Which of the owned messages are sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Which {
    Next,
    Floor,
}

impl Node {
    /// Takes a message over: from the next sync on this node owns it. `None` if the numbers of flows are used up.
    pub(crate) fn own(
        &mut self,
        letter: Letter,
        parts: Parts,
        teller: Option<Teller>,
        step: &mut Step<'_>,
    ) -> Option<()> {
        let pair = Pair { source: letter.source, destination: letter.destination, kind: kind_of(&letter) };
        let place = self.next_place(pair, step.wall())?;
        let bytes = parts.bytes();
        let entry = Entry::Owned { letter, place, parts };
        let number = self.ledger.put(&entry);
        let Entry::Owned { parts, .. } = entry else { return None };
        let early = !self.rules.hold(Rule::AttemptAfterSync);
        let owned = Owned {
            parts: Some(parts),
            is_synced: early,
            is_accepted: false,
            // What carries AGAIN may have left in an earlier life.
            has_left: letter.again,
            host: self.directory.host(letter.destination),
            teller,
            ..Owned::of(letter, number, bytes, step.now.when(letter.expiry))
        };
        self.timers.set(owned.expires, Why::OwnedExpires(pair, letter.id));
        self.outbox.insert(pair, place, owned);
        self.ledger.then(Then::Sendable(pair, place.flow, place.sequence));
        self.stats.accepted += 1;
        self.history.note(Moment::of(What::Accepted, &letter).bytes(bytes), step);
        if early {
            self.pump(pair, step);
        }
        Some(())
    }

    /// The next place of a pair. Numbering begins anew with the first message after each start, and at the end of
    /// the numbers.
    pub(crate) fn next_place(&mut self, pair: Pair, wall: u64) -> Option<Place> {
        let keep_numbering = !self.rules.hold(Rule::NewFlowPerStart);
        let out = self.outbox.pairs.entry(pair).or_insert_with(OutPair::new);
        let goes_on = out.flows.back().is_some_and(|flow| flow.next < u32::MAX && (out.is_open || keep_numbering));
        if !goes_on {
            let id = pair.flow_above(out.newest, wall, &mut self.chance)?;
            out.newest = Some(id);
            out.flows.push_back(Flow::new(id));
        }
        out.is_open = true;
        let flow = out.flows.back_mut()?;
        let sequence = flow.next;
        flow.next += 1;
        Some(Place { flow: flow.id, sequence })
    }

    /// A transaction is synced, so one more message may leave.
    pub(crate) fn sendable(&mut self, pair: Pair, flow: FlowId, sequence: u32, step: &mut Step<'_>) {
        let found = self.outbox.pairs.get_mut(&pair).and_then(|out| out.flow(flow));
        let Some(owned) = found.and_then(|flow| flow.owned.get_mut(&sequence)) else { return };
        owned.is_synced = true;
        let (teller, id) = (owned.teller, owned.letter.id);
        let is_first = !core::mem::replace(&mut owned.is_accepted, true);
        if is_first && self.rules.hold(Rule::AcceptedAfterSync) {
            self.tell_stage(teller, pair.source, id, Receipt::Accepted, step);
        }
        self.touched.insert(pair);
    }

    /// Sends as much of a pair as window and room allow.
    pub(crate) fn pump(&mut self, pair: Pair, step: &mut Step<'_>) {
        self.send_some(pair, Which::Next, step);
    }

    /// The floor has passed a place: what stands at it now tells the other end so.
    pub(crate) fn send_floor(&mut self, pair: Pair, step: &mut Step<'_>) {
        self.send_some(pair, Which::Floor, step);
    }

    fn send_some(&mut self, pair: Pair, which: Which, step: &mut Step<'_>) {
        let Some(host) = self.directory.host(pair.destination) else { return };
        let Some(link) = self.links.to(host) else { return };
        let prekey = self.directory.record(pair.destination).and_then(|record| record.prekey);
        let Some((prekey, _)) = prekey else {
            self.fetch(link, pair.destination, step);
            return;
        };
        let rules = self.rules;
        let hops = self.hops;
        let Some(out) = self.outbox.pairs.get_mut(&pair) else { return };
        out.turn();
        if out.held.is_some() && which == Which::Next {
            return;
        }
        if out.refused == Some(prekey) {
            if !out.is_empty() {
                self.arm_repeat(pair, step);
            }
            return;
        }
        let flows = if rules.hold(Rule::NewFlowWaitsForOld) { 1 } else { out.flows.len() };
        let mut sent = 0;
        let mut has_more = false;
        for flow in out.flows.iter_mut().take(flows) {
            let room = self.links.room(link);
            let batch = match which {
                Which::Next => next_attempts(flow, room, self.links.room_bytes(link), &mut has_more),
                Which::Floor => floor_attempt(flow, room),
            };
            let floor = floor_of(flow, rules);
            for sequence in batch {
                let Some(owned) = flow.owned.get_mut(&sequence) else { continue };
                let outgoing = attempt(owned, Place { flow: flow.id, sequence }, floor, pair, hops);
                owned.has_left = true;
                owned.may_hear_full = true;
                owned.attempts = owned.attempts.saturating_add(1);
                self.history.note(Moment::of(What::Sent, &owned.letter).attempt(owned.attempts), step);
                owned.sent = Some(step.now.mono);
                owned.sealed_to = Some(prekey);
                flow.highest_sent = flow.highest_sent.max(sequence);
                if which == Which::Next {
                    flow.in_flight += 1;
                    flow.bytes_in_flight += owned.bytes;
                }
                self.links.take_room(link, owned.bytes);
                step.ask(Effect::Send { link, outgoing: Box::new(outgoing), seal_to: Some(prekey) });
                sent += 1;
            }
            drop_waiting_parts(flow);
        }
        out.refused = None;
        self.stats.attempts += sent;
        if has_more && let Some(peer) = self.links.peers.get_mut(&host) {
            peer.stuck.insert(pair);
        }
        if sent > 0 {
            self.arm_repeat(pair, step);
        }
    }

    /// A repeat comes at a random time, so that many pairs do not repeat at once.
    fn arm_repeat(&mut self, pair: Pair, step: &Step<'_>) {
        let Some(out) = self.outbox.pairs.get_mut(&pair) else { return };
        if out.repeat.is_some() || !self.rules.hold(Rule::RepeatByTimer) {
            return;
        }
        // Where repeats bring nothing, they come later and later: QUIC below still holds what was sent.
        let usual = RETRY_MIN.max(out.usual.saturating_mul(RETRY_USUAL_TIMES));
        let least = usual.saturating_mul(1 << out.repeats.min(RETRY_DOUBLINGS_MAX)).min(RETRY_MAX);
        let at = step.now.mono.after(self.chance.between(least, RETRY_MAX));
        out.repeat = Some(at);
        self.timers.set(at, Why::Repeat(pair));
    }

    /// The time for a repeat has come, if it is the one that was set last.
    pub(crate) fn repeat_due(&mut self, pair: Pair, at: crate::Mono, step: &mut Step<'_>) {
        let Some(out) = self.outbox.pairs.get_mut(&pair) else { return };
        if out.repeat != Some(at) {
            return;
        }
        out.repeat = None;
        if self.directory.host(pair.destination).is_some_and(|host| self.links.is_silent(host)) {
            // What was sent is still on its way below us; a repeat would only lie behind it.
            self.arm_repeat(pair, step);
        } else {
            out.repeats = out.repeats.saturating_add(1);
            self.repeat(pair, step);
        }
    }

    /// The destination has had its time to make room.
    pub(crate) fn hold_ends(&mut self, pair: Pair, at: crate::Mono, step: &mut Step<'_>) {
        if self.outbox.pairs.get(&pair).is_some_and(|out| out.held == Some(at)) {
            self.repeat(pair, step);
        }
    }

    /// A peer that was silent is heard again. What it was sent arrives now, and gets its time anew.
    pub(crate) fn heard_again(&mut self, peer: NodeId, step: &mut Step<'_>) {
        let pairs: Vec<Pair> = self.outbox.pairs.keys().copied().collect();
        for pair in pairs {
            if self.directory.host(pair.destination) == Some(peer) {
                self.rearm(pair, step);
                self.pump(pair, step);
            }
        }
    }

    /// Sends again all that is owned of a pair.
    pub(crate) fn repeat(&mut self, pair: Pair, step: &mut Step<'_>) {
        let Some(out) = self.outbox.pairs.get_mut(&pair) else { return };
        out.refused = None;
        out.doubted = false;
        out.full_later = None;
        if let Some(at) = out.held.take() {
            self.timers.clear(at, Why::HoldEnds(pair));
        }
        if out.is_empty() {
            return;
        }
        out.flows.iter_mut().for_each(Flow::rewind);
        self.pump(pair, step);
        self.arm_repeat(pair, step);
    }

    /// A link has come up: what is owned for agents behind it leaves at once.
    pub(crate) fn repeat_all_to(&mut self, peer: NodeId, step: &mut Step<'_>) {
        let pairs: Vec<Pair> = self.outbox.pairs.keys().copied().collect();
        for pair in pairs {
            if self.directory.host(pair.destination) == Some(peer) {
                if let Some(out) = self.outbox.pairs.get_mut(&pair) {
                    out.repeats = 0;
                }
                self.repeat(pair, step);
            }
        }
    }

    /// The destination signed that all up to a place is on its disk.
    pub(crate) fn take_stored(&mut self, content: &Content, step: &mut Step<'_>) {
        let header = &content.header;
        let Some(flow) = content.metadata.flow_id() else { return };
        let pair = Pair { source: header.destination(), destination: header.source(), kind: flow.kind() };
        let only_sent = self.rules.hold(Rule::SettleOnlySent);
        let Some(found) = self.outbox.pairs.get_mut(&pair).and_then(|out| out.flow(flow)) else { return };
        let upto = header.sequence().get();
        let upto = if only_sent { upto.min(found.highest_sent) } else { upto };
        found.settled = found.settled.max(upto);
        let settled: Vec<u32> = found.owned.range(..=upto).map(|(sequence, _)| *sequence).collect();
        if settled.is_empty() {
            return;
        }
        // What was sealed to it was opened.
        if let Some(out) = self.outbox.pairs.get_mut(&pair) {
            out.refused = None;
            out.doubted = false;
            out.repeats = 0;
        }
        for sequence in settled {
            self.settle(pair, Place { flow, sequence }, Settled::Stored, step);
        }
        self.rearm(pair, step);
        self.hold_if_full(pair, step);
        self.pump(pair, step);
    }

    /// An outcome came before its message's STORED: it is stored all the same.
    pub(crate) fn settle_by_outcome(&mut self, pair: Pair, id: MessageId, step: &mut Step<'_>) {
        if let Some(place) = self.outbox.place(pair, id) {
            self.settle(pair, place, Settled::Outcome, step);
            self.rearm(pair, step);
            self.pump(pair, step);
        }
    }

    fn settle(&mut self, pair: Pair, place: Place, how: Settled, step: &mut Step<'_>) {
        let Some(owned) = self.outbox.remove(pair, place) else { return };
        self.forget_owned(&owned);
        self.stats.settled += 1;
        self.history.note(Moment::of(What::Stored, &owned.letter), step);
        if let Some(sent) = owned.sent
            && let Some(out) = self.outbox.pairs.get_mut(&pair)
        {
            out.usual = (out.usual * 7 + step.now.mono.since(sent)) / 8;
        }
        let teller = owned.teller;
        if how == Settled::Stored {
            self.tell_stage(teller, pair.source, owned.letter.id, Receipt::Stored, step);
        }
    }

    fn forget_owned(&mut self, owned: &Owned) {
        self.stop_expiry(owned);
        owned.entries().for_each(|entry| self.ledger.forget(entry));
    }

    pub(crate) fn stop_expiry(&mut self, owned: &Owned) {
        let letter = &owned.letter;
        let pair = Pair { source: letter.source, destination: letter.destination, kind: kind_of(letter) };
        self.timers.clear(owned.expires, Why::OwnedExpires(pair, letter.id));
    }

    /// Something moved: what is still in flight gets its time anew.
    fn rearm(&mut self, pair: Pair, step: &Step<'_>) {
        let Some(out) = self.outbox.pairs.get_mut(&pair) else { return };
        if let Some(at) = out.repeat.take() {
            self.timers.clear(at, Why::Repeat(pair));
        }
        if !out.is_empty() {
            self.arm_repeat(pair, step);
        }
    }
}

/// The kind of flow in which a letter has its place.
pub(crate) const fn kind_of(letter: &Letter) -> proto::FlowKind {
    use proto::{FlowKind, MessageType};
    match letter.message_type {
        MessageType::Request | MessageType::Broadcast | MessageType::Ping => FlowKind::Messages,
        MessageType::Response | MessageType::Ack | MessageType::Error => FlowKind::Answers,
    }
}

/// The places that may be sent next, and whether room was all that kept more back.
fn next_attempts(flow: &mut Flow, room: u32, room_bytes: u64, has_more: &mut bool) -> Vec<u32> {
    let floor = flow.floor();
    let mut bytes = flow.bytes_in_flight;
    let mut batch = Vec::new();
    let mut left = room;
    let mut left_bytes = room_bytes;
    for (sequence, owned) in flow.owned.range(flow.cursor..) {
        let in_window = sequence - floor < WINDOW_MESSAGES && (bytes == 0 || bytes + owned.bytes <= WINDOW_BYTES);
        if !owned.is_synced || !in_window {
            break;
        }
        if left == 0 || left_bytes == 0 {
            *has_more = true;
            break;
        }
        left -= 1;
        left_bytes = left_bytes.saturating_sub(owned.bytes as u64);
        bytes += owned.bytes;
        batch.push(*sequence);
    }
    if let Some(last) = batch.last() {
        flow.cursor = last + 1;
    }
    batch
}

/// What stands at the floor, if it left before and may leave again.
fn floor_attempt(flow: &Flow, room: u32) -> Vec<u32> {
    let floor = flow.owned.first_key_value().filter(|(sequence, owned)| owned.is_synced && **sequence < flow.cursor);
    floor.filter(|_| room > 0).map(|(sequence, _)| *sequence).into_iter().collect()
}

/// What had to wait lies on disk; memory need not hold it.
fn drop_waiting_parts(flow: &mut Flow) {
    for owned in flow.owned.values_mut().rev() {
        if owned.is_synced {
            if owned.parts.is_none() {
                break;
            }
            owned.parts = None;
        }
    }
}

fn floor_of(flow: &Flow, rules: Rules) -> u32 {
    if rules.hold(Rule::ExpiryPassesFloor) { flow.floor() } else { flow.settled + 1 }
}

fn attempt(owned: &Owned, place: Place, floor: u32, pair: Pair, hops: u8) -> Outgoing {
    let letter = &owned.letter;
    let load = owned.parts.clone().map_or(Load::Entry(owned.entry), Load::Here);
    Outgoing {
        draft: Draft {
            message_type: letter.message_type,
            shape: pair.shape(),
            id: letter.id,
            timestamp: letter.timestamp,
            source: letter.source,
            destination: letter.destination,
            content_type: letter.content_type,
            hops,
            sequence: Sequence::new(place.sequence),
            told: Receipt::None,
            last: false,
        },
        notes: Notes {
            expiry: Some(letter.expiry),
            flow_id: Some(place.flow),
            floor: Some(floor),
            handled_wanted: letter.handled_wanted,
            again: letter.again,
            ..Notes::default()
        },
        load,
        bytes: owned.bytes,
    }
}
