//! What an agent's handles and its connection's task share: who waits for what, what waits to be written, what waits to
//! be received. Every queue has a bound; the lock is never held over an await.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BytesMut};
use proto::control::{Attach, subject};
use proto::{AgentId, Content, MessageId, NodeId, limits};
use tokio::net::UnixStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, oneshot, watch};

use crate::credit::{Amount, Credit};
use crate::events::Event;
use crate::letter::{Letter, Stamp};
use crate::message::{Message, Ticket};
use crate::{Body, ClientError};

/// Shared by all handles of one agent.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// For the connection's task: there is something to write or to read, or it is to end.
    pub(crate) poke: Notify,
    /// For whoever wants to write: the link changed, or there is room.
    pub(crate) turn: Notify,
    /// For whoever receives: something came, or nothing will come any more.
    pub(crate) arrivals: Notify,
    places: Arc<Semaphore>,
    /// In KiB, so that the count of all fits.
    bytes: Arc<Semaphore>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) path: Option<PathBuf>,
    /// Whom to be; without it, a client that is no agent.
    pub(crate) attach: Option<Attach>,
}

/// All that changes.
pub(crate) struct State {
    pub(crate) link: Link,
    pub(crate) socket: Option<Arc<UnixStream>>,
    /// Which connection this is; another number once it is lost.
    pub(crate) epoch: u64,
    pub(crate) me: Identity,
    pub(crate) out: BytesMut,
    pub(crate) asked: BTreeMap<MessageId, Asked>,
    pub(crate) durable: BTreeMap<MessageId, Durable>,
    /// Submissions that were begun on another connection and are not written on this one yet.
    pub(crate) again: VecDeque<MessageId>,
    pub(crate) responses: BTreeMap<MessageId, oneshot::Sender<Result<(), ClientError>>>,
    pub(crate) submitted: u64,
    pub(crate) inbox: VecDeque<Arrived>,
    pub(crate) inbox_bytes: usize,
    pub(crate) credit: Credit,
    pub(crate) settled: Settled,
    pub(crate) addresses: BTreeMap<Box<str>, AgentId>,
    pub(crate) closing: bool,
    /// The socket failed while it was written.
    pub(crate) is_broken: bool,
    ids: Ids,
}

/// How the connection is.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// Frames can be written.
    Up,
    /// It is being made again.
    Down,
    /// It will not be made again.
    Closed(ClientError),
}

/// Who we are, as the daemon said.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) id: AgentId,
    pub(crate) node: Option<NodeId>,
    pub(crate) node_name: Box<str>,
    pub(crate) body_bytes_max: usize,
}

/// Somebody waits for one answer.
pub(crate) struct Asked {
    /// From whom; `None` is the node, or whoever answers a ping.
    pub(crate) of: Option<AgentId>,
    pub(crate) tell: oneshot::Sender<Result<Content, ClientError>>,
}

/// Somebody waits for stages of a submission, which is sent again until its last one is heard.
pub(crate) struct Durable {
    pub(crate) order: u64,
    pub(crate) letter: Letter,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) _place: Place,
}

/// What was heard of a submission.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) is_accepted: bool,
    pub(crate) is_stored: bool,
    /// An answer, or whatever else said that it was handled; or why it was not.
    pub(crate) end: Option<Result<Option<Message>, ClientError>>,
}

/// Something to be received.
pub(crate) struct Arrived {
    pub(crate) content: Content,
    pub(crate) ticket: Option<Ticket>,
    pub(crate) is_outcome: bool,
}

/// A place among what is under way.
#[derive(Debug)]
pub(crate) struct Place {
    _one: OwnedSemaphorePermit,
    _bytes: Option<OwnedSemaphorePermit>,
}

impl Shared {
    pub(crate) fn new(path: Option<PathBuf>, attach: Option<Attach>) -> Self {
        let me =
            Identity { id: AgentId::ZERO, node: None, node_name: "".into(), body_bytes_max: limits::BODY_BYTES_MAX };
        let state = State {
            link: Link::Down,
            socket: None,
            epoch: 0,
            me,
            out: BytesMut::new(),
            asked: BTreeMap::new(),
            durable: BTreeMap::new(),
            again: VecDeque::new(),
            responses: BTreeMap::new(),
            submitted: 0,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            credit: Credit::default(),
            settled: Settled::default(),
            addresses: BTreeMap::new(),
            closing: false,
            is_broken: false,
            ids: Ids::default(),
        };
        Self {
            state: Mutex::new(state),
            poke: Notify::new(),
            turn: Notify::new(),
            arrivals: Notify::new(),
            places: Arc::new(Semaphore::new(limits::LIBRARY_WAITING_MAX)),
            bytes: Arc::new(Semaphore::new(limits::LIBRARY_WAITING_BYTES_MAX / 1024)),
            events: broadcast::Sender::new(limits::LIBRARY_EVENTS_MAX),
            path,
            attach,
        }
    }

    /// No code panics while it holds the lock; if one did, what it left is still the best there is.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn body_bytes_max(&self) -> usize {
        self.lock().me.body_bytes_max
    }

    /// Waits for a place among what is under way.
    pub(crate) async fn place(&self, kept: Option<&Letter>) -> Result<Place, ClientError> {
        let one = self.places.clone().acquire_owned().await.map_err(|_| ClientError::Closed)?;
        let Some(letter) = kept else { return Ok(Place { _one: one, _bytes: None }) };
        let kib = u32::try_from(letter.body.bytes.len() / 1024 + 1).unwrap_or(u32::MAX);
        let bytes = self.bytes.clone().acquire_many_owned(kib).await.map_err(|_| ClientError::Closed)?;
        Ok(Place { _one: one, _bytes: Some(bytes) })
    }

    /// Runs `write` once frames can be written, and sees to it that what it wrote leaves. Only control waits for no
    /// credit.
    pub(crate) async fn submit<T>(
        &self,
        is_control: bool,
        mut write: impl FnMut(&mut State) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        loop {
            if let Some(done) = self.try_submit(is_control, &mut write) {
                return done;
            }
            let mut turn = std::pin::pin!(self.turn.notified());
            turn.as_mut().enable();
            // It may have changed before we listened.
            if let Some(done) = self.try_submit(is_control, &mut write) {
                return done;
            }
            turn.await;
        }
    }

    fn try_submit<T>(
        &self,
        is_control: bool,
        write: &mut impl FnMut(&mut State) -> Result<T, ClientError>,
    ) -> Option<Result<T, ClientError>> {
        let mut state = self.lock();
        match &state.link {
            Link::Up if state.out.len() < limits::LIBRARY_OUT_BYTES_MAX && (is_control || state.may_submit()) => {}
            Link::Up | Link::Down => return None,
            Link::Closed(why) => return Some(Err(why.clone())),
        }
        let done = write(&mut state);
        state.say_credit();
        // One call alone writes by itself, which saves a wake-up; where there are more, the task writes them together.
        let is_alone = state.asked.len() + state.durable.len() <= 1 && state.inbox.is_empty();
        if !is_alone || !state.flush() {
            self.poke.notify_one();
        }
        Some(done)
    }

    /// Ends everything: the task says goodbye to the socket, and whoever waits hears why.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.poke.notify_one();
    }

    pub(crate) fn close_with(&self, why: &ClientError) {
        let mut state = self.lock();
        state.lose(why);
        state.link = Link::Closed(why.clone());
        state.inbox.clear();
        state.inbox_bytes = 0;
        for (_, durable) in std::mem::take(&mut state.durable) {
            durable.progress.send_modify(|progress| progress.end = Some(Err(why.clone())));
        }
        drop(state);
        self.turn.notify_waiters();
        self.arrivals.notify_waiters();
    }
}

impl State {
    /// Writes what the socket takes at once. Whether all of it is gone.
    pub(crate) fn flush(&mut self) -> bool {
        let Some(socket) = &self.socket else { return true };
        while !self.out.is_empty() {
            match socket.try_write(&self.out) {
                Ok(written) => self.out.advance(written),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
                Err(_) => {
                    self.is_broken = true;
                    return false;
                }
            }
        }
        true
    }

    /// A message id that nothing under way has.
    pub(crate) fn draw(&mut self) -> Result<MessageId, ClientError> {
        loop {
            let id = self.ids.draw()?;
            if !self.asked.contains_key(&id) && !self.durable.contains_key(&id) {
                return Ok(id);
            }
        }
    }

    pub(crate) fn write(&mut self, letter: &Letter, id: MessageId, again: bool) -> Result<(), ClientError> {
        let begin = self.out.len();
        letter.write(Stamp { id, source: self.me.id, again }, &mut self.out)?;
        self.credit.note_written(self.out.len() - begin);
        Ok(())
    }

    /// Whether the daemon takes more. What was begun on another connection goes first.
    fn may_submit(&self) -> bool {
        self.again.is_empty() && self.credit.may_write()
    }

    /// Tells the daemon how much more it may bring, where that is worth a frame. Whether it was.
    pub(crate) fn say_credit(&mut self) -> bool {
        // Who is no agent gets no deliveries, and what one connection counts means nothing on the next.
        if !matches!(self.link, Link::Up) || self.me.id.is_zero() {
            return false;
        }
        let (inbox, is_waited_for) = (self.inbox_amount(), self.is_waited_for());
        let Some(told) = self.credit.renew(inbox, is_waited_for) else { return false };
        let mut letter = Letter::question(subject::CREDIT, Body::empty());
        letter.credit = Some(told);
        // It always fits its shape, and nobody answers it.
        self.draw().and_then(|id| self.write(&letter, id, false)).is_ok()
    }

    pub(crate) fn inbox_amount(&self) -> Amount {
        Amount { count: self.inbox.len() as u64, bytes: self.inbox_bytes as u64 }
    }

    /// The connection is gone: what was not kept on a disk has an unknown end, and what it delivered comes again.
    pub(crate) fn lose(&mut self, why: &ClientError) {
        // Tickets are void from now on, not from when there is another connection.
        self.epoch += 1;
        self.socket = None;
        self.link = Link::Down;
        self.out = BytesMut::new();
        self.is_broken = false;
        for (_, asked) in std::mem::take(&mut self.asked) {
            // Whoever has left needs no answer.
            let _ = asked.tell.send(Err(why.clone()));
        }
        for (_, tell) in std::mem::take(&mut self.responses) {
            let _ = tell.send(Err(why.clone()));
        }
    }

    /// Begins to write all that is kept again, in the order in which it was submitted. How many that are.
    pub(crate) fn submit_again(&mut self) -> usize {
        let mut kept: Vec<_> = self.durable.iter().map(|(id, durable)| (durable.order, *id)).collect();
        kept.sort_unstable();
        self.again = kept.into_iter().map(|(_, id)| id).collect();
        let count = self.again.len();
        self.go_on();
        count
    }

    /// Writes as much of that as the daemon takes now.
    pub(crate) fn go_on(&mut self) {
        while self.credit.may_write()
            && let Some(id) = self.again.pop_front()
        {
            let Some(durable) = self.durable.get(&id) else { continue };
            let begin = self.out.len();
            // It was written before, so it can be again.
            if durable.letter.write(Stamp { id, source: self.me.id, again: true }, &mut self.out).is_ok() {
                self.credit.note_written(self.out.len() - begin);
            }
        }
    }

    pub(crate) fn is_waited_for(&self) -> bool {
        !(self.asked.is_empty() && self.durable.is_empty() && self.responses.is_empty())
    }
}

/// How much of a submission this process has heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// As far as it asked: that it is handled is of no interest any more.
    Stage,
    /// Its end.
    End,
}

/// Submissions that are over, the latest ones.
#[derive(Default)]
pub(crate) struct Settled {
    ids: BTreeMap<MessageId, Heard>,
    order: VecDeque<MessageId>,
}

impl Settled {
    pub(crate) fn add(&mut self, id: MessageId, heard: Heard) {
        if self.ids.insert(id, heard).is_some() {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > limits::LIBRARY_SETTLED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    pub(crate) fn get(&self, id: MessageId) -> Option<Heard> {
        self.ids.get(&id).copied()
    }
}

/// Random ids, drawn from the operating system 32 at a time.
struct Ids {
    block: [u8; 256],
    used: usize,
}

impl Default for Ids {
    fn default() -> Self {
        Self { block: [0; 256], used: 256 }
    }
}

impl Ids {
    fn draw(&mut self) -> Result<MessageId, ClientError> {
        if self.used + 8 > self.block.len() {
            getrandom::fill(&mut self.block).map_err(|error| std::io::Error::other(error.to_string()))?;
            self.used = 0;
        }
        let bytes = self.block.get(self.used..).and_then(|rest| rest.first_chunk::<8>()).copied().unwrap_or_default();
        self.used += 8;
        Ok(MessageId::new(u64::from_be_bytes(bytes)))
    }
}

impl core::fmt::Debug for Shared {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Shared").field("path", &self.path).finish_non_exhaustive()
    }
}
