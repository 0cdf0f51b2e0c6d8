//! Frames on their way in: one task for each stream, which reads, verifies and opens what comes, in order. What is
//! malformed ends the link; what does not verify is dropped and counted.

use std::sync::Arc;

use bytes::BytesMut;
use mesh::{Input, PeerSaid};
use proto::{AgentId, Boundary, ErrorCode, Frame, Header, HeaderError, Refusal, limits};
use quinn::{Connection, ReadError, RecvStream};
use tokio::task::JoinSet;

use super::LinkEnd;
use super::link::LinkState;
use crate::clock::duration;
use crate::crypto::{self, Admitted, Arrived};
use crate::shared::{Room, Shared};
use crate::telemetry::counters::Reason;

/// Takes streams until one of them ends the link. QUIC bounds how many there are.
pub(super) async fn accept(shared: Arc<Shared>, state: Arc<LinkState>, connection: Connection) -> LinkEnd {
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            stream = connection.accept_uni() => match stream {
                Ok(stream) => {
                    let (shared, state) = (Arc::clone(&shared), Arc::clone(&state));
                    streams.spawn(Reading { shared, state, stream, arrived: BytesMut::new() }.run());
                }
                Err(error) => return LinkEnd::quiet(super::describe(&error)),
            },
            Some(ended) = streams.join_next() => match ended {
                Ok(Ok(())) => {}
                Ok(Err(end)) => return end,
                Err(_) => return LinkEnd::new(ErrorCode::SERVER, "a task of the link failed"),
            },
        }
    }
}

struct Reading {
    shared: Arc<Shared>,
    state: Arc<LinkState>,
    stream: RecvStream,
    arrived: BytesMut,
}

impl Reading {
    async fn run(mut self) -> Result<(), LinkEnd> {
        loop {
            match Frame::take(&mut self.arrived, Boundary::Wire) {
                Ok(frame) => {
                    self.take(frame, None).await;
                    continue;
                }
                Err(HeaderError::Refused(refusal)) => return Err(self.malformed(refusal)),
                Err(HeaderError::Short { .. }) => {}
            }
            let goes_on = match self.large() {
                Some(bytes) => self.read_large(bytes).await?,
                None => self.read_some().await?,
            };
            if !goes_on {
                // A stream ends between two frames, or in the middle of one.
                return if self.arrived.is_empty() { Ok(()) } else { Err(self.malformed(Refusal::Length)) };
            }
        }
    }

    /// What follows cannot be told apart.
    fn malformed(&self, refusal: Refusal) -> LinkEnd {
        self.shared.refused.peers.note(Reason::Refused(refusal));
        LinkEnd::refused(refusal)
    }

    /// The length of the frame that has begun to arrive, if it is more than small.
    fn large(&self) -> Option<usize> {
        let header = Header::read(&self.arrived, Boundary::Wire).ok()?;
        let bytes = limits::HEADER_BYTES + header.payload_bytes();
        (bytes > limits::SMALL_FRAME_BYTES).then_some(bytes)
    }

    /// Waits for room, then for the whole frame. Meanwhile QUIC holds the peer back.
    async fn read_large(&mut self, bytes: usize) -> Result<bool, LinkEnd> {
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let (ours, all) = (Arc::clone(&self.state.large), Arc::clone(&self.shared.large));
        let (Ok(ours), Ok(all)) = (ours.acquire_many_owned(permits).await, all.acquire_many_owned(permits).await)
        else {
            return Ok(false);
        };
        let room = Room::new(all, ours);
        self.arrived.reserve(bytes.saturating_sub(self.arrived.len()));
        let filling = async {
            while self.arrived.len() < bytes {
                if !self.read_some().await? {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        let filled = tokio::time::timeout(duration(limits::LARGE_FRAME_WAIT), filling).await;
        if !filled.unwrap_or_else(|_| Err(LinkEnd::new(ErrorCode::TIMEOUT, "a frame did not arrive in time")))? {
            return Ok(false);
        }
        if let Ok(frame) = Frame::take(&mut self.arrived, Boundary::Wire) {
            self.take(frame, Some(room)).await;
        }
        Ok(true)
    }

    async fn read_some(&mut self) -> Result<bool, LinkEnd> {
        match self.stream.read_chunk(limits::PIPE_BYTES, true).await {
            Ok(Some(chunk)) => {
                if self.arrived.capacity() - self.arrived.len() < chunk.bytes.len() {
                    self.arrived.reserve(limits::PIPE_BYTES.max(chunk.bytes.len()));
                }
                self.arrived.extend_from_slice(&chunk.bytes);
                Ok(true)
            }
            Ok(None) => Ok(false),
            // The sender gave the stream up: what was not whole is nothing.
            Err(ReadError::Reset(_)) => {
                self.arrived.clear();
                Ok(false)
            }
            Err(error) => Err(LinkEnd::quiet(error.to_string())),
        }
    }

    /// A frame may overtake the record of its source, which travels on another stream: it is waited for, for a moment.
    /// Where that was in vain the link waits no more for a while, so that nobody can hold it up for long.
    async fn key_comes(&self, source: AgentId) -> bool {
        if !self.state.may_wait(self.shared.clock.now().mono) {
            return false;
        }
        let said = PeerSaid::UnknownSource(source);
        self.tell(said, None).await;
        let waiting = self.shared.keys.wait_for(source);
        let comes = tokio::time::timeout(duration(limits::UNKNOWN_SOURCE_WAIT), waiting).await.is_ok();
        if !comes {
            self.state.waited_in_vain(self.shared.clock.now().mono);
        }
        comes
    }

    async fn tell(&self, said: PeerSaid, room: Option<Room>) {
        self.shared.tell_with(Input::PeerSaid { link: self.state.link, said }, room, &self.state.turns).await;
    }

    async fn take(&self, frame: Frame, room: Option<Room>) {
        tracing::trace!(link = self.state.link.0, frame = ?frame, "in");
        self.state.board.note_received(frame.as_bytes().len());
        let now = self.shared.clock.now();
        let header = *frame.header();
        let mut admitted = crypto::admit(&self.shared, &frame, now);
        if let Admitted::No(Arrived::Said(PeerSaid::UnknownSource(source))) = admitted
            && self.key_comes(source).await
        {
            admitted = crypto::admit(&self.shared, &frame, now);
        }
        let arrived = match admitted {
            Admitted::No(arrived) => arrived,
            Admitted::Yes(key, hosted) if frame.as_bytes().len() <= limits::SMALL_FRAME_BYTES => {
                crypto::open(frame, &key, &hosted, now)
            }
            // Long enough to keep others waiting.
            Admitted::Yes(key, hosted) => {
                let opening = tokio::task::spawn_blocking(move || crypto::open(frame, &key, &hosted, now)).await;
                opening.unwrap_or(Arrived::Dropped(Refusal::Seal))
            }
        };
        match arrived {
            Arrived::Said(said) => {
                if matches!(said, PeerSaid::UnknownSource(_)) {
                    self.drop_for(Reason::UnknownSource);
                    if !self.state.may_tell_unknown(now.mono) {
                        return;
                    }
                }
                self.tell(said, room).await;
            }
            Arrived::Unfit(said, refusal) => {
                self.shared.refused.peers.note(Reason::Refused(refusal));
                self.tell(said, room).await;
            }
            Arrived::NotHere => {
                self.drop_for(Reason::NotHere);
                self.state.notice(&self.shared, &header, ErrorCode::NO_ROUTE, "the destination does not live here");
            }
            Arrived::Stale => {
                self.drop_for(Reason::Stale);
                self.state.notice(&self.shared, &header, ErrorCode::STALE, "too old, or from the future");
            }
            Arrived::Dropped(refusal) => {
                tracing::debug!(peer = ?self.state.peer, reason = refusal.reason(), ?header, "a frame was dropped");
                self.drop_for(Reason::Refused(refusal));
            }
        }
    }

    fn drop_for(&self, reason: Reason) {
        self.state.note_dropped(&self.shared, reason);
    }
}
