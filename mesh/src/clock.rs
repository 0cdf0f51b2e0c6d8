//! The wall clock, watched against the other one. After a jump nothing expires until it has been steady for a while, or
//! an operator says that it is right: a wrong clock must not end what waits.

use alloc::vec::Vec;

use proto::AgentId;
use proto::entry::{Entry, EntryNumber};
use proto::limits::{CLOCK_AHEAD_MAX, CLOCK_BACK_WAIT, CLOCK_JUMP, CLOCK_NOTED_EVERY, CLOCK_STEADY};

use crate::effect::{Effect, Event};
use crate::node::Node;
use crate::pair::Pair;
use crate::rules::Rule;
use crate::step::Step;
use crate::time::{Mono, Now};
use crate::timers::Why;

/// What is known of the wall clock.
#[derive(Debug)]
pub(crate) struct WallClock {
    /// How far it stands from the other clock.
    offset: i128,
    suspended: Option<Suspended>,
    /// The last time that was noted on disk, and where.
    noted: Option<(u64, EntryNumber)>,
    /// When it went back last.
    back: Option<Mono>,
}

/// Nothing expires.
#[derive(Debug)]
struct Suspended {
    entry: EntryNumber,
    /// Until then it has to be steady.
    until: Mono,
}

impl WallClock {
    pub(crate) const fn new(now: Now) -> Self {
        Self { offset: offset(now), suspended: None, noted: None, back: None }
    }

    pub(crate) const fn is_suspended(&self) -> bool {
        self.suspended.is_some()
    }

    /// Whether it went back a moment ago: what was opened until now may have been opened by prekeys that are gone.
    pub(crate) fn is_back(&self, now: Mono) -> bool {
        self.back.is_some_and(|at| now.since(at) < CLOCK_BACK_WAIT)
    }

    /// What the journal noted last.
    pub(crate) fn remember(&mut self, wall: u64, entry: EntryNumber) -> Option<EntryNumber> {
        self.noted.replace((wall, entry)).map(|(_, before)| before)
    }

    /// The journal says that a jump was not over when the last run ended.
    pub(crate) fn remember_suspended(&mut self, entry: EntryNumber, now: Now) -> Option<EntryNumber> {
        let until = now.mono.after(CLOCK_STEADY);
        self.suspended.replace(Suspended { entry, until }).map(|before| before.entry)
    }

    /// Whether the clock at a start fits the last time on disk.
    fn fits_last(&self, wall: u64) -> bool {
        self.noted.is_none_or(|(last, _)| {
            wall.saturating_add(CLOCK_JUMP) >= last && wall <= last.saturating_add(CLOCK_AHEAD_MAX)
        })
    }
}

const fn offset(now: Now) -> i128 {
    now.wall.0 as i128 - now.mono.0 as i128
}

impl Node {
    /// At each step: has the clock jumped since the last one?
    pub(crate) fn watch_clock(&mut self, step: &mut Step<'_>) {
        let offset = offset(step.now);
        let moved = offset - core::mem::replace(&mut self.clock.offset, offset);
        if moved.unsigned_abs() > u128::from(CLOCK_JUMP) {
            let is_back = moved < 0;
            if is_back && self.rules.hold(Rule::StepBackErasesPrekeys) {
                self.clock.back = Some(step.now.mono);
            }
            self.clock_jumped(step);
            self.renew_prekeys(is_back, step);
            self.time_has_moved(step);
        }
    }

    /// At a start, once the past is taken up.
    pub(crate) fn judge_clock(&mut self, step: &mut Step<'_>) {
        if let Some(until) = self.clock.suspended.as_ref().map(|suspended| suspended.until) {
            self.timers.set(until, Why::ClockSteady);
            step.ask(Effect::Report(Event::ClockJumped));
        } else if !self.clock.fits_last(step.wall()) {
            self.clock_jumped(step);
        }
        self.note_clock(step);
    }

    fn clock_jumped(&mut self, step: &mut Step<'_>) {
        if !self.rules.hold(Rule::JumpSuspendsExpiry) {
            return;
        }
        let until = step.now.mono.after(CLOCK_STEADY);
        if let Some(suspended) = &mut self.clock.suspended {
            self.timers.clear(suspended.until, Why::ClockSteady);
            suspended.until = until;
        } else {
            let entry = self.ledger.put(&Entry::ClockSuspended(step.wall()));
            self.clock.suspended = Some(Suspended { entry, until });
        }
        self.timers.set(until, Why::ClockSteady);
        self.stats.clock_jumps += 1;
        step.ask(Effect::Report(Event::ClockJumped));
    }

    /// What was sealed and recorded before a step back could be timely a second time: what opens it goes at once. After a
    /// step ahead the prekeys may be past their last moment.
    fn renew_prekeys(&mut self, is_back: bool, step: &mut Step<'_>) {
        let agents: Vec<AgentId> = self.locals.agents.keys().copied().collect();
        for agent in agents {
            if is_back && self.rules.hold(Rule::StepBackErasesPrekeys) {
                self.erase_prekeys(agent, step);
            }
            self.next_prekey(agent, step);
        }
    }

    /// The clock has been steady for long enough since it jumped last.
    pub(crate) fn clock_steady(&mut self, at: Mono, step: &mut Step<'_>) {
        if self.clock.suspended.as_ref().is_some_and(|suspended| suspended.until == at) {
            self.trust_clock(step);
        }
    }

    /// What expires may expire again. Whether it was suspended.
    pub(crate) fn trust_clock(&mut self, step: &mut Step<'_>) -> bool {
        let Some(suspended) = self.clock.suspended.take() else { return false };
        self.timers.clear(suspended.until, Why::ClockSteady);
        self.ledger.forget(suspended.entry);
        self.arm_expiries(step);
        self.write_clock(step);
        step.ask(Effect::Report(Event::ClockTrusted));
        true
    }

    /// Notes the clock now and again, so that the next start can judge its own.
    pub(crate) fn note_clock(&mut self, step: &mut Step<'_>) {
        self.timers.set(step.now.mono.after(CLOCK_NOTED_EVERY), Why::NoteClock);
        if !self.clock.is_suspended() {
            self.write_clock(step);
        }
    }

    pub(crate) fn write_clock(&mut self, step: &Step<'_>) {
        let entry = self.ledger.put(&Entry::Clock(step.wall()));
        if let Some(before) = self.clock.remember(step.wall(), entry) {
            self.ledger.forget(before);
        }
    }

    /// Deadlines were set by a clock that has moved since: all of them are set anew.
    fn arm_expiries(&mut self, step: &Step<'_>) {
        let now = step.now;
        for (pair, out) in &mut self.outbox.pairs {
            for owned in out.flows.iter_mut().flat_map(|flow| flow.owned.values_mut()) {
                self.timers.clear(owned.expires, Why::OwnedExpires(*pair, owned.letter.id));
                owned.expires = now.when(owned.letter.expiry);
                self.timers.set(owned.expires, Why::OwnedExpires(*pair, owned.letter.id));
            }
        }
        for (agent, mailbox) in &mut self.mailboxes.boxes {
            for (order, item) in mailbox.items.iter_mut().filter(|(_, item)| item.is_message()) {
                self.timers.clear(item.expires, Why::ReceivedExpires(*agent, *order));
                item.expires = now.when(item.received.letter.expiry);
                self.timers.set(item.expires, Why::ReceivedExpires(*agent, *order));
            }
        }
        for awaited in self.stubs.iter_mut() {
            let crate::stubs::Awaited { stub, ends, .. } = awaited;
            let why = Why::StubEnds(stub.source, stub.destination, stub.id);
            self.timers.clear(*ends, why);
            *ends = now.when(stub.expiry.saturating_add(proto::limits::OUTCOME_WAIT));
            self.timers.set(*ends, why);
        }
        let marked = self.inbox.flows.iter().filter(|(_, flow)| flow.has_mark);
        let marks: Vec<(Pair, u64)> = marked.map(|(pair, flow)| (*pair, flow.keep_until)).collect();
        for (pair, keep_until) in marks {
            self.timers.set(now.when(keep_until), Why::MarkEnds(pair));
        }
        self.rearm_dead_end(step);
        self.arm_ends(step);
    }
}
