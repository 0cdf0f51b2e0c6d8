//! How a message ends that is not stored at its destination: by its own clock, by an operator, or because the disk lost it.
//! Its sender is told, or it becomes a dead letter.

use proto::entry::{Parts, Place};
use proto::{ErrorCode, MessageId};

use crate::dead::{Corpse, Home};
use crate::history::{Moment, What};
use crate::node::Node;
use crate::outbox::Owned;
use crate::pair::Pair;
use crate::rules::Rule;
use crate::step::Step;
use crate::timers::Why;

impl Node {
    /// A message that was not stored in time is no longer owned. What is at the floor then leaves at once, so that
    /// the other end does not wait for it.
    pub(crate) fn owned_expires(&mut self, pair: Pair, id: MessageId, step: &mut Step<'_>) {
        if self.clock.is_suspended() {
            // Looked at again when the clock is trusted.
            return;
        }
        if let Some(owned) = self.outbox.find(pair, id).filter(|owned| owned.letter.expiry > step.wall()) {
            owned.expires = step.now.when(owned.letter.expiry);
            self.timers.set(owned.expires, Why::OwnedExpires(pair, id));
            return;
        }
        self.stats.expired += 1;
        self.end_owned(pair, id, ErrorCode::EXPIRED, What::Expired, step);
    }

    /// An operator takes a message out that is not stored yet. Whether it was there.
    pub(crate) fn withdraw(&mut self, pair: Pair, id: MessageId, step: &mut Step<'_>) -> bool {
        self.end_owned(pair, id, ErrorCode::POLICY, What::Withdrawn, step)
    }

    /// A message is owned no longer although it is not stored. `code` is how that is told if no attempt has left;
    /// otherwise it may have arrived.
    fn end_owned(&mut self, pair: Pair, id: MessageId, code: ErrorCode, what: What, step: &mut Step<'_>) -> bool {
        let Some(place) = self.outbox.place(pair, id) else { return false };
        let Some(owned) = self.outbox.remove(pair, place) else { return false };
        let left = owned.has_left && self.rules.hold(Rule::AttemptLeftTells4004);
        let code = if left { ErrorCode::TIMEOUT } else { code };
        self.history.note(Moment::of(what, &owned.letter).code(code), step);
        self.give_up_owned(&owned, code, step);
        if self.rules.hold(Rule::ExpiryPassesFloor) {
            self.refloored.insert(pair);
        }
        true
    }

    /// What was owned cannot be read back.
    pub(crate) fn owned_lost(&mut self, pair: Pair, place: Place, step: &mut Step<'_>) {
        let Some(owned) = self.outbox.remove(pair, place) else { return };
        self.history.note(Moment::of(What::Lost, &owned.letter), step);
        self.give_up_owned(&owned, ErrorCode::STORAGE, step);
        self.refloored.insert(pair);
    }

    /// Its sender is told; if nobody can be, it becomes a dead letter.
    fn give_up_owned(&mut self, owned: &Owned, code: ErrorCode, step: &mut Step<'_>) {
        self.stop_expiry(owned);
        let is_told =
            !self.rules.hold(Rule::ExpiredTellsSender) || self.end_untaken(&owned.letter, code, owned.teller, step);
        owned.notes().for_each(|entry| self.ledger.forget(entry));
        let is_lost = code == ErrorCode::STORAGE;
        let is_kept = !is_told && self.rules.hold(Rule::UntoldBecomesDead);
        if is_kept {
            let home = if is_lost { Home::Nowhere } else { Home::Outbox };
            let corpse = Corpse { letter: owned.letter, code, bytes: owned.bytes, home, peer: None };
            self.bury(corpse, (!is_lost).then_some(owned.entry), Parts::default(), step);
        }
        if is_lost || !is_kept {
            self.ledger.forget(owned.entry);
        }
    }
}
