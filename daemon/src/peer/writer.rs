//! Frames on their way out: one task for each link signs and seals them, in the order in which the core asked. Small
//! ones travel behind each other on a few long-lived streams, all of one flow on the same; each large one has its own.

use std::sync::Arc;

use bytes::BytesMut;
use mesh::{Input, Outgoing};
use proto::entry::Parts;
use proto::{AgentId, ErrorCode, Frame, limits};
use quinn::{Connection, SendStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::LinkEnd;
use super::link::LinkState;
use crate::clock::duration;
use crate::crypto::Maker;
use crate::load::load;
use crate::shared::Shared;
use crate::tables::ToLink;

/// Frames that are taken from the queue at once.
const BATCH: usize = 64;
/// Small frames do not wait behind large ones.
const SMALL_FIRST: i32 = 1;

/// Writes until nothing follows.
pub(super) async fn run(
    shared: Arc<Shared>,
    state: Arc<LinkState>,
    connection: Connection,
    mut queue: mpsc::Receiver<ToLink>,
) -> LinkEnd {
    let mut writer = Writer {
        shared,
        state,
        connection,
        maker: Maker::default(),
        lanes: Default::default(),
        large: JoinSet::new(),
        large_room: Arc::new(Semaphore::new(limits::LARGE_FRAMES_WRITING)),
    };
    let mut batch = Vec::with_capacity(BATCH);
    let mut sweep = tokio::time::interval(duration(limits::EPHEMERAL_SWEEP));
    loop {
        tokio::select! {
            count = queue.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    return LinkEnd::quiet("stopping");
                }
            }
            _ = sweep.tick() => {
                writer.maker.forget_spent(&writer.shared);
                continue;
            }
        }
        match writer.write(&mut batch).await {
            Ok(IsLast(false)) => {}
            Ok(IsLast(true)) => return writer.finish().await,
            Err(end) => return end,
        }
    }
}

struct IsLast(bool);

struct Writer {
    shared: Arc<Shared>,
    state: Arc<LinkState>,
    connection: Connection,
    maker: Maker,
    lanes: [Lane; limits::LINK_LANES],
    large: JoinSet<()>,
    large_room: Arc<Semaphore>,
}

/// A long-lived stream, and what is to be written to it.
#[derive(Default)]
struct Lane {
    stream: Option<SendStream>,
    out: BytesMut,
    room: Given,
}

/// Room that frames took, and that goes back to the node.
#[derive(Clone, Copy, Default)]
struct Given {
    frames: u32,
    bytes: u64,
}

impl Given {
    fn add(&mut self, outgoing: &Outgoing) {
        self.frames += 1;
        self.bytes += outgoing.bytes as u64;
    }
}

impl Writer {
    async fn write(&mut self, batch: &mut Vec<ToLink>) -> Result<IsLast, LinkEnd> {
        let mut loaded = load(&self.shared, batch.iter().filter_map(ToLink::outgoing)).await;
        let mut is_last = false;
        // Frames whose room is given back although nothing was written for them.
        let mut unwritten = Given::default();
        for order in batch.drain(..) {
            let (outgoing, seal_to) = match order {
                ToLink::Frame(outgoing, seal_to) => (outgoing, seal_to),
                ToLink::Goodbye => {
                    is_last = true;
                    continue;
                }
            };
            let parts = loaded.parts(&self.shared, &outgoing).await;
            match parts.and_then(|parts| self.make(&outgoing, &parts, seal_to)) {
                Some(frame) if frame.as_bytes().len() > limits::SMALL_FRAME_BYTES => {
                    self.write_large(&outgoing, frame).await?
                }
                Some(frame) => self.append(&outgoing, &frame).await?,
                None => unwritten.add(&outgoing),
            }
        }
        for lane in 0..limits::LINK_LANES {
            self.flush(lane).await?;
        }
        self.give_back(unwritten).await;
        while self.large.try_join_next().is_some() {}
        Ok(IsLast(is_last))
    }

    fn make(&mut self, outgoing: &Outgoing, parts: &Parts, seal_to: Option<[u8; 32]>) -> Option<Frame> {
        let made = self.maker.make(&self.shared, outgoing, parts, seal_to);
        made.inspect_err(|error| tracing::error!(%error, draft = ?outgoing.draft, "a frame was not made")).ok()
    }

    async fn append(&mut self, outgoing: &Outgoing, frame: &Frame) -> Result<(), LinkEnd> {
        tracing::trace!(link = self.state.link.0, ?frame, "out");
        let at = lane_of(outgoing.draft.source, outgoing.draft.destination);
        let is_full = self
            .lanes
            .get(at)
            .is_some_and(|lane| !lane.out.is_empty() && lane.out.len() + frame.as_bytes().len() > limits::PIPE_BYTES);
        if is_full {
            self.flush(at).await?;
        }
        if let Some(lane) = self.lanes.get_mut(at) {
            lane.out.extend_from_slice(frame.as_bytes());
            lane.room.add(outgoing);
        }
        Ok(())
    }

    async fn flush(&mut self, at: usize) -> Result<(), LinkEnd> {
        let Some(lane) = self.lanes.get_mut(at).filter(|lane| !lane.out.is_empty()) else { return Ok(()) };
        let stream = match &mut lane.stream {
            Some(stream) => stream,
            empty => {
                let stream =
                    self.connection.open_uni().await.map_err(|error| LinkEnd::quiet(super::describe(&error)))?;
                drop(stream.set_priority(SMALL_FIRST));
                empty.insert(stream)
            }
        };
        let out = lane.out.split().freeze();
        let bytes = out.len();
        stream.write_chunk(out).await.map_err(|error| LinkEnd::quiet(error.to_string()))?;
        let room = std::mem::take(&mut lane.room);
        self.state.board.note_sent(room.frames.into(), bytes);
        self.give_back(room).await;
        Ok(())
    }

    async fn give_back(&self, Given { frames, bytes }: Given) {
        if frames > 0 {
            self.shared.tell(Input::LinkRoom { link: self.state.link, frames, bytes }).await;
        }
    }

    /// Waits while too many others are being written; what follows is then held up too, and memory stays bounded.
    async fn write_large(&mut self, outgoing: &Outgoing, frame: Frame) -> Result<(), LinkEnd> {
        tracing::trace!(link = self.state.link.0, ?frame, "out");
        let permit = Arc::clone(&self.large_room).acquire_owned().await;
        let permit = permit.map_err(|_| LinkEnd::new(ErrorCode::SERVER, "stopping"))?;
        let (shared, state, connection) = (Arc::clone(&self.shared), Arc::clone(&self.state), self.connection.clone());
        let room = outgoing.bytes as u64;
        self.large.spawn(write_alone(shared, state, connection, (frame, room), permit));
        Ok(())
    }

    /// Everything was handed over; now it is waited until the peer has it.
    async fn finish(mut self) -> LinkEnd {
        while self.large.join_next().await.is_some() {}
        for lane in &mut self.lanes {
            if let Some(stream) = &mut lane.stream {
                drop(stream.finish());
                drop(stream.stopped().await);
            }
        }
        LinkEnd::quiet("stopping")
    }
}

/// All that one agent says to another goes the same way.
fn lane_of(source: AgentId, destination: AgentId) -> usize {
    let [first, ..] = source.as_bytes();
    let [second, ..] = destination.as_bytes();
    usize::from(first ^ second) % limits::LINK_LANES
}

/// A frame on a stream of its own. If that fails, the link does.
async fn write_alone(
    shared: Arc<Shared>,
    state: Arc<LinkState>,
    connection: Connection,
    (frame, room): (Frame, u64),
    permit: OwnedSemaphorePermit,
) {
    let bytes = frame.as_bytes().len();
    let mut written = None;
    if let Ok(mut stream) = connection.open_uni().await
        && stream.write_chunk(frame.into_bytes()).await.is_ok()
    {
        drop(stream.finish());
        state.board.note_sent(1, bytes);
        written = Some(stream);
    }
    drop(permit);
    shared.tell(Input::LinkRoom { link: state.link, frames: 1, bytes: room }).await;
    // Until the peer has it, a stop of this daemon waits for it.
    if let Some(stream) = written {
        drop(stream.stopped().await);
    }
}
