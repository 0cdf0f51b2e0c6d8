//! The metrics' door: where the operator's tools ask how the daemon is. Closed unless it is configured, never open to
//! another host, and bounded in all that whoever comes can make it do.

use std::sync::Arc;

use config::MetricsListen;
use mesh::Mono;
use proto::limits;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Mutex, oneshot, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::timeout;

use super::exposition;
use super::http::{self, Answer, Page, Status};
use crate::clock::duration;
use crate::shared::{Ask, Shared};
use crate::{StartError, unix_socket};

/// After a failure to take a connection, for want of descriptors perhaps.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// How far the daemon is.
#[derive(Clone, Debug)]
enum Phase {
    /// What was kept is being read; the other doors are closed.
    Starting,
    Ready(Arc<Shared>),
    Stopping(Arc<Shared>),
}

/// An open door. It is closed when this is dropped.
#[derive(Debug)]
pub(crate) struct MetricsDoor {
    listen: MetricsListen,
    phase: watch::Sender<Phase>,
    serving: AbortHandle,
}

impl MetricsDoor {
    /// Opens it, and answers from then on. `mode` is that of the agents' socket.
    pub(crate) async fn open(listen: &MetricsListen, mode: u32) -> Result<Self, StartError> {
        let failed = |why: String| StartError::Metrics { listen: listen.to_string(), why };
        let (phase, phases) = watch::channel(Phase::Starting);
        let site = Arc::new(Site { phase: phases, last: Mutex::default() });
        let (listen, serving) = match listen {
            MetricsListen::Loopback(address) => {
                let bound = TcpListener::bind(address).await.map_err(|error| failed(error.to_string()))?;
                let address = bound.local_addr().map_err(|error| failed(error.to_string()))?;
                (MetricsListen::Loopback(address), tokio::spawn(serve(Listener::Tcp(bound), site)))
            }
            MetricsListen::Unix(path) => {
                let bound = unix_socket::bind(path, mode).map_err(|error| failed(error.to_string()))?;
                let bound = bound.set_nonblocking(true).and_then(|()| UnixListener::from_std(bound));
                let bound = bound.map_err(|error| failed(error.to_string()))?;
                (MetricsListen::Unix(path.clone()), tokio::spawn(serve(Listener::Unix(bound), site)))
            }
        };
        tracing::info!(%listen, "metrics and health are told");
        Ok(Self { listen, phase, serving: serving.abort_handle() })
    }

    /// The other doors are open.
    pub(crate) fn ready(&self, shared: &Arc<Shared>) {
        self.phase.send_replace(Phase::Ready(Arc::clone(shared)));
    }

    /// The other doors are being closed.
    pub(crate) fn stopping(&self, shared: &Arc<Shared>) {
        self.phase.send_replace(Phase::Stopping(Arc::clone(shared)));
    }
}

impl Drop for MetricsDoor {
    fn drop(&mut self) {
        self.serving.abort();
        if let MetricsListen::Unix(path) = &self.listen {
            // Whoever comes now finds no daemon.
            drop(std::fs::remove_file(path));
        }
    }
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    async fn accept(&self) -> std::io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

/// Takes connections, so many at a time; others wait with the kernel.
async fn serve(listener: Listener, site: Arc<Site>) {
    let mut open = JoinSet::new();
    loop {
        while open.len() >= limits::METRICS_CONNECTIONS_MAX {
            told(open.join_next().await);
        }
        let taken = tokio::select! {
            taken = listener.accept() => taken,
            ended = open.join_next(), if !open.is_empty() => {
                told(ended);
                continue;
            }
        };
        let site = Arc::clone(&site);
        match taken {
            Ok(Stream::Tcp(stream)) => drop(open.spawn(exchange(stream, site))),
            Ok(Stream::Unix(stream)) => drop(open.spawn(exchange(stream, site))),
            Err(error) => {
                tracing::warn!(%error, "a connection at the metrics' door was not taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn told(ended: Option<Result<(), JoinError>>) {
    if ended.is_some_and(|ended| ended.is_err_and(|error| error.is_panic())) {
        tracing::error!(task = "metrics", "a task panicked");
    }
}

async fn exchange(stream: impl AsyncRead + AsyncWrite + Unpin, site: Arc<Site>) {
    if let Err(error) = http::serve(stream, |page| site.answer(page)).await {
        tracing::debug!(%error, "a connection at the metrics' door");
    }
}

/// What is answered there.
#[derive(Debug)]
struct Site {
    phase: watch::Receiver<Phase>,
    /// The last text and when it was made: however often it is asked for, the node is not asked more often than bounded.
    last: Mutex<Option<(Mono, Answer)>>,
}

impl Site {
    async fn answer(&self, page: Page) -> Answer {
        let phase = self.phase.borrow().clone();
        let shared = match &phase {
            Phase::Starting => return Answer::plain(Status::Unavailable, "starting"),
            Phase::Ready(shared) | Phase::Stopping(shared) => shared,
        };
        match (page, &phase) {
            (Page::Ready, Phase::Ready(_)) => Answer::plain(Status::Ok, "ready"),
            (Page::Ready, Phase::Starting | Phase::Stopping(_)) => Answer::plain(Status::Unavailable, "stopping"),
            (Page::Health, _) => match ask(shared, Ask::Alive).await {
                Some(()) => Answer::plain(Status::Ok, "ok"),
                None => no_answer(),
            },
            (Page::Metrics, _) => self.metrics(shared).await,
        }
    }

    async fn metrics(&self, shared: &Arc<Shared>) -> Answer {
        let mut last = self.last.lock().await;
        let now = shared.clock.now().mono;
        if let Some((_, answer)) = last.as_ref().filter(|(made, _)| now.since(*made) < limits::METRICS_PAUSE) {
            return answer.clone();
        }
        let Some(summary) = ask(shared, Ask::Summary).await else { return no_answer() };
        let Ok(body) = exposition::write(Arc::clone(shared), *summary) else { return no_answer() };
        let answer = Answer { status: Status::Ok, content_type: exposition::CONTENT_TYPE, body };
        *last = Some((now, answer.clone()));
        answer
    }
}

fn no_answer() -> Answer {
    Answer::plain(Status::Unavailable, "the node does not answer")
}

/// Asks the node's task, by the way that agents' questions take; not for long.
async fn ask<T>(shared: &Shared, question: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Option<T> {
    let (reply, answer) = oneshot::channel();
    let asking = async {
        shared.to_node.send(question(reply)).await.ok()?;
        answer.await.ok()
    };
    timeout(duration(limits::METRICS_NODE_WAIT), asking).await.ok().flatten()
}
