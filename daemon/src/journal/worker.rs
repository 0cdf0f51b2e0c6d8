//! What the journal's thread does, batch by batch: append, sync once, say so; load; win room back when there is time.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mesh::{Change, Mono, TransactionNumber, Wall};
use proto::entry::{Entry, EntryNumber, Parts};
use proto::limits;
use store::{FileDisk, RecordNumber, Store, StoreError, Transaction};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::JournalAsk;
use super::days::{Days, SealError};
use crate::Failure;
use crate::clock::{Clock, duration};
use crate::telemetry::counters::JournalCounters;

/// Between two attempts to append to a disk that has no room, not even in reserve.
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
    /// When a disk without room is looked at next.
    next_look: Mono,
}

/// Whom the thread hears and tells.
#[derive(Debug)]
pub(super) struct Says {
    pub(super) queue: mpsc::Receiver<JournalAsk>,
    pub(super) synced: watch::Sender<TransactionNumber>,
    pub(super) room: watch::Sender<bool>,
    /// For waiting with an end.
    pub(super) runtime: Handle,
    pub(super) clock: Clock,
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
            next_look: Mono(0),
        }
    }

    pub(super) const fn counters(&self) -> &Arc<JournalCounters> {
        &self.counters
    }

    /// Works until it is closed, until nobody can ask any more, or until the store fails.
    pub(super) fn run(mut self, says: &mut Says) -> Result<(), Failure> {
        self.store.keep_spares().map_err(failed)?;
        self.tell_room(says);
        self.measure();
        let clock = says.clock;
        loop {
            let Some(first) = self.wait(says)? else { return Ok(()) };
            let mut upto = self.unsynced.take();
            let mut next = self.take(first, &mut upto, says)?;
            for _ in 0..limits::JOURNAL_BATCH {
                let Next::More = next else { break };
                let Ok(ask) = says.queue.try_recv() else { break };
                next = self.take(ask, &mut upto, says)?;
            }
            let closing = matches!(next, Next::Close);
            if !self.has_promise && !closing && self.forgotten.len() < limits::JOURNAL_FORGETS_UNSYNCED {
                self.unsynced = upto;
            } else if let Some(upto) = upto {
                self.has_promise = false;
                self.sync(clock)?;
                says.synced.send_replace(upto);
                self.settle(clock);
            }
            if let Next::Close = next {
                return self.store.close().map_err(failed);
            }
            if self.appended >= limits::JOURNAL_TIDY_EVERY_BYTES {
                self.tidy()?;
            }
            self.look_for_room(says)?;
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
    fn wait(&mut self, says: &mut Says) -> Result<Option<JournalAsk>, Failure> {
        loop {
            while self.has_garbage {
                match says.queue.try_recv() {
                    Ok(ask) => return Ok(Some(ask)),
                    Err(mpsc::error::TryRecvError::Disconnected) => return Ok(None),
                    Err(mpsc::error::TryRecvError::Empty) => self.tidy()?,
                }
            }
            if self.store.has_room() && *says.room.borrow() {
                return Ok(says.queue.blocking_recv());
            }
            let pause = duration(limits::JOURNAL_ROOM_LOOK);
            let next = says.runtime.block_on(async { tokio::time::timeout(pause, says.queue.recv()).await });
            match next {
                Ok(ask) => return Ok(ask),
                Err(_) => self.look_for_room(says)?,
            }
        }
    }

    /// Now and then while there is none: wins back what can be won, and fills the reserve up again.
    fn look_for_room(&mut self, says: &Says) -> Result<(), Failure> {
        let now = says.clock.now().mono;
        if !self.store.has_room() && now >= self.next_look {
            self.next_look = now.after(limits::JOURNAL_ROOM_LOOK);
            self.has_garbage = true;
            self.store.keep_spares().map_err(failed)?;
        }
        self.tell_room(says);
        Ok(())
    }

    fn tell_room(&self, says: &Says) {
        let has_room = self.store.has_room();
        if !says.room.send_if_modified(|told| std::mem::replace(told, has_room) != has_room) {
            return;
        }
        if has_room {
            tracing::info!("there is room again; new messages are taken");
        } else {
            tracing::warn!("there is no room for more; new messages are refused, and what was begun is ended");
        }
    }

    fn take(&mut self, ask: JournalAsk, upto: &mut Option<TransactionNumber>, says: &Says) -> Result<Next, Failure> {
        match ask {
            JournalAsk::Append(transactions) => {
                for (number, changes) in transactions {
                    self.append(changes, says)?;
                    self.counters.transactions.add(1);
                    *upto = Some(number);
                }
            }
            JournalAsk::Load(entries, reply) => {
                // Whoever asked may be gone.
                drop(reply.send(self.load_some(entries)));
            }
            // Whoever asked may be gone.
            JournalAsk::Alive(reply) => drop(reply.send(())),
            JournalAsk::Close => return Ok(Next::Close),
        }
        Ok(Next::More)
    }

    fn append(&mut self, changes: Vec<Change>, says: &Says) -> Result<(), Failure> {
        let wall = says.clock.now().wall;
        let mut transaction = Transaction::new();
        for change in changes {
            match change {
                Change::Put(entry, body) => {
                    let number = entry.get();
                    let sealed = self.seal(number, &body, wall, says)?;
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
        self.append_when_there_is_room(&transaction, says)
    }

    /// The first entry of a day needs a key of its own on the disk, for which a full one has to give up a reserve.
    fn seal(&mut self, number: u64, body: &[u8], wall: Wall, says: &Says) -> Result<Bytes, Failure> {
        let give_up = says.clock.now().mono.after(limits::JOURNAL_ROOM_WAIT);
        loop {
            match self.days.seal(number, body, wall) {
                Err(SealError::Key(error))
                    if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) =>
                {
                    if self.store.give_up_spare().map_err(failed)? {
                        continue;
                    }
                    if says.clock.now().mono >= give_up {
                        return Err(failed(error));
                    }
                    self.tell_room(says);
                    self.counters.looks.add(1);
                    std::thread::sleep(ROOM_PAUSE);
                }
                sealed => return sealed.map_err(failed),
            }
        }
    }

    /// What does not fit, not even into the reserve, waits: transactions keep their order, so nothing behind it could
    /// be promised either.
    fn append_when_there_is_room(&mut self, transaction: &Transaction, says: &Says) -> Result<(), Failure> {
        let clock = says.clock;
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
            self.tell_room(says);
            if !was_told {
                tracing::warn!(%error, "the journal waits for room; nothing is lost and nothing new is promised");
                was_told = true;
            }
            self.counters.looks.add(1);
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
