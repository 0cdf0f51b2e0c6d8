//! Handlers by subject, and the loop that gives them what arrives. A handler's value is the answer, its error the
//! refusal; while it runs, the lease is extended. What one source sent durably is handled one after another, in order,
//! and no source takes more places than it leaves to others.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::{AgentId, ErrorCode, MessageType, limits};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use crate::message::{Delivery, Incoming, Message};
use crate::{Agent, Body, ClientError, Event, Refuse};

/// What a handler answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// It is done, and there is nothing to say. Who asked once gets an empty answer.
    Handled,
    /// It is done, and this is the answer.
    Answer(Body),
}

impl From<()> for Reply {
    fn from((): ()) -> Self {
        Self::Handled
    }
}

impl<B: Into<Body>> From<B> for Reply {
    fn from(body: B) -> Self {
        Self::Answer(body.into())
    }
}

type Handling = Pin<Box<dyn Future<Output = Result<Reply, Refuse>> + Send>>;
type Handler = Arc<dyn Fn(Message) -> Handling + Send + Sync>;

/// Who handles what.
pub(crate) struct Handlers {
    pub(crate) by_subject: BTreeMap<String, Handler>,
    pub(crate) other: Option<Handler>,
}

impl Handlers {
    fn of(&self, subject: Option<&str>) -> Option<Handler> {
        subject.and_then(|subject| self.by_subject.get(subject)).or(self.other.as_ref()).cloned()
    }
}

impl core::fmt::Debug for Handlers {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(self.by_subject.keys()).finish()
    }
}

impl Agent {
    /// Handles what has this subject. What `handler` returns is the answer; its error refuses the message, so that it comes
    /// again later, unless the code of its [`Refuse`] says that this is for good. What no handler takes is refused for good.
    pub fn on<F, W, R>(&self, subject: impl Into<String>, handler: F)
    where
        F: Fn(Message) -> W + Send + Sync + 'static,
        W: Future<Output = Result<R, Refuse>> + Send + 'static,
        R: Into<Reply>,
    {
        let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        handlers.by_subject.insert(subject.into(), wrap(handler));
    }

    /// Handles all that no other handler does.
    pub fn on_other<F, W, R>(&self, handler: F)
    where
        F: Fn(Message) -> W + Send + Sync + 'static,
        W: Future<Output = Result<R, Refuse>> + Send + 'static,
        R: Into<Reply>,
    {
        self.handlers.lock().unwrap_or_else(PoisonError::into_inner).other = Some(wrap(handler));
    }

    /// Handles what arrives, until the agent is detached. Dropped, it ends the handlers; what they did not finish comes
    /// again.
    pub async fn serve(&self) -> Result<(), ClientError> {
        let places = Arc::new(Places::default());
        let mut running = JoinSet::new();
        let mut turns = Turns::default();
        loop {
            let may_begin = |source| places.has_one_for(source);
            let arrived = tokio::select! {
                arrived = self.shared().receive_if(may_begin) => arrived,
                // Whoever could not begin may be able to now.
                () = places.left.notified() => continue,
            };
            let delivery = match arrived {
                Ok(Incoming::Delivery(delivery)) => delivery,
                Ok(Incoming::Outcome(outcome)) => {
                    let _ = self.shared().events.send(Event::Outcome(Box::new(outcome)));
                    continue;
                }
                Err(ClientError::Closed) => return Ok(()),
                Err(error) => return Err(error),
            };
            while running.try_join_next().is_some() {}
            let place = places.take(delivery.source());
            let turn = delivery.ticket.is_some().then(|| turns.take(delivery.source()));
            let handler = {
                let handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
                handlers.of(delivery.subject())
            };
            running.spawn(async move {
                handle(delivery, handler, turn).await;
                drop(place);
            });
        }
    }
}

fn wrap<F, W, R>(handler: F) -> Handler
where
    F: Fn(Message) -> W + Send + Sync + 'static,
    W: Future<Output = Result<R, Refuse>> + Send + 'static,
    R: Into<Reply>,
{
    Arc::new(move |message| {
        let work = handler(message);
        Box::pin(async move { work.await.map(Into::into) })
    })
}

/// Handles one delivery to its end. What goes wrong on the way to the daemon needs no care: the message comes again.
async fn handle(delivery: Delivery, handler: Option<Handler>, turn: Option<Turn>) {
    let Some(handler) = handler else {
        let why = Refuse::new("nobody handles this subject").code(ErrorCode::MALFORMED);
        let _ = delivery.refuse(why).await;
        return;
    };
    let message = delivery.message().clone();
    let work = async move {
        let done = match turn {
            Some(turn) => Some(turn.wait().await),
            None => None,
        };
        // A task of its own, so that a handler that panics is a refusal and no more.
        let mut task = JoinSet::new();
        task.spawn(handler(message));
        let result = match task.join_next().await {
            Some(Ok(result)) => result,
            Some(Err(_)) | None => Err(Refuse::new("the handler broke")),
        };
        drop(done);
        result
    };
    let _ = match delivery.working_while(work).await {
        Ok(reply) => finish(delivery, reply).await,
        Err(why) => delivery.refuse(why).await,
    };
}

async fn finish(delivery: Delivery, reply: Reply) -> Result<(), ClientError> {
    let is_question = delivery.message_type() == MessageType::Request;
    match reply {
        Reply::Answer(body) if is_question => delivery.respond(body).await,
        Reply::Handled if is_question && !delivery.is_durable() => delivery.respond(Body::empty()).await,
        Reply::Answer(_) | Reply::Handled => delivery.handled().await,
    }
}

impl Delivery {
    /// Runs `work`, and tells the daemon three times in each lease that it goes on, so that the message stays here.
    pub async fn working_while<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let Some(ticket) = self.ticket.filter(|ticket| !ticket.lease.is_zero()) else { return work.await };
        loop {
            if let Ok(done) = tokio::time::timeout(ticket.lease / 3, &mut work).await {
                return done;
            }
            let told = async {
                if self.working().await.is_err() {
                    // It is somebody else's by now; what has begun is finished all the same.
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = told => {}
            }
        }
    }
}

/// Who has begun how much.
#[derive(Default)]
struct Places {
    taken: Mutex<Taken>,
    /// One was given back.
    left: Notify,
}

/// Deliveries that are begun, or wait for their turn.
#[derive(Default)]
struct Taken {
    all: usize,
    by_source: BTreeMap<AgentId, usize>,
}

/// A place, until it is dropped.
struct Place {
    of: AgentId,
    places: Arc<Places>,
}

impl Places {
    /// A source may have as many as it leaves free: half of all where it is alone, so that whoever comes behind it finds
    /// some.
    fn has_one_for(&self, source: AgentId) -> bool {
        let taken = self.taken();
        let free = limits::LIBRARY_HANDLERS_MAX.saturating_sub(taken.all);
        taken.by_source.get(&source).copied().unwrap_or(0) < free
    }

    fn take(self: &Arc<Self>, source: AgentId) -> Place {
        let mut taken = self.taken();
        taken.all += 1;
        *taken.by_source.entry(source).or_default() += 1;
        Place { of: source, places: Arc::clone(self) }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Some(count) = taken.by_source.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                taken.by_source.remove(&self.of);
            }
        }
        drop(taken);
        self.places.left.notify_one();
    }
}

/// Who comes after whom, for each source.
#[derive(Default)]
struct Turns {
    last: BTreeMap<AgentId, oneshot::Receiver<()>>,
}

/// A turn: after the one before, and before the one behind.
struct Turn {
    before: Option<oneshot::Receiver<()>>,
    done: oneshot::Sender<()>,
}

impl Turns {
    fn take(&mut self, source: AgentId) -> Turn {
        // Those that are over need no memory; at most as many are left as handlers run.
        self.last.retain(|_, done| matches!(done.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
        let (done, behind) = oneshot::channel();
        Turn { before: self.last.insert(source, behind), done }
    }
}

impl Turn {
    /// Waits for the one before. Dropping what it gives lets the next one begin.
    async fn wait(self) -> oneshot::Sender<()> {
        if let Some(before) = self.before {
            // It says nothing; it ends.
            let _ = before.await;
        }
        self.done
    }
}
