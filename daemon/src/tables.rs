//! Tables that many tasks read at once. Each gives out copies or shared handles, never a guard, so that none is held
//! over an await.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use dashmap::DashMap;
use keys::{AgentKey, NodeKey, Prekeys, PublicKey};
use mesh::{ClientId, LinkId, Outgoing};
use parking_lot::Mutex;
use proto::link::ControlMessage;
use proto::{AgentId, Name, NodeId, limits};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

/// Room in memory for an answer that waits to be written. It is free again when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Held {
    _permit: Option<OwnedSemaphorePermit>,
}

/// The room of one connection for answers that wait to be written: for messages the core counts it.
#[derive(Clone, Debug)]
pub(crate) struct Waiting(Arc<Semaphore>);

impl Waiting {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(limits::SESSION_ANSWER_BYTES)))
    }

    fn take(&self, bytes: usize) -> Option<Held> {
        let permits = u32::try_from(bytes.min(limits::SESSION_ANSWER_BYTES)).ok()?;
        let permit = Arc::clone(&self.0).try_acquire_many_owned(permits).ok()?;
        Some(Held { _permit: Some(permit) })
    }
}

/// What a client is told.
#[derive(Debug)]
pub(crate) enum ToClient {
    /// A frame to be made.
    Frame(Box<Outgoing>, IsDelivery),
    /// One that is made already.
    Made(Bytes, Held),
    /// Nothing follows: disconnect once all is written.
    Goodbye,
}

impl ToClient {
    pub(crate) fn outgoing(&self) -> Option<&Outgoing> {
        match self {
            Self::Frame(outgoing, ..) => Some(outgoing),
            Self::Made(..) | Self::Goodbye => None,
        }
    }
}

/// Whether a frame counts against the client's room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IsDelivery(pub(crate) bool);

/// One connection at the agents' door.
#[derive(Clone, Debug)]
pub(crate) struct SessionHandle {
    pub(crate) frames: mpsc::Sender<ToClient>,
    /// Ends it at once, with whatever is not written.
    pub(crate) cut: Arc<Notify>,
    pub(crate) waiting: Waiting,
}

/// All connections at the agents' door.
#[derive(Default, Debug)]
pub(crate) struct Sessions(DashMap<ClientId, SessionHandle>);

impl Sessions {
    pub(crate) fn insert(&self, client: ClientId, handle: SessionHandle) {
        self.0.insert(client, handle);
    }

    pub(crate) fn remove(&self, client: ClientId) -> Option<SessionHandle> {
        self.0.remove(&client).map(|(_, handle)| handle)
    }

    /// Hands a frame to a client.
    pub(crate) fn tell(&self, client: ClientId, outgoing: Box<Outgoing>, is_delivery: IsDelivery) {
        if let Some(handle) = self.find(client) {
            self.hand_over(client, &handle, ToClient::Frame(outgoing, is_delivery));
        }
    }

    /// Hands the answer to a question to a client. One that asks and does not read is cut off.
    pub(crate) fn answer(&self, client: ClientId, answer: Bytes) {
        let Some(handle) = self.find(client) else { return };
        match handle.waiting.take(answer.len()) {
            Some(held) => self.hand_over(client, &handle, ToClient::Made(answer, held)),
            None => self.cut(client, &handle),
        }
    }

    /// Disconnects a client, once all is written that it was told.
    pub(crate) fn end(&self, client: ClientId) {
        if let Some(handle) = self.find(client) {
            self.hand_over(client, &handle, ToClient::Goodbye);
        }
    }

    fn find(&self, client: ClientId) -> Option<SessionHandle> {
        self.0.get(&client).map(|handle| handle.clone())
    }

    /// A client that does not read until its queue is full is cut off.
    fn hand_over(&self, client: ClientId, handle: &SessionHandle, said: ToClient) {
        if let Err(mpsc::error::TrySendError::Full(_)) = handle.frames.try_send(said) {
            self.cut(client, handle);
        }
    }

    fn cut(&self, client: ClientId, handle: &SessionHandle) {
        tracing::warn!(client = client.0, "a client does not read what it is told, and is disconnected");
        self.remove(client);
        handle.cut.notify_one();
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// All of them, at this moment.
    pub(crate) fn all(&self) -> Vec<SessionHandle> {
        self.0.iter().map(|entry| entry.value().clone()).collect()
    }
}

/// What one user has at the agents' door.
#[derive(Debug)]
struct User {
    sessions: usize,
    large: Arc<Semaphore>,
}

/// All users that are there, and how many connections they have.
#[derive(Default, Debug)]
pub(crate) struct Users(Mutex<Crowd>);

#[derive(Default, Debug)]
struct Crowd {
    sessions: usize,
    users: HashMap<u32, User>,
}

impl Users {
    /// One more connection of a user, and the room for the large frames of all of them. Nothing if there are `most`, or
    /// the user has as many as one may have.
    pub(crate) fn enter(&self, uid: u32, most: usize) -> Option<Arc<Semaphore>> {
        let mut crowd = self.0.lock();
        if crowd.sessions >= most {
            return None;
        }
        let new = || User { sessions: 0, large: Arc::new(Semaphore::new(limits::LARGE_FRAMES_USER_BYTES)) };
        let user = crowd.users.entry(uid).or_insert_with(new);
        if user.sessions >= limits::SESSIONS_USER_MAX {
            return None;
        }
        user.sessions += 1;
        let large = Arc::clone(&user.large);
        crowd.sessions += 1;
        Some(large)
    }

    /// One less.
    pub(crate) fn leave(&self, uid: u32) {
        let mut crowd = self.0.lock();
        crowd.sessions = crowd.sessions.saturating_sub(1);
        if let Some(user) = crowd.users.get_mut(&uid) {
            user.sessions = user.sessions.saturating_sub(1);
            if user.sessions == 0 {
                crowd.users.remove(&uid);
            }
        }
    }
}

/// What a link's writer is given.
#[derive(Debug)]
pub(crate) enum ToLink {
    /// A frame to be made, and the prekey to seal it to.
    Frame(Box<Outgoing>, Option<[u8; 32]>),
    /// Nothing follows: close once all is sent.
    Goodbye,
}

impl ToLink {
    pub(crate) fn outgoing(&self) -> Option<&Outgoing> {
        match self {
            Self::Frame(outgoing, ..) => Some(outgoing),
            Self::Goodbye => None,
        }
    }
}

/// One link that said HELLO.
#[derive(Clone, Debug)]
pub(crate) struct LinkHandle {
    pub(crate) frames: mpsc::Sender<ToLink>,
    pub(crate) control: mpsc::Sender<ControlMessage>,
    pub(crate) connection: quinn::Connection,
}

/// All links.
#[derive(Default, Debug)]
pub(crate) struct Links(DashMap<LinkId, LinkHandle>);

impl Links {
    pub(crate) fn insert(&self, link: LinkId, handle: LinkHandle) {
        self.0.insert(link, handle);
    }

    pub(crate) fn remove(&self, link: LinkId) {
        self.0.remove(&link);
    }

    pub(crate) fn find(&self, link: LinkId) -> Option<LinkHandle> {
        self.0.get(&link).map(|handle| handle.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn all(&self) -> Vec<LinkHandle> {
        self.0.iter().map(|entry| entry.value().clone()).collect()
    }
}

/// What is known of a peer beside what the core knows: for `status`.
#[derive(Default, Debug)]
pub(crate) struct PeerBoard {
    pub(crate) sent_messages: AtomicU64,
    pub(crate) sent_bytes: AtomicU64,
    pub(crate) received_messages: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    /// Frames that were dropped: not verified, not for us, or not to be opened.
    pub(crate) dropped: AtomicU64,
    pub(crate) said: Mutex<PeerSpeech>,
    /// A link to it has come up.
    pub(crate) linked: Notify,
}

/// The part of it that changes seldom.
#[derive(Default, Debug)]
pub(crate) struct PeerSpeech {
    /// Where it is, or was last.
    pub(crate) address: String,
    /// Where it can be dialed, as its record, the configuration or a ticket says.
    pub(crate) addresses: Vec<Box<str>>,
    /// With whom it is linked, as its record says.
    pub(crate) links: Vec<NodeId>,
    /// Why the last dial or link came to its end.
    pub(crate) last_error: String,
    pub(crate) connection: Option<quinn::Connection>,
}

impl PeerBoard {
    pub(crate) fn note_sent(&self, frames: u64, bytes: usize) {
        self.sent_messages.fetch_add(frames, Ordering::Relaxed);
        self.sent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn note_received(&self, bytes: usize) {
        self.received_messages.fetch_add(1, Ordering::Relaxed);
        self.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn note_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// The board of each peer.
#[derive(Default, Debug)]
pub(crate) struct Peers(DashMap<NodeId, Arc<PeerBoard>>);

impl Peers {
    /// A peer's board. Only configured peers and members get this far, so the table stays as small as they are few.
    pub(crate) fn board(&self, peer: NodeId) -> Arc<PeerBoard> {
        Arc::clone(&self.0.entry(peer).or_default())
    }

    /// Nothing is known of it any more. Whoever holds its board goes on to write on it.
    pub(crate) fn forget(&self, peer: NodeId) {
        self.0.remove(&peer);
    }
}

/// Keys by which frames of other agents are verified, decoded once.
#[derive(Default, Debug)]
pub(crate) struct PublicKeys {
    known: DashMap<AgentId, PublicKey>,
    learned: Notify,
}

impl PublicKeys {
    pub(crate) fn learn(&self, key: PublicKey) {
        self.known.insert(key.id(), key);
        self.learned.notify_waiters();
    }

    pub(crate) fn find(&self, id: AgentId) -> Option<PublicKey> {
        self.known.get(&id).map(|key| *key)
    }

    /// Waits until the key of `id` is known.
    pub(crate) async fn wait_for(&self, id: AgentId) -> PublicKey {
        loop {
            // Listened for before it is looked for, so that none is missed in between.
            let learned = self.learned.notified();
            tokio::pin!(learned);
            learned.as_mut().enable();
            if let Some(key) = self.find(id) {
                return key;
            }
            learned.await;
        }
    }
}

/// The key of an agent that lives here, or of the node itself.
#[derive(Debug)]
pub(crate) enum SigningKey {
    /// An agent's.
    Agent(Box<AgentKey>),
    /// The node's, where it speaks as an agent.
    Node(Arc<NodeKey>),
}

impl SigningKey {
    pub(crate) fn as_agent(&self) -> &AgentKey {
        match self {
            Self::Agent(key) => key,
            Self::Node(key) => key.as_agent(),
        }
    }
}

/// An agent whose frames are signed and opened here.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(crate) key: SigningKey,
    pub(crate) prekeys: Mutex<Prekeys>,
    pub(crate) name: Name,
}

/// All of them.
#[derive(Default, Debug)]
pub(crate) struct HostedAgents(DashMap<AgentId, Arc<Hosted>>);

impl HostedAgents {
    pub(crate) fn insert(&self, key: SigningKey, name: Name) {
        let id = key.as_agent().id();
        let hosted = Hosted { key, prekeys: Mutex::new(Prekeys::new(id)), name };
        self.0.insert(id, Arc::new(hosted));
    }

    pub(crate) fn find(&self, id: AgentId) -> Option<Arc<Hosted>> {
        self.0.get(&id).map(|hosted| Arc::clone(&hosted))
    }
}
