//! What the journal's thread does, batch by batch: append, sync once, say so; load; win room back when there is time.

use std::sync::Arc;
use std::time::Duration;

use mesh::{Change, TransactionNumber};
use proto::entry::{Entry, EntryNumber, Parts};
use proto::limits;
use store::{FileDisk, RecordNumber, Store, StoreError, Transaction};
use tokio::sync::{mpsc, watch};

use super::JournalAsk;
use super::days::Days;
use crate::Failure;
use crate::clock::Clock;
use crate::telemetry::counters::JournalCounters;

/// Between two attempts to append to a disk that has no room.
const ROOM_PAUSE: Duration = Duration::from_millis(200);

/// The store and the keys of what lies in it.
#[derive(Debug)]
pub(crate) struct Worker {
    store: Store<FileDisk>,
    days: Days,
    /// Needed no more once what says so is synced.
    forgotten: Vec<u64>,
    /// Something was put since the last sync, and somebody waits for it. What is only forgotten may come back after a
    /// crash: it would be sent or delivered again, marked, so nobody waits and it is synced with what comes next.
    has_promise: bool,
    unsynced: Option<TransactionNumber>,
    /// Bytes appended since room was last won back.
    appended: usize,
    has_garbage: bool,
    counters: Arc<JournalCounters>,
}

enum Next {
    More,
    Close,
}

impl Worker {
    pub(super) fn new(store: Store<FileDisk>, days: Days) -> Self {
        Self {
            store,
            days,
            forgotten: Vec::new(),
            has_promise: false,
            unsynced: None,
            appended: 0,
            has_garbage: true,
            counters: Arc::default(),
        }
    }

    pub(super) const fn counters(&self) -> &Arc<JournalCounters> {
        &self.counters
    }

    /// Works until it is closed, until nobody can ask any more, or until the store fails.
    pub(super) fn run(
        mut self,
        mut asks: mpsc::Receiver<JournalAsk>,
        stored: &watch::Sender<TransactionNumber>,
        clock: Clock,
    ) -> Result<(), Failure> {
        self.measure();
        loop {
            let Some(first) = self.wait(&mut asks)? else { return Ok(()) };
            let mut upto = self.unsynced.take();
            let mut next = self.take(first, &mut upto, clock)?;
            for _ in 0..limits::JOURNAL_BATCH {
                let Next::More = next else { break };
                let Ok(ask) = asks.try_recv() else { break };
                next = self.take(ask, &mut upto, clock)?;
            }
            let closing = matches!(next, Next::Close);
            if !self.has_promise && !closing && self.forgotten.len() < limits::JOURNAL_FORGETS_UNSYNCED {
                self.unsynced = upto;
            } else if let Some(upto) = upto {
                self.has_promise = false;
                self.sync(clock)?;
                stored.send_replace(upto);
                self.settle(clock);
            }
            if let Next::Close = next {
                return self.store.close().map_err(failed);
            }
            if self.appended >= limits::JOURNAL_TIDY_EVERY_BYTES {
                self.tidy()?;
            }
        }
    }

    fn sync(&mut self, clock: Clock) -> Result<(), Failure> {
        let begun = clock.now().mono;
        self.store.sync().map_err(failed)?;
        self.counters.syncs.note(clock.now().mono.since(begun));
        self.measure();
        Ok(())
    }

    /// For whoever looks from outside.
    fn measure(&self) {
        self.counters.disk_bytes.set(self.store.disk_bytes());
        self.counters.live_bytes.set(self.store.live_bytes() as u64);
    }

    /// The next that is asked. Until then, room is won back step by step.
    fn wait(&mut self, asks: &mut mpsc::Receiver<JournalAsk>) -> Result<Option<JournalAsk>, Failure> {
        while self.has_garbage {
            match asks.try_recv() {
                Ok(ask) => return Ok(Some(ask)),
                Err(mpsc::error::TryRecvError::Disconnected) => return Ok(None),
                Err(mpsc::error::TryRecvError::Empty) => self.tidy()?,
            }
        }
        Ok(asks.blocking_recv())
    }

    fn take(&mut self, ask: JournalAsk, upto: &mut Option<TransactionNumber>, clock: Clock) -> Result<Next, Failure> {
        match ask {
            JournalAsk::Append(transactions) => {
                for (number, changes) in transactions {
                    self.append(changes, clock)?;
                    self.counters.transactions.add(1);
                    *upto = Some(number);
                }
            }
            JournalAsk::Load(entries, reply) => {
                // Whoever asked may be gone.
                drop(reply.send(self.load_some(entries)));
            }
            JournalAsk::Close => return Ok(Next::Close),
        }
        Ok(Next::More)
    }

    fn append(&mut self, changes: Vec<Change>, clock: Clock) -> Result<(), Failure> {
        let wall = clock.now().wall;
        let mut transaction = Transaction::new();
        for change in changes {
            match change {
                Change::Put(entry, body) => {
                    let number = entry.get();
                    let sealed = self.days.seal(number, &body, wall).map_err(failed)?;
                    self.appended += sealed.len();
                    self.counters.appended_bytes.add(sealed.len() as u64);
                    self.has_promise = true;
                    transaction = transaction.put(RecordNumber::new(number), sealed);
                }
                Change::Forget(entry) => {
                    self.forgotten.push(entry.get());
                    transaction = transaction.forget(RecordNumber::new(entry.get()));
                }
            }
        }
        self.append_when_there_is_room(&transaction, clock)
    }

    /// What does not fit waits: transactions keep their order, so nothing behind it could be promised either.
    fn append_when_there_is_room(&mut self, transaction: &Transaction, clock: Clock) -> Result<(), Failure> {
        let give_up = clock.now().mono.after(limits::JOURNAL_ROOM_WAIT);
        let (mut has_waited, mut was_told) = (false, false);
        loop {
            let error = match self.store.append(transaction.clone()) {
                Ok(_) => return Ok(()),
                Err(error @ (StoreError::Full { .. } | StoreError::NoSpace { .. })) => error,
                Err(error) => return Err(failed(error)),
            };
            if !has_waited {
                self.counters.room_waits.add(1);
                has_waited = true;
            }
            let before = self.store.disk_bytes();
            self.has_garbage = true;
            while self.has_garbage {
                self.tidy()?;
            }
            if self.store.disk_bytes() < before {
                continue;
            }
            if clock.now().mono >= give_up {
                return Err(failed(error));
            }
            if !was_told {
                tracing::warn!(%error, "the journal waits for room; nothing is lost and nothing new is promised");
                was_told = true;
            }
            std::thread::sleep(ROOM_PAUSE);
        }
    }

    /// After a sync: what was forgotten will not come back.
    fn settle(&mut self, clock: Clock) {
        if self.forgotten.is_empty() {
            return;
        }
        for number in self.forgotten.drain(..) {
            self.days.forget(number);
        }
        self.has_garbage = true;
        self.days.erase_unneeded(clock.now().wall);
    }

    /// The first of them, as far as they go into memory together.
    fn load_some(&self, entries: Vec<EntryNumber>) -> Vec<Option<Parts>> {
        let (mut loaded, mut bytes) = (Vec::with_capacity(entries.len()), 0);
        for entry in entries {
            let parts = self.load(entry);
            bytes += parts.as_ref().map_or(0, Parts::bytes);
            loaded.push(parts);
            if bytes >= limits::JOURNAL_LOAD_BYTES {
                break;
            }
        }
        loaded
    }

    fn load(&self, entry: EntryNumber) -> Option<Parts> {
        let record = self
            .store
            .load(RecordNumber::new(entry.get()))
            .inspect_err(|error| tracing::debug!(%error, "an entry was not loaded"))
            .ok()?;
        match Entry::read(self.days.unseal(entry.get(), &record)?).ok()? {
            Entry::Owned { parts, .. } | Entry::Received { parts, .. } | Entry::Dead { parts, .. } => Some(parts),
            Entry::Moved(..)
            | Entry::Stub(_)
            | Entry::Mark(_)
            | Entry::Record(_)
            | Entry::Birth(_)
            | Entry::MarksDropped(_)
            | Entry::Delivered(_)
            | Entry::ClockSuspended(_)
            | Entry::Died { .. }
            | Entry::Revived { .. }
            | Entry::Clock(_) => None,
        }
    }

    fn tidy(&mut self) -> Result<(), Failure> {
        self.appended = 0;
        match self.store.tidy(limits::JOURNAL_TIDY_BYTES) {
            Ok(tidied) => {
                self.has_garbage = tidied.more;
                self.measure();
                for number in tidied.lost {
                    tracing::error!(entry = number.get(), "an entry of the journal was damaged, and is lost");
                }
                Ok(())
            }
            // Nothing changed; the next occasion tries again.
            Err(StoreError::Read { .. } | StoreError::Full { .. } | StoreError::NoSpace { .. }) => {
                self.has_garbage = false;
                Ok(())
            }
            Err(error) => Err(failed(error)),
        }
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    let failure = Failure::Journal(error.to_string());
    tracing::error!(%error, "the journal failed; nothing is promised any more");
    failure
}
