//! What the model makes of each transaction: when it is asked for, and when it is synced.

use std::collections::BTreeSet;

use mesh::Change;
use proto::MessageType;
use proto::entry::{Entry, EntryNumber, Letter, Place, Received, Stub};
use proto::limits::STUBS_MAX;

use super::{Model, PairKey};
use crate::account::{Key, View, is_answer, key_of_stub, pair_of_mark};
use crate::fault::Promise;

/// What one transaction does, taken together.
#[derive(Default)]
struct Together {
    owned: BTreeSet<Key>,
    received: BTreeSet<Key>,
    marks: BTreeSet<PairKey>,
    dead: BTreeSet<Key>,
}

impl Model {
    /// A node asks for a transaction.
    pub(crate) fn asked(&mut self, node: usize, changes: &[Change], wall: u64) {
        let mut together = Together::default();
        let mut forgotten = Vec::new();
        for change in changes {
            match change {
                Change::Put(number, bytes) => match Entry::read(bytes.clone()) {
                    Ok(entry) => {
                        let dies = if let Entry::Died { entry, .. } = &entry { Some(*entry) } else { None };
                        let letter = dies.and_then(|dead| self.accounts.get(node)?.asked.entries.get(&dead).cloned());
                        self.put(node, *number, entry, &mut together);
                        forgotten.extend(letter);
                    }
                    Err(error) => {
                        let what = format!("an entry cannot be read again: {error}");
                        self.fault(Promise::HostIsUsable, Some(node), None, what);
                    }
                },
                Change::Forget(number) => {
                    let Some(account) = self.accounts.get_mut(node) else { continue };
                    forgotten.extend(account.asked.forget(*number));
                }
            }
        }
        self.judge_marks(node, &together);
        for entry in forgotten {
            self.judge_forgotten(node, &entry, &together, wall);
        }
    }

    fn put(&mut self, node: usize, number: EntryNumber, entry: Entry, together: &mut Together) {
        let Some(account) = self.accounts.get(node) else { return };
        let key = account.asked.key_of(&entry);
        let moves = matches!(&entry, Entry::Moved(..));
        let is_doubled = key.is_some_and(|key| !moves && account.asked.owned.contains_key(&key));
        if let (Entry::Moved(_, place), Some(key)) = (&entry, key) {
            self.moved(node, key, *place);
        } else if let Entry::Owned { letter, place, .. } = &entry {
            together.owned.insert(Key::of(letter));
            self.put_owned(node, letter, *place);
            if is_doubled && !is_answer(letter.message_type) {
                self.fault(Promise::OneMessage, Some(node), key, "one id is owned twice");
            }
        } else if let Entry::Received { received, .. } = &entry {
            together.received.insert(Key::of(&received.letter));
            self.put_received(node, received);
        } else if let Entry::Mark(mark) = &entry {
            together.marks.insert(pair_of_mark(mark));
        } else if let Entry::Dead { dead, .. } = &entry {
            together.dead.insert(Key::of(&dead.letter));
            self.tally.dead += 1;
        } else if let (Entry::Died { .. }, Some(key)) = (&entry, key) {
            together.dead.insert(key);
            self.tally.dead += 1;
        }
        if let Entry::Stub(stub) = &entry {
            self.judge_stubs(node, stub);
        }
        let Some(account) = self.accounts.get_mut(node) else { return };
        if let Entry::Birth(wall) = &entry {
            account.birth = account.birth.max(Some(*wall));
        }
        let is_doubled = account.asked.put(number, entry) == Some("received");
        // Damage can take a mark and leave its message; then both copies are marked, which is all that is promised.
        if is_doubled && !account.has_rotted {
            self.fault(Promise::OneMessage, Some(node), key, "one id lies twice in a mailbox");
        }
    }

    /// A place is one message's, in all lives of its source.
    fn take_place(&mut self, node: usize, key: Key, place: Place) {
        let before = self.places.insert((key.pair, place.flow, place.sequence), key);
        if before.is_some_and(|before| before != key) {
            let what = format!("place {} of flow {} was another's", place.sequence, place.flow.get());
            self.fault(Promise::OneMessage, Some(node), Some(key), what);
        }
    }

    fn judge_stubs(&mut self, node: usize, stub: &Stub) {
        let Some(account) = self.accounts.get(node) else { return };
        let count = account.asked.stubs.keys().filter(|key| key.pair.source == stub.source).count();
        if count >= STUBS_MAX && !account.asked.stubs.contains_key(&key_of_stub(stub)) {
            let what = format!("one agent awaits {} ends", count + 1);
            self.fault(Promise::BoundsHold, Some(node), Some(key_of_stub(stub)), what);
        }
    }

    fn moved(&mut self, node: usize, key: Key, place: Place) {
        self.take_place(node, key, place);
        let mail = self.mail_of(key);
        if !mail.is_renumbered {
            mail.is_renumbered = true;
            self.tally.renumbered += 1;
        }
    }

    fn put_owned(&mut self, node: usize, letter: &Letter, place: Place) {
        let key = Key::of(letter);
        let is_new = self.accounts.get(node).is_some_and(|account| !account.asked.owned.contains_key(&key));
        self.take_place(node, key, place);
        if !self.homes.contains_key(&key.pair.destination) {
            self.fault(Promise::OneMessage, Some(node), Some(key), "accepted for an agent that nobody knows");
        }
        self.order += 1;
        let order = self.order;
        let mail = self.mail_of(key);
        if is_new {
            mail.order = Some(order);
        }
        mail.timestamp = letter.timestamp;
        mail.expiry = letter.expiry;
        if mail.source_node != node {
            self.fault(Promise::HostIsUsable, Some(node), Some(key), "a node owns what another's agent said");
        }
    }

    fn put_received(&mut self, node: usize, received: &Received) {
        let key = Key::of(&received.letter);
        let starts = self.accounts.get(node).map_or(0, |account| account.starts);
        let home = self.homes.get(&received.source_node.agent()).copied();
        self.order += 1;
        let order = self.order;
        let mail = self.mail_of(key);
        mail.was_received = true;
        mail.received_start = starts;
        let is_local = mail.source_node == node;
        if is_local {
            mail.order = Some(order);
            mail.timestamp = received.letter.timestamp;
            mail.expiry = received.letter.expiry;
        }
        // Nobody but its node made up an end that stands in for one that did not come.
        mail.received_order = mail.order.filter(|_| home == Some(mail.source_node));
        let is_true = mail.timestamp == received.letter.timestamp && mail.expiry == received.letter.expiry;
        let was_acknowledged = mail.was_acknowledged && received.letter.again;
        if was_acknowledged {
            // It comes once more, and may be acknowledged once more.
            mail.was_acknowledged = false;
            mail.may_be_acknowledged = false;
        }
        // An answer may be one that this node made up itself, in place of one that did not come.
        if !key.pair.answers && !is_true && !mail.is_renumbered && mail.submissions < 2 && mail.excuse.is_none() {
            self.fault(Promise::HostIsUsable, Some(node), Some(key), "timestamp or expiry changed on the way");
        }
    }

    /// A message and the mark that counts it are one transaction.
    fn judge_marks(&mut self, node: usize, together: &Together) {
        for key in &together.received {
            let is_remote = self.mail.get(key).is_some_and(|mail| mail.source_node != node);
            if is_remote && !key.pair.answers && !together.marks.contains(&key.pair) {
                self.fault(Promise::OneTransaction, Some(node), Some(*key), "a message without its mark");
            }
        }
    }

    fn judge_forgotten(&mut self, node: usize, entry: &Entry, together: &Together, wall: u64) {
        if let Entry::Owned { letter, .. } = entry {
            self.judge_no_longer_owned(node, letter, together, wall);
        } else if let Entry::Received { received, .. } = entry {
            self.judge_left_mailbox(node, &received.letter, together, wall);
        } else if let Entry::Stub(stub) = entry {
            self.judge_stub_gone(node, stub, wall);
        }
    }

    fn judge_no_longer_owned(&mut self, node: usize, letter: &Letter, together: &Together, wall: u64) {
        let key = Key::of(letter);
        if together.owned.contains(&key) {
            return;
        }
        self.gone.insert(key);
        let lied = self.liars.contains(&key.pair);
        if let Some(mail) = self.mail.get_mut(&key).filter(|mail| lied && mail.attempts > 0) {
            mail.excuse = Some("its destination lied");
        }
        let is_forgiven = self.is_forgiven(node);
        let Some(mail) = self.mail.get(&key) else { return };
        let fits = mail.was_stored
            || wall >= mail.expiry
            || mail.is_unfit
            || mail.excuse.is_some()
            || is_forgiven
            || self.is_forgiven(mail.destination_node);
        let is_told_now = self.told_now.contains(&(key.pair.source, key.id));
        let is_told =
            is_told_now || !mail.ends.is_empty() || mail.refused.is_some() || mail.was_stored || letter.handled_wanted;
        let is_silent = !is_told && !key.pair.answers && !together.dead.contains(&key) && mail.excuse.is_none();
        if !fits {
            let what = "given up by its source before its destination had it on disk";
            self.fault(Promise::NothingIsLost, Some(node), Some(key), what);
        } else if is_silent && !is_forgiven {
            let what = "given up by its source, and neither told nor a dead letter";
            self.fault(Promise::NothingIsLost, Some(node), Some(key), what);
        }
        self.judge_expiry(node, key);
    }

    /// A clock that has just jumped ends nothing.
    fn judge_expiry(&mut self, node: usize, key: Key) {
        let Some(mail) = self.mail.get(&key) else { return };
        let went_well = mail.was_stored || mail.was_acknowledged || mail.may_be_acknowledged || mail.is_unfit;
        let is_free = mail.excuse.is_some() || self.is_forgiven(node) || self.is_forgiven(mail.destination_node);
        let given_up = mail.deliveries >= self.deliveries_max;
        let until = self.accounts.get(node).map_or(0, |account| account.suspended_until);
        if self.now < until && !went_well && !is_free && !given_up && !key.pair.answers {
            let what = "it expired by a clock that had just jumped";
            self.fault(Promise::NothingIsLost, Some(node), Some(key), what);
        }
    }

    fn judge_left_mailbox(&mut self, node: usize, letter: &Letter, together: &Together, wall: u64) {
        let key = Key::of(letter);
        let is_forgiven = self.is_forgiven(node);
        let Some(mail) = self.mail.get(&key) else { return };
        let fits = mail.was_acknowledged
            || mail.may_be_acknowledged
            || wall >= mail.expiry && !key.pair.answers
            || mail.deliveries >= self.deliveries_max
            || mail.is_refused
            || mail.excuse.is_some()
            || is_forgiven;
        let is_handled = mail.was_acknowledged || mail.may_be_acknowledged || mail.excuse.is_some() || is_forgiven;
        let is_told_now = self.told_now.contains(&(key.pair.source, key.id));
        let is_silent =
            !is_handled && !is_told_now && !letter.handled_wanted && !together.dead.contains(&key) && mail.was_stored;
        let expired_early = !is_handled
            && !mail.is_refused
            && mail.deliveries < self.deliveries_max
            && !key.pair.answers
            && self.accounts.get(node).is_some_and(|account| self.now < account.suspended_until);
        if !fits {
            let what = "left the mailbox, and its agent has not acknowledged it under a number that counts";
            self.fault(Promise::NothingIsLost, Some(node), Some(key), what);
        } else if is_silent && !key.pair.answers {
            let what = "left the mailbox, and neither told nor a dead letter";
            self.fault(Promise::NothingIsLost, Some(node), Some(key), what);
        } else if expired_early {
            let what = "it expired in the mailbox by a clock that had just jumped";
            self.fault(Promise::NothingIsLost, Some(node), Some(key), what);
        }
        let answer = key.reverse();
        // A copy that came again goes with the answer that the first one has.
        let has_answer = self.accounts.get(node).is_some_and(|account| account.asked.owned.contains_key(&answer));
        let has_outcome = has_answer || together.owned.contains(&answer) || together.received.contains(&answer);
        // Between two agents of one node the stub is there to see that nobody waits.
        let waits = match self.accounts.get(node) {
            Some(account) if self.homes.get(&letter.source) == Some(&node) => account.asked.stubs.contains_key(&key),
            Some(_) | None => letter.handled_wanted,
        };
        let ends = letter.handled_wanted && letter.message_type != MessageType::Response && !key.pair.answers;
        // Whoever is out is told nothing any more.
        let is_out = self.homes.get(&letter.source).is_some_and(|home| self.out_nodes.contains(home));
        if ends && waits && !has_outcome && !is_forgiven && !is_out {
            let what = "left the mailbox, and its end is not in the same transaction";
            self.fault(Promise::OneTransaction, Some(node), Some(key), what);
        }
    }

    fn judge_stub_gone(&mut self, node: usize, stub: &Stub, wall: u64) {
        let key = key_of_stub(stub);
        let is_forgiven = self.is_forgiven(node);
        let answer = self.mail.get(&key.reverse());
        let was_told = answer.is_some_and(|answer| {
            answer.was_acknowledged || answer.may_be_acknowledged || answer.deliveries >= self.deliveries_max
        });
        let is_excused = self.mail.get(&key).is_none_or(|mail| mail.excuse.is_some());
        let waited = wall >= stub.expiry.saturating_add(proto::limits::OUTCOME_WAIT);
        if !was_told && !is_excused && !is_forgiven && !waited {
            let what = "nobody waits for its end any more, and its agent has not acknowledged one";
            self.fault(Promise::NothingIsLost, Some(node), Some(key), what);
        }
    }

    /// A node's transaction is synced.
    pub(crate) fn synced(&mut self, node: usize, changes: &[Change]) {
        for change in changes {
            let Some(account) = self.accounts.get_mut(node) else { return };
            account.synced.apply(change);
            if let Change::Put(_, bytes) = change
                && let Ok(entry) = Entry::read(bytes.clone())
            {
                self.is_on_disk(node, &entry);
            }
        }
    }

    fn is_on_disk(&mut self, node: usize, entry: &Entry) {
        if let Entry::Owned { letter, .. } = entry {
            let mail = self.mail_of(Key::of(letter));
            let is_new = !mail.was_owned;
            mail.was_owned = true;
            self.tally.accepted += u64::from(is_new);
        } else if let Entry::Received { received, .. } = entry {
            let mail = self.mail_of(Key::of(&received.letter));
            let is_new = !mail.was_owned && mail.source_node == node;
            mail.was_stored = true;
            mail.was_owned |= is_new;
            self.tally.accepted += u64::from(is_new);
        } else if let Entry::Mark(mark) = entry {
            self.mark_is_on_disk(pair_of_mark(mark), mark.place);
        }
    }

    /// Answers that nobody waits for, and messages whose content is refused, are settled by a mark alone.
    fn mark_is_on_disk(&mut self, pair: PairKey, place: Place) {
        let from = self.marked.insert((pair, place.flow), place.sequence).unwrap_or(0).min(place.sequence);
        let covered = self.places.range((pair, place.flow, from)..=(pair, place.flow, place.sequence));
        let covered: Vec<_> = covered.map(|(_, key)| *key).collect();
        for key in covered {
            if let Some(mail) = self.mail.get_mut(&key)
                && (pair.answers || mail.is_unfit)
            {
                mail.was_stored = true;
            }
        }
    }

    /// A node has started: this is what it found.
    pub(crate) fn started(&mut self, node: usize, found: Vec<(EntryNumber, Entry)>, is_clean: bool) {
        let Some(account) = self.accounts.get_mut(node) else { return };
        let before = std::mem::take(&mut account.synced);
        let rots = std::mem::take(&mut account.rots);
        account.starts += 1;
        if !is_clean {
            account.unclean_start = account.starts;
        }
        account.asked = View::default();
        for (number, entry) in found {
            account.asked.put(number, entry);
        }
        account.synced = account.asked.clone();
        // A forget that was not synced may have arrived all the same; anything else must be there.
        let lost = before.owned.keys().find(|key| !account.asked.owned.contains_key(key) && !self.gone.contains(key));
        if let Some(lost) = lost.copied().filter(|_| !rots) {
            self.fault(Promise::HostIsUsable, Some(node), Some(lost), "the store lost what was synced");
        }
        self.gone.clear();
        let Some(account) = self.accounts.get_mut(node) else { return };
        let entries: Vec<_> = account.asked.entries.values().cloned().collect();
        for entry in &entries {
            self.is_on_disk(node, entry);
        }
        if let Some(out) = self.out.get_mut(node) {
            out.clear();
        }
    }
}
