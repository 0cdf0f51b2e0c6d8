//! The thread that owns the store: it appends all that has come, syncs once for all of it, and only then says so.
//! After a failed sync it promises nothing more and the daemon ends. It never asks what an entry means.

mod days;
mod past;
mod worker;

use std::sync::Arc;
use std::thread::JoinHandle;

use mesh::{Change, TransactionNumber};
use proto::entry::{EntryNumber, Parts};
use proto::limits;
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use days::Days;
pub(crate) use past::{Known, Lost, Reading, open};
use worker::{Says, Worker};

use crate::clock::Clock;
use crate::telemetry::counters::JournalCounters;
use crate::{Failure, StartError};

/// What the thread is asked.
#[derive(Debug)]
pub(crate) enum JournalAsk {
    /// Append these, in this order.
    Append(Vec<(TransactionNumber, Vec<Change>)>),
    /// What was said in these entries; `None` for one that cannot be read.
    Load(Vec<EntryNumber>, oneshot::Sender<Vec<Option<Parts>>>),
    /// Whether the thread answers at all.
    Alive(oneshot::Sender<()>),
    /// Sync, note that the stop was clean, and end.
    Close,
}

/// How the thread is reached. Whoever holds one may ask.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    asks: mpsc::Sender<JournalAsk>,
    counters: Arc<JournalCounters>,
}

impl Journal {
    /// Waits while the thread has more to do than fits its queue. `false` if it has ended.
    pub(crate) async fn append(&self, transactions: Vec<(TransactionNumber, Vec<Change>)>) -> bool {
        self.asks.send(JournalAsk::Append(transactions)).await.is_ok()
    }

    /// What was said in each of `entries`, in their order; nothing if the thread has ended.
    pub(crate) async fn load(&self, entries: Vec<EntryNumber>) -> Option<Vec<Option<Parts>>> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(JournalAsk::Load(entries, reply)).await.ok()?;
        answer.await.ok()
    }

    /// Waits until the thread has done all that it was asked before; nothing if it has ended.
    pub(crate) async fn answers(&self) -> Option<()> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(JournalAsk::Alive(reply)).await.ok()?;
        answer.await.ok()
    }

    pub(crate) fn counters(&self) -> &JournalCounters {
        &self.counters
    }

    pub(crate) async fn close(&self) {
        // If it has ended already, its end was told.
        drop(self.asks.send(JournalAsk::Close).await);
    }
}

/// A running journal.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) journal: Journal,
    /// Up to where all is synced. Closed when the thread ends.
    pub(crate) stored: watch::Receiver<TransactionNumber>,
    /// Whether there is room to begin something new.
    pub(crate) room: watch::Receiver<bool>,
    pub(crate) thread: JoinHandle<Result<(), Failure>>,
}

/// Starts the thread over what [`open`] opened. If it fails, `failure` says so.
pub(crate) fn start(
    worker: Worker,
    clock: Clock,
    failure: watch::Sender<Option<Failure>>,
) -> Result<Running, StartError> {
    let (asks, queue) = mpsc::channel(limits::JOURNAL_QUEUE);
    let (synced, stored) = watch::channel(TransactionNumber::default());
    let counters = Arc::clone(worker.counters());
    let (told, room) = watch::channel(true);
    let runtime = tokio::runtime::Handle::current();
    let mut says = Says { queue, synced, room: told, runtime, clock };
    let run = move || {
        // Who listens hears why it ended before it hears that it did.
        let ended = worker.run(&mut says);
        if let Err(failed) = &ended {
            failure.send_replace(Some(failed.clone()));
        }
        ended
    };
    let thread = std::thread::Builder::new().name("journal".into()).spawn(run).map_err(StartError::Thread)?;
    Ok(Running { journal: Journal { asks, counters }, stored, room, thread })
}
