//! The task that owns an agent's connection: connects, attaches, reads, writes, and begins again when it is lost. It
//! decides nothing about messages.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use proto::{Boundary, Content, DoorEvent, Frame, HeaderError, MessageId, limits};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::Instant;

use crate::events::Event;
use crate::incoming::Taken;
use crate::requests::attach;
use crate::shared::{Identity, Link, Shared, State};
use crate::{ClientError, socket};

/// The first pause before a connection is made again; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(400);
/// A connection that held this long was a good one: the pauses begin anew. Two processes that take one name from each
/// other by turns so do it slowly.
const STEADY_AFTER: Duration = Duration::from_secs(5);
/// How long a daemon may take to answer `agent.attach`: it may have to make keys and sync them.
const ATTACH_WITHIN: Duration = Duration::from_secs(10);
/// How long what is written last may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bytes that are asked for at a read: many small frames, or the beginning of a large one.
const READ_BYTES: usize = 64 << 10;
/// Rounds of reading before others on this thread get a turn.
const ROUNDS_IN_A_ROW: usize = 16;

/// A connection that can carry frames.
pub(crate) struct Opened {
    wire: Handshake,
    identity: Option<Identity>,
}

/// A connection before anybody else uses it.
pub(crate) struct Handshake {
    socket: UnixStream,
    arrived: BytesMut,
}

impl Handshake {
    /// Writes a frame and waits for its answer. Beside credit nothing else counts: nothing was asked for yet.
    pub(crate) async fn exchange(
        &mut self,
        shared: &Shared,
        mut out: BytesMut,
        id: MessageId,
    ) -> Result<Content, ClientError> {
        while !out.is_empty() {
            self.socket.writable().await?;
            match self.socket.try_write(&out) {
                Ok(written) => out.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(ClientError::Disconnected),
            }
        }
        loop {
            let frame = self.next_frame().await?;
            let (header, plain) = frame.into_plain().ok_or(ClientError::Protocol { what: "sealed" })?;
            let content = Content::read(&header, plain)?;
            let event = DoorEvent::of(&content);
            if event == Some(DoorEvent::Credit) {
                shared.lock().allow(&content);
                continue;
            }
            if content.header.id() != id {
                continue;
            }
            return match event {
                Some(DoorEvent::Refused) => Err(content.error()?.into()),
                _ => Ok(content),
            };
        }
    }

    async fn next_frame(&mut self) -> Result<Frame, ClientError> {
        loop {
            match Frame::take(&mut self.arrived, Boundary::Down) {
                Ok(frame) => return Ok(frame),
                Err(HeaderError::Refused(refusal)) => return Err(refusal.into()),
                Err(HeaderError::Short { missing }) => self.arrived.reserve(missing.max(READ_BYTES)),
            }
            self.socket.readable().await?;
            match self.socket.try_read_buf(&mut self.arrived) {
                Ok(0) => return Err(ClientError::Disconnected),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(ClientError::Disconnected),
            }
        }
    }
}

/// Connects and attaches.
pub(crate) async fn open(shared: &Shared) -> Result<Opened, ClientError> {
    let socket = socket::connect(shared.path.as_deref()).await?;
    let mut wire = Handshake { socket, arrived: BytesMut::new() };
    let identity = tokio::time::timeout(ATTACH_WITHIN, attach(shared, &mut wire)).await;
    let identity = identity.unwrap_or(Err(ClientError::Timeout))?;
    Ok(Opened { wire, identity })
}

/// Starts the task. The connection can be used when this returns.
pub(crate) fn start(shared: &Arc<Shared>, opened: Opened) {
    let (connection, _) = Connection::install(shared, opened);
    tokio::spawn(connection.run());
}

/// One connection, as long as it lasts.
struct Connection {
    shared: Arc<Shared>,
    socket: Arc<UnixStream>,
    arrived: BytesMut,
    since: Instant,
}

impl Connection {
    /// Lets everybody use it, after what is kept has been written again.
    fn install(shared: &Arc<Shared>, opened: Opened) -> (Self, usize) {
        let socket = Arc::new(opened.wire.socket);
        let mut state = shared.lock();
        if let Some(identity) = opened.identity {
            state.me = identity;
        }
        state.epoch += 1;
        state.socket = Some(socket.clone());
        state.link = Link::Up;
        state.say_credit();
        let resubmitted = state.submit_again();
        state.flush();
        drop(state);
        shared.turn.notify_waiters();
        let connection = Self { shared: shared.clone(), socket, arrived: opened.wire.arrived, since: Instant::now() };
        (connection, resubmitted)
    }

    async fn run(mut self) {
        let shared = self.shared.clone();
        let mut pause = PAUSE_FIRST;
        loop {
            let why = match self.pump().await {
                Ok(()) => ClientError::Closed,
                Err(why) => why,
            };
            if matches!(why, ClientError::Closed | ClientError::TakenOver) {
                return shared.close_with(&why);
            }
            shared.lock().lose(&ClientError::Disconnected);
            // Nobody has to listen.
            let _ = shared.events.send(Event::Disconnected { why });
            if self.since.elapsed() >= STEADY_AFTER {
                pause = PAUSE_FIRST;
            }
            let Some(opened) = again(&shared, &mut pause).await else {
                return shared.close_with(&ClientError::Closed);
            };
            let (connection, resubmitted) = Self::install(&shared, opened);
            let _ = shared.events.send(Event::Reconnected { resubmitted });
            self = connection;
        }
    }

    /// Reads and writes until the connection is lost, or is to end.
    async fn pump(&mut self) -> Result<(), ClientError> {
        let mut rounds = 0;
        // What came right behind the answer to the attach.
        self.bring()?;
        loop {
            let wish = self.write()?;
            if wish.closing {
                self.farewell().await;
                return Ok(());
            }
            if self.read()? {
                rounds += 1;
                if rounds % ROUNDS_IN_A_ROW == 0 {
                    tokio::task::yield_now().await;
                }
                continue;
            }
            let interest = if wish.write { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            tokio::select! {
                ready = self.socket.ready(interest) => drop(ready?),
                () = self.shared.poke.notified() => {}
            }
        }
    }

    /// Writes what waits; says what is to be waited for.
    fn write(&self) -> Result<Wish, ClientError> {
        let mut state = self.shared.lock();
        let had = state.out.len();
        let is_gone = state.flush();
        if state.is_broken {
            return Err(ClientError::Disconnected);
        }
        let wish = Wish { write: !is_gone, closing: state.closing };
        let has_room = had >= limits::LIBRARY_OUT_BYTES_MAX && state.out.len() < limits::LIBRARY_OUT_BYTES_MAX;
        drop(state);
        if has_room {
            self.shared.turn.notify_waiters();
        }
        Ok(wish)
    }

    /// Reads what is there. Whether there was anything.
    fn read(&mut self) -> Result<bool, ClientError> {
        self.arrived.reserve(READ_BYTES);
        match self.socket.try_read_buf(&mut self.arrived) {
            Ok(0) => return Err(ClientError::Disconnected),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        self.bring()?;
        Ok(true)
    }

    /// Brings what has arrived to whoever waits.
    fn bring(&mut self) -> Result<(), ClientError> {
        let now = Instant::now();
        let mut state = self.shared.lock();
        let mut arrivals = 0_usize;
        let mut is_over = false;
        loop {
            match Frame::take(&mut self.arrived, Boundary::Down) {
                Ok(frame) => match self.give(&mut state, frame, now) {
                    Some(more) => arrivals += more,
                    None => is_over = true,
                },
                Err(HeaderError::Short { missing }) => {
                    self.arrived.reserve(missing);
                    break;
                }
                Err(HeaderError::Refused(refusal)) => return Err(refusal.into()),
            }
        }
        state.say_credit();
        drop(state);
        for _ in 0..arrivals {
            self.shared.arrivals.notify_one();
        }
        if is_over { Err(ClientError::TakenOver) } else { Ok(()) }
    }

    /// How many messages are new; `None` if another client has the name.
    fn give(&self, state: &mut State, frame: Frame, now: Instant) -> Option<usize> {
        match state.take(frame, now) {
            Taken::Done => Some(0),
            Taken::Arrived => Some(1),
            Taken::Credit => {
                state.go_on();
                self.shared.turn.notify_waiters();
                Some(0)
            }
            Taken::Over => None,
            Taken::Dropped { comes_again } => {
                let _ = self.shared.events.send(Event::Dropped { comes_again });
                Some(0)
            }
        }
    }

    /// What was said last still leaves, if the daemon takes it soon.
    async fn farewell(&self) {
        let written = async {
            loop {
                let is_done = {
                    let mut state = self.shared.lock();
                    state.flush() || state.is_broken
                };
                if is_done || self.socket.writable().await.is_err() {
                    return;
                }
            }
        };
        // Whether it did is not known to anybody any more.
        let _ = tokio::time::timeout(FAREWELL, written).await;
    }
}

/// What the connection waits for.
struct Wish {
    write: bool,
    closing: bool,
}

/// Connects again, with growing pauses; `None` if nobody wants it any more.
async fn again(shared: &Shared, pause: &mut Duration) -> Option<Opened> {
    loop {
        let ends = Instant::now() + *pause;
        while Instant::now() < ends {
            if shared.lock().closing {
                return None;
            }
            // A poke may be about something else.
            let _ = tokio::time::timeout_at(ends, shared.poke.notified()).await;
        }
        *pause = (*pause * 2).min(PAUSE_MAX);
        match open(shared).await {
            Ok(opened) => return Some(opened),
            Err(why) => {
                let _ = shared.events.send(Event::Retrying { why, pause: *pause });
            }
        }
    }
}
