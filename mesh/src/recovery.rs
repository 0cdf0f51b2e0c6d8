//! What the journal held becomes a living node again.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use proto::entry::{DeadLetter, Entry, EntryNumber, Letter, Parts, Place, Received, Stub};
use proto::limits::OUTCOME_WAIT;
use proto::{ErrorCode, FlowKind};

use crate::dead::{Corpse, Home};
use crate::effect::Effect;
use crate::input::{Past, PastEntry, PastError};
use crate::mailbox::{Item, State};
use crate::node::Node;
use crate::outbox::Owned;
use crate::pair::Pair;
use crate::rules::Rule;
use crate::sending::kind_of;
use crate::step::Step;
use crate::timers::Why;

/// An owned message as the journal has it, and its last place.
struct OwnedPast {
    letter: Letter,
    place: Place,
    bytes: usize,
    moved: Option<EntryNumber>,
}

/// What other entries say of a message.
#[derive(Default)]
struct Said {
    died: Option<(EntryNumber, u16, u64)>,
    revived: Option<(EntryNumber, u64, u64)>,
}

impl Said {
    /// Takes what belongs to an entry. A new life counts where it is.
    fn take(all: &mut BTreeMap<EntryNumber, Self>, entry: EntryNumber, letter: &mut Letter) -> Self {
        let said = all.remove(&entry).unwrap_or_default();
        if let Some((_, _, expiry)) = said.revived {
            letter.expiry = expiry;
        }
        said
    }

    fn entries(&self) -> impl Iterator<Item = EntryNumber> {
        let died = self.died.map(|(entry, _, _)| entry);
        died.into_iter().chain(self.revived.map(|(entry, _, _)| entry))
    }
}

impl Node {
    /// Takes up the past. Nothing is sent or delivered here.
    pub(crate) fn recover(&mut self, past: Past, step: &mut Step<'_>) -> Result<(), PastError> {
        let Past { entries, highest, is_clean, is_reborn } = past;
        if let Some((entry, _)) = entries.iter().find(|(entry, _)| entry.get() > highest) {
            return Err(PastError::Number { entry: *entry });
        }
        let mut owned = BTreeMap::new();
        let mut received = Vec::new();
        let mut said: BTreeMap<EntryNumber, Said> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut spent = Vec::new();
        let mut births = Vec::new();
        for (number, past) in entries {
            match past {
                PastEntry::Agent(known) => {
                    self.locals.remember(known.get().id, &known.get().record);
                    let effect = Effect::LearnAgent(known.clone());
                    spent.extend(self.directory.insert_agent(known, number));
                    step.ask(effect);
                }
                PastEntry::Node(known) => {
                    step.ask(Effect::LearnNode(known.clone()));
                    spent.extend(self.directory.insert_node(known, number));
                }
                PastEntry::Entry(Entry::Owned { letter, place, .. }, bytes) => {
                    owned.insert(number, OwnedPast { letter, place, bytes, moved: None });
                }
                PastEntry::Entry(Entry::Moved(entry, place), _) => match owned.get_mut(&entry) {
                    Some(past) => {
                        past.place = place;
                        past.letter.again = true;
                        spent.extend(past.moved.replace(number));
                    }
                    None => spent.push(number),
                },
                PastEntry::Entry(Entry::Received { received: past, .. }, bytes) => {
                    received.push((number, past, bytes));
                }
                PastEntry::Entry(Entry::Stub(stub), _) => self.recover_stub(number, stub, step),
                PastEntry::Entry(Entry::Mark(mark), _) => spent.extend(self.inbox.insert_mark(&mark, number)),
                PastEntry::Entry(Entry::Birth(wall), _) => {
                    self.birth = self.birth.max(Some(wall));
                    births.push(number);
                }
                PastEntry::Entry(Entry::MarksDropped(wall), _) => {
                    self.marks_dropped = self.marks_dropped.max(wall);
                    spent.extend(self.marks_dropped_entry.replace(number));
                }
                PastEntry::Entry(Entry::Delivered(entries), _) => {
                    seen.extend(entries);
                    spent.push(number);
                }
                PastEntry::Entry(Entry::Dead { dead, .. }, bytes) => self.recover_corpse(number, &dead, bytes),
                PastEntry::Entry(Entry::Died { entry, code, since }, _) => {
                    let before = said.entry(entry).or_default().died.replace((number, code, since));
                    spent.extend(before.map(|(before, _, _)| before));
                }
                PastEntry::Entry(Entry::Revived { entry, timestamp, expiry }, _) => {
                    let before = said.entry(entry).or_default().revived.replace((number, timestamp, expiry));
                    spent.extend(before.map(|(before, _, _)| before));
                }
                PastEntry::Entry(Entry::Clock(wall), _) => spent.extend(self.clock.remember(wall, number)),
                PastEntry::Entry(Entry::ClockSuspended(_), _) => {
                    spent.extend(self.clock.remember_suspended(number, step.now));
                }
                // Records come as what they say.
                PastEntry::Entry(Entry::Record(_), _) => {}
            }
        }
        for (number, past) in owned {
            self.recover_owned(number, past, &mut said, step)?;
        }
        let may_be_seen = (!is_clean && self.rules.hold(Rule::UncleanMarksMailbox))
            || (is_reborn && self.rules.hold(Rule::RebornMarksMailbox));
        for (number, past, bytes) in received {
            self.recover_received((number, past, bytes), may_be_seen, &mut said, step);
        }
        spent.extend(said.values().flat_map(Said::entries));
        self.arm_dead_end(step);
        self.recover_seen(&seen);
        self.pair_outcomes();
        self.set_mark_timers(step);
        spent.into_iter().for_each(|entry| self.ledger.forget(entry));
        if is_reborn {
            births.into_iter().for_each(|entry| self.ledger.forget(entry));
            self.birth = Some(step.wall());
            self.ledger.put(&Entry::Birth(step.wall()));
        }
        Ok(())
    }

    /// An attempt is taken to have left in an earlier run.
    fn recover_owned(
        &mut self,
        number: EntryNumber,
        past: OwnedPast,
        said: &mut BTreeMap<EntryNumber, Said>,
        step: &Step<'_>,
    ) -> Result<(), PastError> {
        let OwnedPast { mut letter, place, bytes, moved } = past;
        let Said { died, revived } = Said::take(said, number, &mut letter);
        if let Some((_, timestamp, _)) = revived {
            letter.timestamp = timestamp;
        }
        let revived = revived.map(|(entry, _, _)| entry);
        if let Some((note, code, since)) = died {
            moved.into_iter().chain(revived).for_each(|entry| self.ledger.forget(entry));
            let corpse = Corpse { letter, code: error_code(code), bytes, home: Home::Outbox, peer: None };
            self.recover_dead((since, number), corpse, Some(note));
            return Ok(());
        }
        let pair = Pair { source: letter.source, destination: letter.destination, kind: kind_of(&letter) };
        let expires = step.now.when(letter.expiry);
        let host = self.directory.host(letter.destination);
        let owned = Owned { moved, revived, host, is_synced: true, ..Owned::of(letter, number, bytes, expires) };
        self.timers.set(expires, Why::OwnedExpires(pair, letter.id));
        if let Some(before) = self.outbox.insert(pair, place, owned) {
            return Err(PastError::SamePlace { first: before.entry, second: number });
        }
        if let Some(flow) = self.outbox.pairs.get_mut(&pair).and_then(|out| out.flow(place.flow)) {
            flow.rewind();
            // Whatever of it was sent before the stop may be confirmed any time.
            flow.highest_sent = flow.highest_sent.max(place.sequence);
        }
        Ok(())
    }

    fn recover_received(
        &mut self,
        (number, mut received, bytes): (EntryNumber, Received, usize),
        may_be_seen: bool,
        said: &mut BTreeMap<EntryNumber, Said>,
        step: &Step<'_>,
    ) {
        let Said { died, revived } = Said::take(said, number, &mut received.letter);
        let revived = revived.map(|(entry, _, _)| entry);
        if let Some((note, code, since)) = died {
            revived.into_iter().for_each(|entry| self.ledger.forget(entry));
            let letter = received.letter;
            let peer = Some(received.source_node).filter(|node| *node != self.node_id());
            let home = Home::Mailbox(received);
            let corpse = Corpse { letter, code: error_code(code), bytes, home, peer };
            self.recover_dead((since, number), corpse, Some(note));
            return;
        }
        let item = Item {
            received: Received { marked: received.marked || revived.is_some(), ..received },
            entry: number,
            revived,
            bytes,
            parts: None::<Parts>,
            is_synced: true,
            tries: 0,
            failures: 0,
            state: State::Ready,
            may_be_seen,
            teller: None,
            expires: step.now.when(received.letter.expiry),
        };
        let place = self.mailboxes.insert(item);
        self.set_expiry(place);
    }

    /// A dead letter that says itself what it is.
    fn recover_corpse(&mut self, number: EntryNumber, dead: &DeadLetter, bytes: usize) {
        let DeadLetter { letter, code, since } = *dead;
        let host = self.directory.host(letter.source);
        let peer = host.filter(|node| *node != self.node_id());
        let corpse = Corpse { letter, code: error_code(code), bytes, home: Home::Nowhere, peer };
        self.recover_dead((since, number), corpse, None);
    }

    fn recover_stub(&mut self, number: EntryNumber, stub: Stub, step: &Step<'_>) {
        let ends = step.now.when(stub.expiry.saturating_add(OUTCOME_WAIT));
        self.stubs.insert(stub, number, ends);
        if let Some(awaited) = self.stubs.find(stub.source, stub.destination, stub.id) {
            awaited.is_synced = true;
            awaited.is_past = true;
        }
        self.timers.set(ends, Why::StubEnds(stub.source, stub.destination, stub.id));
    }

    fn recover_seen(&mut self, seen: &BTreeSet<EntryNumber>) {
        for item in self.mailboxes.boxes.values_mut().flat_map(|mailbox| mailbox.items.values_mut()) {
            item.may_be_seen |= seen.contains(&item.entry);
        }
    }

    /// An answer that lies in the mailbox of the one who asked is the outcome that its stub waits for.
    fn pair_outcomes(&mut self) {
        let items = self.mailboxes.boxes.values().flat_map(|mailbox| mailbox.items.values());
        for letter in items.map(|item| item.received.letter).filter(|letter| kind_of(letter) == FlowKind::Answers) {
            if let Some(awaited) = self.stubs.find(letter.destination, letter.source, letter.id) {
                awaited.has_outcome = true;
            }
        }
    }

    fn set_mark_timers(&mut self, step: &Step<'_>) {
        self.inbox.flows.count(|pair| self.directory.host(pair.source));
        for (pair, flow) in self.inbox.flows.iter_mut() {
            flow.has_timer = true;
            self.timers.set(step.now.when(flow.keep_until), Why::MarkEnds(*pair));
        }
    }
}

fn error_code(code: u16) -> ErrorCode {
    ErrorCode::new(code).unwrap_or(ErrorCode::SERVER)
}
