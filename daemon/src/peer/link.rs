//! The life of one link: HELLO, then five tasks (control out, control in, frames out, frames in, and one that looks
//! whether the peer is heard), then its end. The node hears of the link when it can carry frames, and when it has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use keys::verify::Attested;
use mesh::{Input, LinkId, Mono};
use parking_lot::Mutex;
use proto::link::{ControlMessage, Notice};
use proto::{ErrorCode, Header, NodeId, limits};
use quinn::{Connection, SendStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::hello::{Greeted, greet};
use super::{LinkEnd, UNNEEDED, describe, hearing, reader, stream, writer};
use crate::clock::duration;
use crate::member::{Member, ToMembers};
use crate::shared::{Shared, Turns};
use crate::tables::{LinkHandle, PeerBoard};
use crate::telemetry::counters::Reason;

/// What all tasks of a link share.
pub(super) struct LinkState {
    pub(super) link: LinkId,
    pub(super) peer: NodeId,
    pub(super) board: Arc<PeerBoard>,
    pub(super) control: mpsc::Sender<ControlMessage>,
    /// Bytes of large frames that the peer may still have buffered here.
    pub(super) large: Arc<Semaphore>,
    /// Places among the facts that wait for the node.
    pub(super) turns: Turns,
    notices: Mutex<Pace>,
    unknown: Mutex<Pace>,
    /// Until then nobody waits for the key of a source, in ns of the monotonic clock.
    no_wait_until: AtomicU64,
    dropped: AtomicU64,
}

/// Serves a connection whose peer TLS has proved.
pub(super) async fn run(shared: Arc<Shared>, connection: Connection, peer: NodeId, dialed: bool) {
    let board = shared.peers.board(peer);
    let greeting = tokio::time::timeout(duration(limits::DIAL_WAIT), greet(&shared, &connection, peer, dialed)).await;
    let greeted = greeting.unwrap_or_else(|_| Err(LinkEnd::new(ErrorCode::TIMEOUT, "no HELLO in time")));
    let greeted = match greeted {
        Ok(greeted) => greeted,
        Err(end) => {
            end.close(&connection);
            let why = told(&end, &connection.closed().await);
            tracing::debug!(?peer, why, "a link came to nothing");
            board.said.lock().last_error = why;
            if dialed {
                shared.tell(Input::DialFailed { peer }).await;
            }
            return;
        }
    };
    let link = shared.new_link();
    let end = serve(&shared, &connection, greeted, link, peer, dialed, &board).await;
    let closed = connection.closed().await;
    let why = told(&end, &closed);
    shared.links.remove(link);
    {
        let mut said = board.said.lock();
        let is_ours = said.connection.as_ref().is_some_and(|last| last.stable_id() == connection.stable_id());
        if is_ours {
            said.connection = None;
            if !is_unneeded(&end, &closed) {
                said.last_error.clone_from(&why);
            }
        }
    }
    tracing::debug!(?peer, link = link.0, why, "a link ended");
    shared.members.tell(ToMembers::LinkDown { link }).await;
    shared.tell(Input::LinkDown { link }).await;
}

/// What the peer said when it closed says more than what became of us.
fn told(end: &LinkEnd, closed: &quinn::ConnectionError) -> String {
    if *closed == quinn::ConnectionError::LocallyClosed { end.to_string() } else { describe(closed) }
}

/// No fault of the peer or the path.
fn is_unneeded(end: &LinkEnd, closed: &quinn::ConnectionError) -> bool {
    match closed {
        quinn::ConnectionError::ApplicationClosed(close) => close.error_code.into_inner() == u64::from(UNNEEDED),
        quinn::ConnectionError::LocallyClosed => end.code == 0,
        quinn::ConnectionError::VersionMismatch
        | quinn::ConnectionError::TransportError(_)
        | quinn::ConnectionError::ConnectionClosed(_)
        | quinn::ConnectionError::Reset
        | quinn::ConnectionError::TimedOut
        | quinn::ConnectionError::CidsExhausted => false,
    }
}

async fn serve(
    shared: &Arc<Shared>,
    connection: &Connection,
    greeted: Greeted,
    link: LinkId,
    peer: NodeId,
    dialed: bool,
    board: &Arc<PeerBoard>,
) -> LinkEnd {
    let (frames, frames_queue) = mpsc::channel(limits::LINK_QUEUE);
    let (control, control_queue) = mpsc::channel(limits::CONTROL_QUEUE);
    let state = Arc::new(LinkState {
        link,
        peer,
        board: Arc::clone(board),
        control: control.clone(),
        large: Arc::new(Semaphore::new(limits::LARGE_FRAMES_LINK_BYTES)),
        turns: Turns::new(limits::LINK_TURNS),
        notices: Mutex::new(Pace::default()),
        unknown: Mutex::new(Pace::default()),
        no_wait_until: AtomicU64::new(0),
        dropped: AtomicU64::new(0),
    });
    {
        let mut said = board.said.lock();
        said.address = connection.remote_address().to_string();
        said.connection = Some(connection.clone());
    }
    shared.links.insert(link, LinkHandle { frames, control, connection: connection.clone() });
    tracing::debug!(?peer, link = link.0, dialed, "a link is up");
    let (key, name) = (greeted.record.get().key, greeted.record.get().record.name.clone());
    let member = Arc::new(Member { key, name });
    let record = Attested::known(greeted.record).boxed();
    shared.tell(Input::LinkUp { link, peer, dialed, record, wall: greeted.wall }).await;
    board.linked.notify_waiters();
    shared.members.tell(ToMembers::LinkUp { link, member: Arc::clone(&member) }).await;
    let mut tasks = JoinSet::new();
    tasks.spawn(writer::run(Arc::clone(shared), Arc::clone(&state), connection.clone(), frames_queue));
    tasks.spawn(write_control(greeted.send, control_queue));
    tasks.spawn(reader::run(Arc::clone(shared), Arc::clone(&state), greeted.receive, member));
    tasks.spawn(stream::accept(Arc::clone(shared), Arc::clone(&state), connection.clone()));
    tasks.spawn(hearing::run(Arc::clone(shared), Arc::clone(&state), connection.clone()));
    let end = tokio::select! {
        ended = tasks.join_next() => match ended {
            Some(Ok(end)) => end,
            Some(Err(_)) | None => LinkEnd::new(ErrorCode::SERVER, "a task of the link failed"),
        },
        error = connection.closed() => LinkEnd::quiet(describe(&error)),
    };
    // Before the tasks let go of their streams: a peer must not take their end for a fault.
    end.close(connection);
    tasks.shutdown().await;
    end
}

/// Control has a stream and a task of its own, so that it never waits behind frames.
async fn write_control(mut send: SendStream, mut queue: mpsc::Receiver<ControlMessage>) -> LinkEnd {
    const ABOVE_FRAMES: i32 = 2;
    const BATCH: usize = 16;
    drop(send.set_priority(ABOVE_FRAMES));
    let mut batch = Vec::with_capacity(BATCH);
    let mut out = BytesMut::new();
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        for message in batch.drain(..) {
            if let Err(refusal) = message.write(&mut out) {
                tracing::error!(reason = refusal.reason(), "a control message was not written");
            }
        }
        if let Err(error) = send.write_chunk(out.split().freeze()).await {
            return LinkEnd::quiet(error.to_string());
        }
    }
    LinkEnd::quiet("stopping")
}

impl LinkState {
    /// Tells the peer that a frame of its went no further, not too often.
    pub(super) fn notice(&self, shared: &Shared, header: &Header, code: ErrorCode, text: &str) {
        if !self.notices.lock().take(shared.clock.now().mono.0) {
            return;
        }
        let notice = Notice {
            code,
            id: header.id(),
            source: header.source(),
            destination: header.destination(),
            text: text.into(),
        };
        // A peer that does not listen goes without.
        drop(self.control.try_send(ControlMessage::Notice(notice)));
    }

    /// Whether the node hears of one more source that nobody knows: each makes it ask and remember.
    pub(super) fn may_tell_unknown(&self, now: Mono) -> bool {
        self.unknown.lock().take(now.0)
    }

    /// Whether a frame may wait for the key of its source.
    pub(super) fn may_wait(&self, now: Mono) -> bool {
        now.0 >= self.no_wait_until.load(Ordering::Relaxed)
    }

    pub(super) fn waited_in_vain(&self, now: Mono) {
        self.no_wait_until.store(now.after(limits::UNKNOWN_SOURCE_PAUSE).0, Ordering::Relaxed);
    }

    pub(super) fn note_dropped(&self, shared: &Shared, reason: Reason) {
        self.board.note_dropped();
        shared.refused.peers.note(reason);
        let count = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            tracing::debug!(peer = ?self.peer, link = self.link.0, count, "frames were dropped");
        }
    }
}

/// So many in each second.
#[derive(Default, Debug)]
struct Pace {
    second: u64,
    said: u32,
}

impl Pace {
    fn take(&mut self, now: u64) -> bool {
        let second = now / limits::SECOND;
        if second != self.second {
            *self = Self { second, said: 0 };
        }
        self.said += 1;
        self.said <= limits::NOTICES_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_told_so_often_a_second_and_no_more() {
        let mut pace = Pace::default();
        let told = |pace: &mut Pace, now| (0..100).filter(|_| pace.take(now)).count();
        assert_eq!(told(&mut pace, 5), limits::NOTICES_PER_SECOND as usize);
        assert_eq!(told(&mut pace, limits::SECOND - 1), 0);
        assert_eq!(told(&mut pace, limits::SECOND), limits::NOTICES_PER_SECOND as usize);
    }
}
