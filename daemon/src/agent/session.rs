//! One connection at the agents' door: frames up become facts for the node, what the node says becomes frames down.
//! One task does both. It judges form alone.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mesh::{ClientId, Input, Outgoing};
use proto::entry::Parts;
use proto::{
    AgentId, Boundary, Content, ContentType, DoorEvent, ErrorCode, Frame, Header, HeaderError, MessageId, Refusal,
    limits,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{ReadHalf, WriteHalf};
use tokio::sync::{Notify, Semaphore, mpsc};

use super::compose::credit_frame;
use super::credit::{Amount, Credit};
use super::{compose, error_frame};
use crate::clock::duration;
use crate::load::load;
use crate::member::{self, ToMembers};
use crate::shared::{Ask, Room, Shared, Turns};
use crate::tables::{Held, IsDelivery, SessionHandle, ToClient, Waiting};
use crate::telemetry::counters::Reason;

/// What may wait for one write.
const WRITE_BYTES: usize = 4 * limits::PIPE_BYTES;
/// Frames that are taken from the queue at once.
const WRITE_FRAMES: usize = 64;
/// What is shorter is copied out of the buffer that it came in.
const COPY_BELOW: usize = 16 << 10;
/// What an idle connection keeps of each buffer.
const KEEP_BYTES: usize = 4 << 10;
/// Least room for one read.
const READ_BYTES_MIN: usize = 1 << 10;
/// How long a client has to read why it is disconnected.
const GOODBYE: Duration = Duration::from_secs(2);

/// Whose process is at the other end, as the kernel told it.
#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    pub(super) uid: u32,
    /// It may give orders.
    pub(super) is_admin: bool,
}

/// Serves a connection until one side ends it. `large` is the room for the large frames of all its user's connections.
pub(super) async fn run(shared: Arc<Shared>, mut stream: UnixStream, user: User, large: Arc<Semaphore>) {
    let User { uid, is_admin } = user;
    let _stay = Stay { shared: &shared, uid };
    let client = shared.new_client();
    let (frames, queue) = mpsc::channel(limits::SESSION_QUEUE);
    let cut = Arc::new(Notify::new());
    let waiting = Waiting::new();
    shared.sessions.insert(client, SessionHandle { frames: frames.clone(), cut: Arc::clone(&cut), waiting });
    shared.tell(Input::ClientCame { client, uid, is_admin }).await;
    tracing::debug!(client = client.0, uid, "a client came");
    let (read, write) = stream.split();
    let mut reader = Reader {
        shared: &shared,
        client,
        large,
        turns: Turns::new(limits::SESSION_TURNS),
        read,
        arrived: BytesMut::new(),
        is_busy: false,
        to_writer: frames,
        credit: Credit::default(),
        is_admin,
    };
    let mut writer = Writer { shared: &shared, client, write, queue, out: BytesMut::new() };
    {
        let writing = writer.run();
        tokio::pin!(writing);
        let refused = tokio::select! {
            ended = reader.run() => ended,
            ended = &mut writing => {
                if let Err(error) = ended {
                    tracing::debug!(client = client.0, %error, "a client cannot be written to");
                }
                None
            }
            () = cut.notified() => None,
        };
        // What was refused is told before the connection ends.
        if refused.is_some() {
            drop(tokio::time::timeout(GOODBYE, writing).await);
        }
    }
    shared.sessions.remove(client);
    shared.tell(Input::ClientLeft { client }).await;
    tracing::debug!(client = client.0, "a client left");
}

/// A connection of a user, for as long as it is there.
struct Stay<'a> {
    shared: &'a Shared,
    uid: u32,
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        self.shared.users.leave(self.uid);
    }
}

struct Reader<'a> {
    shared: &'a Shared,
    client: ClientId,
    large: Arc<Semaphore>,
    turns: Turns,
    read: ReadHalf<'a>,
    arrived: BytesMut,
    /// The last read filled the buffer.
    is_busy: bool,
    to_writer: mpsc::Sender<ToClient>,
    credit: Credit,
    is_admin: bool,
}

impl Reader<'_> {
    /// Reads until the client ends the connection, or sends what no frame begins with.
    async fn run(&mut self) -> Option<Refusal> {
        loop {
            let room = match Frame::take(&mut self.arrived, Boundary::Up) {
                Ok(frame) => {
                    self.take(frame, None).await;
                    continue;
                }
                Err(HeaderError::Refused(refusal)) => {
                    self.refuse_header(refusal).await;
                    return Some(refusal);
                }
                Err(HeaderError::Short { .. }) => self.room_for_large().await,
            };
            if let Some((room, bytes)) = room {
                if !self.fill(bytes).await.ok()? {
                    return None;
                }
                if let Ok(frame) = Frame::take(&mut self.arrived, Boundary::Up) {
                    self.take(frame, Some(room)).await;
                }
            } else if !self.read_some().await.unwrap_or(false) {
                return None;
            }
        }
    }

    /// Before a frame beyond the small is buffered: waits until there is room for it.
    async fn room_for_large(&self) -> Option<(Room, usize)> {
        let header = Header::read(&self.arrived, Boundary::Up).ok()?;
        let bytes = limits::HEADER_BYTES + header.payload_bytes();
        if bytes <= limits::SMALL_FRAME_BYTES {
            return None;
        }
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let own = Arc::clone(&self.large).acquire_many_owned(permits).await.ok()?;
        let all = Arc::clone(&self.shared.large_of_agents).acquire_many_owned(permits).await.ok()?;
        Some((Room::new(all, own), bytes))
    }

    /// Reads until that many bytes are there. `false` at the end of the stream, or if it takes too long.
    async fn fill(&mut self, bytes: usize) -> io::Result<bool> {
        self.arrived.reserve(bytes.saturating_sub(self.arrived.len()));
        let filling = async {
            while self.arrived.len() < bytes {
                if !self.read_some().await? {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        tokio::time::timeout(duration(limits::LARGE_FRAME_WAIT), filling).await.unwrap_or(Ok(false))
    }

    /// One read. A connection on which little comes keeps a small buffer.
    async fn read_some(&mut self) -> io::Result<bool> {
        if !self.is_busy && self.arrived.is_empty() && self.arrived.capacity() > 0 {
            self.arrived = BytesMut::new();
        }
        // There may be thousands of connections on which nothing comes.
        if self.arrived.is_empty() {
            self.read.readable().await?;
        }
        if self.arrived.capacity() - self.arrived.len() < READ_BYTES_MIN {
            self.arrived.reserve(if self.is_busy { limits::PIPE_BYTES } else { KEEP_BYTES });
        }
        let room = self.arrived.capacity() - self.arrived.len();
        let read = self.read.read_buf(&mut self.arrived).await?;
        self.is_busy = read == room;
        Ok(read > 0)
    }

    async fn take(&mut self, frame: Frame, room: Option<Room>) {
        tracing::trace!(client = self.client.0, frame = ?frame, "up");
        self.credit.note(frame.header());
        self.pass_on(frame, room).await;
        let more = self.credit.renew();
        self.tell_credit(more).await;
    }

    async fn pass_on(&mut self, frame: Frame, room: Option<Room>) {
        let header = *frame.header();
        let plain = frame.into_plain().ok_or(Refusal::Shape);
        // A copy, so that a message that is kept does not keep the whole buffer with it.
        let own = |plain: Bytes| if plain.len() < COPY_BELOW { Bytes::copy_from_slice(&plain) } else { plain };
        let content = match plain.and_then(|(header, plain)| Content::read(&header, own(plain))) {
            Ok(content) => Box::new(content),
            Err(refusal) => return self.refuse(&header, refusal).await,
        };
        // Frames of streams are not carried yet.
        let Some(event) = DoorEvent::of(&content) else { return self.refuse(&header, Refusal::Shape).await };
        let first = self.credit.begin(event, &content);
        self.tell_credit(first).await;
        let client = self.client;
        if event == DoorEvent::Question && member::is_for_members(&content) {
            let order = ToMembers::Order { client, is_admin: self.is_admin, content };
            return self.shared.members.tell(order).await;
        }
        if event == DoorEvent::Question && !mesh::is_for_the_core(&content) {
            let turn = self.turns.take_all().await;
            drop(self.shared.to_node.send(Ask::Question { client, content, turn }).await);
            return;
        }
        let turn = self.turns.take().await;
        if event == DoorEvent::Attach && self.has_hung_up() {
            tracing::debug!(client = client.0, "a client that is gone does not attach");
            return;
        }
        drop(self.shared.to_node.send(Ask::Fact(Input::ClientSaid { client, content }, room, Some(turn))).await);
    }

    /// Whether nobody is at the other end any more. What a process wrote before it was killed may be read after another
    /// one has attached in its place, and must not take the name from it.
    fn has_hung_up(&self) -> bool {
        let stream: &UnixStream = self.read.as_ref();
        let mut asked = [PollFd::new(stream, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut asked, Some(&at_once)).is_ok() && asked.iter().any(|asked| asked.revents().contains(PollFlags::HUP))
    }

    async fn tell_credit(&self, told: Option<Amount>) {
        if let Some(frame) = told.and_then(|told| credit_frame(self.shared, told)) {
            drop(self.to_writer.send(ToClient::Made(frame, Held::default())).await);
        }
    }

    async fn refuse(&self, header: &Header, refusal: Refusal) {
        self.shared.refused.agents.note(Reason::Refused(refusal));
        self.tell_error(header.id(), header.source(), header.content_type(), refusal).await;
    }

    /// The header cannot be trusted, but its id and source are where they always are.
    async fn refuse_header(&self, refusal: Refusal) {
        self.shared.refused.agents.note(Reason::Refused(refusal));
        let part = |at: usize| self.arrived.get(at..).and_then(|rest| rest.first_chunk::<8>()).copied();
        let source = self.arrived.get(18..).and_then(|rest| rest.first_chunk()).copied().map(AgentId::new);
        if let (Some(id), Some(source)) = (part(2), source) {
            self.tell_error(MessageId::new(u64::from_be_bytes(id)), source, ContentType::None, refusal).await;
        }
        drop(self.to_writer.send(ToClient::Goodbye).await);
    }

    async fn tell_error(&self, id: MessageId, source: AgentId, asked: ContentType, refusal: Refusal) {
        let message = format!("{}: {}", refusal.reason(), explain(refusal));
        tracing::debug!(client = self.client.0, reason = refusal.reason(), "a frame was refused");
        let frame = error_frame(self.shared, id, source, asked, refusal.code(), &message);
        if let Some(frame) = frame {
            drop(self.to_writer.send(ToClient::Made(frame, Held::default())).await);
        }
    }
}

/// For whoever writes a client: where to look.
fn explain(refusal: Refusal) -> &'static str {
    let code = refusal.code();
    if code == ErrorCode::VERSION {
        "this daemon speaks version 1"
    } else if code == ErrorCode::TOO_LARGE {
        "more than one frame may hold"
    } else if refusal == Refusal::Shape || refusal == Refusal::Receipt || refusal == Refusal::ZeroId {
        "an agent may not send this frame; sections 2, 3 and 12 of the protocol say which it may"
    } else if refusal == Refusal::MetadataPresence {
        "a metadata key is missing, or only a daemon may set it; sections 4 and 12 of the protocol have the tables"
    } else {
        "see sections 2 to 4 of the protocol"
    }
}

struct Writer<'a> {
    shared: &'a Shared,
    client: ClientId,
    write: WriteHalf<'a>,
    queue: mpsc::Receiver<ToClient>,
    out: BytesMut,
}

impl Writer<'_> {
    /// Writes what the client is told until there is nothing more to tell.
    async fn run(&mut self) -> io::Result<()> {
        let mut batch = Vec::new();
        loop {
            if self.queue.recv_many(&mut batch, WRITE_FRAMES).await == 0 {
                return Ok(());
            }
            let outgoing = batch.iter().filter_map(ToClient::outgoing);
            let mut loaded = load(self.shared, outgoing).await;
            let mut written = Written::default();
            let mut is_last = false;
            for said in batch.drain(..) {
                match said {
                    ToClient::Frame(outgoing, IsDelivery(is_delivery)) => {
                        let begin = self.out.len();
                        if let Some(parts) = loaded.parts(self.shared, &outgoing).await {
                            self.compose(&outgoing, &parts);
                        }
                        written.note(self.out.len() - begin, is_delivery);
                    }
                    ToClient::Made(frame, _held) => self.out.extend_from_slice(&frame),
                    ToClient::Goodbye => is_last = true,
                }
                if self.out.len() >= WRITE_BYTES {
                    self.flush(&mut written).await?;
                }
            }
            self.flush(&mut written).await?;
            if self.queue.is_empty() {
                batch = Vec::new();
            }
            if is_last {
                return self.write.shutdown().await;
            }
        }
    }

    fn compose(&mut self, outgoing: &Outgoing, parts: &Parts) {
        if let Err(refusal) = compose(&mut self.out, outgoing, parts) {
            // Nobody would read it: a fault of ours, not of the client.
            tracing::error!(client = self.client.0, reason = refusal.reason(), draft = ?outgoing.draft, "not composed");
        }
    }

    async fn flush(&mut self, written: &mut Written) -> io::Result<()> {
        if !self.out.is_empty() {
            self.write.write_all(&self.out).await?;
            self.out.clear();
        }
        if self.out.capacity() > KEEP_BYTES && self.queue.is_empty() {
            self.out = BytesMut::new();
        }
        let Written { deliveries, bytes } = std::mem::take(written);
        if deliveries > 0 {
            self.shared.tell(Input::ClientRoom { client: self.client, deliveries, bytes }).await;
        }
        Ok(())
    }
}

/// Deliveries whose room goes back to the node once they are written, and the bytes of their payloads.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) deliveries: u32,
    pub(crate) bytes: u64,
}

impl Written {
    /// Notes a frame of that many bytes; of one that could not be made there are none.
    pub(crate) const fn note(&mut self, frame: usize, is_delivery: bool) {
        if is_delivery {
            self.deliveries += 1;
            self.bytes += frame.saturating_sub(limits::HEADER_BYTES) as u64;
        }
    }
}
