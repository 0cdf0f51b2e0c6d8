//! A node of our own making: it has a valid link and keys, and keeps no promise. It says HELLO and records, makes and
//! signs whatever a test wants, in any order, and hears what the daemon says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use keys::certificate::{self, self_signed};
use keys::prekey::PrekeyPublic;
use keys::sign::{self, Signer};
use keys::tls::{Shown, dialer};
use keys::{AgentKey, AuthorityCertificate, AuthorityKey, NodeKey, Prekeys, PublicKey, Sealer, verify};
use proto::link::{ControlMessage, Hello, Notice};
use proto::metadata::MetadataDraft;
use proto::record::{AgentRecord, CarriedRecord, NodeRecord, RecordKind, Revocations};
use proto::{
    AgentId, Boundary, Content, ContentType, Draft, FlowId, Frame, MessageId, MessageType, Name, NodeId, Receipt,
    Sequence, Shape, limits,
};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use tokio::sync::Notify;

use crate::hosts::Host;

/// How long a daemon may take for anything that it does at once.
const PATIENCE: Duration = Duration::from_secs(20);
/// Frames of the daemon's that are kept until the test looks at them; the oldest make way.
const KEPT_MAX: usize = 1 << 16;

/// The wall clock, in ns.
#[must_use]
pub fn wall() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

/// A seed that nobody has.
#[must_use]
pub fn random_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("randomness");
    seed
}

/// A message id that nobody has.
#[must_use]
pub fn random_id() -> MessageId {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("randomness");
    MessageId::new(u64::from_be_bytes(bytes))
}

/// A node whose key the test holds.
#[derive(Debug)]
pub struct Peer {
    /// What it is called.
    pub name: Name,
    /// The seed of its key: with it the test signs what no honest node would.
    pub seed: [u8; 32],
    key: Arc<NodeKey>,
    membership: Option<Membership>,
}

/// What makes it a member of a mesh.
#[derive(Debug)]
struct Membership {
    mesh: [u8; limits::ID_BYTES],
    certificate: Bytes,
    not_after: u64,
}

/// An agent that lives there.
#[derive(Debug)]
pub struct Puppet {
    /// The seed of its key.
    pub seed: [u8; 32],
    /// Its key.
    pub key: AgentKey,
    /// What others seal to.
    pub prekeys: Prekeys,
    /// Its record, signed by both.
    pub record: CarriedRecord,
}

impl Peer {
    /// One that nobody knows yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let seed = random_seed();
        let key = Arc::new(NodeKey::from_published_seed(&seed));
        Self { name: name.parse().expect("a name"), seed, key, membership: None }
    }

    /// A member of a mesh, as its authority would make one.
    ///
    /// # Panics
    /// If no certificate can be made.
    #[must_use]
    pub fn enrolled(name: &str, (key, mesh): &(AuthorityKey, AuthorityCertificate)) -> Self {
        let peer = Self::new(name);
        let der = certificate::of_node(key, mesh, peer.key.public(), &peer.name, wall()).expect("a certificate");
        let not_after = certificate::read(&der).expect("a certificate").validity.not_after;
        let membership = Membership { mesh: mesh.mesh(), certificate: Bytes::copy_from_slice(&der), not_after };
        Self { membership: Some(membership), ..peer }
    }

    /// Who it is.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.key.id()
    }

    /// Its own record, with whatever is changed about it, signed by its key.
    ///
    /// # Panics
    /// If it cannot be signed.
    #[must_use]
    pub fn record_with(&self, change: impl FnOnce(&mut NodeRecord)) -> CarriedRecord {
        let mut record = NodeRecord {
            public_key: *self.key.public().as_bytes(),
            name: self.name.clone(),
            addresses: Vec::new(),
            links: Vec::new(),
            certificate: self.membership.as_ref().map(|membership| membership.certificate.clone()),
            sequence: wall(),
            expiry: self.membership.as_ref().map_or(u64::MAX, |membership| membership.not_after),
        };
        change(&mut record);
        sign::node_record(&self.key, &record).expect("signed")
    }

    /// As it stands in a daemon's `mesh.peers`: known, and not to be dialed.
    #[must_use]
    pub fn pin(&self) -> String {
        format!("{}={}", self.name, self.key.id())
    }

    /// What makes it a member of a mesh, as it shows it.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn certificate(&self) -> Vec<u8> {
        self.membership.as_ref().expect("a member").certificate.to_vec()
    }

    /// The key itself.
    #[must_use]
    pub const fn key(&self) -> &Arc<NodeKey> {
        &self.key
    }

    /// The node as an agent.
    #[must_use]
    pub fn as_agent(&self) -> &AgentKey {
        self.key.as_agent()
    }

    /// An agent of this node.
    #[must_use]
    pub fn agent(&self, name: &str) -> Puppet {
        self.agent_with_prekey(name, &random_seed())
    }

    /// The same, with a prekey whose secret half the test chooses.
    #[must_use]
    pub fn agent_with_prekey(&self, name: &str, secret: &[u8; 32]) -> Puppet {
        let seed = random_seed();
        let key = AgentKey::from_published_seed(&seed);
        let mut prekeys = Prekeys::new(key.id());
        let not_after = wall() + limits::PREKEY_LIFE_MAX;
        let prekey = prekeys.insert_published(secret, not_after).expect("a prekey").expect("the only one");
        let record = AgentRecord {
            public_key: *key.public().as_bytes(),
            name: name.parse().expect("a name"),
            capabilities: Vec::new(),
            topics: Vec::new(),
            prekey: Some((*prekey.public(), not_after)),
            host: self.key.id(),
            chain: Vec::new(),
            sequence: wall(),
            expiry: wall() + limits::RECORD_LIFE,
        };
        let record = sign::agent_record(&key, &self.key, &record).expect("signed");
        Puppet { seed, key, prekeys, record }
    }

    /// Links with a daemon. Both have said HELLO when this returns.
    ///
    /// # Panics
    /// If the daemon does not take it.
    pub async fn dial(&self, host: &Host) -> Link {
        self.dial_from(Endpoint::client(([127, 0, 0, 1], 0).into()).expect("a socket"), host).await
    }

    /// The same, from a socket of its own choice.
    ///
    /// # Panics
    /// If the daemon does not take it.
    pub async fn dial_from(&self, endpoint: Endpoint, host: &Host) -> Link {
        let node: NodeId = host.id.parse().expect("an id");
        let certificate = match &self.membership {
            Some(membership) => membership.certificate.to_vec().into(),
            None => self_signed(&self.key, &self.name).expect("a certificate"),
        };
        let tls = dialer(&Shown::new(Arc::clone(&self.key), certificate), node).expect("TLS");
        let tls = QuicClientConfig::try_from(tls).expect("a cipher for the first packet");
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        let mut transport = quinn::TransportConfig::default();
        transport.keep_alive_interval(Some(Duration::from_secs(5)));
        config.transport_config(Arc::new(transport));
        let address = ([127, 0, 0, 1], host.port).into();
        let connection = endpoint.connect_with(config, address, "node.invalid").expect("a dial").await.expect("linked");
        let (mut control, mut receive) = connection.open_bi().await.expect("a stream");
        say(&mut control, &ControlMessage::Hello(Box::new(self.hello()))).await;
        let mut arrived = BytesMut::new();
        let greeting = tokio::time::timeout(PATIENCE, hear(&mut receive, &mut arrived)).await.expect("in time");
        assert!(matches!(greeting, Some(ControlMessage::Hello(_))), "no HELLO but {greeting:?}");
        let heard = Arc::new(Heard::default());
        tokio::spawn(hear_control(receive, arrived, Arc::clone(&heard)));
        tokio::spawn(hear_streams(connection.clone(), Arc::clone(&heard)));
        let lane = connection.open_uni().await.expect("a stream");
        let key = Arc::clone(&self.key);
        Link { key, node, connection, moved: 0, control, lane, heard, _endpoint: endpoint }
    }

    fn hello(&self) -> Hello {
        let record = self.record_with(|_| {});
        let mesh = self.membership.as_ref().map_or([0; limits::ID_BYTES], |membership| membership.mesh);
        Hello { speaks_ours: true, mesh, record, time: wall(), payload_max: None, link: Some(random_seed()) }
    }
}

/// What the daemon said.
#[derive(Debug, Default)]
struct Heard {
    records: Mutex<Vec<AgentRecord>>,
    lists: Mutex<Vec<Revocations>>,
    frames: Mutex<VecDeque<Frame>>,
    notices: Mutex<Vec<Notice>>,
    news: Notify,
}

/// A link on which both have said HELLO.
#[derive(Debug)]
pub struct Link {
    key: Arc<NodeKey>,
    node: NodeId,
    /// For whatever a test does to it.
    pub connection: Connection,
    /// How far the daemon's wall clock is from ours, in ns.
    pub moved: i64,
    control: SendStream,
    lane: SendStream,
    heard: Arc<Heard>,
    _endpoint: Endpoint,
}

impl Link {
    /// Tells of an agent, or of anything else.
    pub async fn say(&mut self, message: &ControlMessage) {
        say(&mut self.control, message).await;
    }

    /// Sends frames, one behind the other on one stream.
    ///
    /// # Panics
    /// If the link has ended.
    pub async fn send(&mut self, frames: &[Bytes]) {
        for some in frames.chunks(64) {
            self.lane.write_all(&some.concat()).await.expect("the link is up");
        }
    }

    /// Waits until the daemon has taken all that was sent before: it answers a PING that came behind it.
    pub async fn settled(&mut self) {
        let draft = draft(MessageType::Ping, Shape::Ping, random_id(), self.key.as_agent().id(), self.node.agent());
        let draft = Draft { timestamp: draft.timestamp.saturating_add_signed(self.moved), ..draft };
        let ping = Signer::new().sign(self.key.as_agent(), &draft, &MetadataDraft::default(), &[]).expect("a frame");
        self.send(&[ping.as_bytes().clone()]).await;
        self.frame("the answer to a PING", |frame| {
            frame.header().shape() == Shape::Pong && frame.header().id() == draft.id
        })
        .await;
    }

    /// The newest record of an agent of the daemon's, once it was told.
    pub async fn record(&self, name: &str) -> Known {
        let find = |records: &Vec<AgentRecord>| {
            let of_name = records.iter().filter(|record| record.name.as_str() == name);
            of_name.max_by_key(|record| record.sequence).map(Known::new)
        };
        self.look("a record", || find(&self.heard.records.lock().unwrap_or_else(PoisonError::into_inner))).await
    }

    /// All lists of those that are shut out, in the order in which they came.
    #[must_use]
    pub fn lists(&self) -> Vec<Revocations> {
        self.heard.lists.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The oldest frame that was not asked for yet and that fits.
    pub async fn frame(&self, what: &str, fits: impl Fn(&Frame) -> bool) -> Frame {
        self.look(what, || {
            let mut frames = self.heard.frames.lock().unwrap_or_else(PoisonError::into_inner);
            let at = frames.iter().position(&fits)?;
            frames.remove(at)
        })
        .await
    }

    /// Frames that fit and were not asked for yet.
    #[must_use]
    pub fn frames(&self, fits: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let mut frames = self.heard.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let (found, left): (Vec<Frame>, Vec<Frame>) = frames.drain(..).partition(|frame| fits(frame));
        frames.extend(left);
        found
    }

    /// What the daemon said about frames that went no further.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        self.heard.notices.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn look<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let looking = async {
            loop {
                let mut news = std::pin::pin!(self.heard.news.notified());
                news.as_mut().enable();
                if let Some(found) = look() {
                    return found;
                }
                news.await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.connection.close(1_u8.into(), b"not needed");
    }
}

async fn say(send: &mut SendStream, message: &ControlMessage) {
    let mut out = BytesMut::new();
    message.write(&mut out).expect("within the bound");
    send.write_all(&out).await.expect("the link is up");
}

async fn hear(receive: &mut RecvStream, arrived: &mut BytesMut) -> Option<ControlMessage> {
    loop {
        if let Ok(message) = ControlMessage::take(arrived) {
            return Some(message);
        }
        let chunk = receive.read_chunk(1 << 16, true).await.ok().flatten()?;
        arrived.extend_from_slice(&chunk.bytes);
    }
}

async fn hear_control(mut receive: RecvStream, mut arrived: BytesMut, heard: Arc<Heard>) {
    while let Some(message) = hear(&mut receive, &mut arrived).await {
        match message {
            ControlMessage::Record(record) => {
                if record.kind() == RecordKind::Revocations {
                    let list = Revocations::read(record.body()).expect("a list");
                    heard.lists.lock().unwrap_or_else(PoisonError::into_inner).push(list);
                } else if let Ok(record) = AgentRecord::read(record.body()) {
                    heard.records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
                }
            }
            ControlMessage::Notice(notice) => {
                heard.notices.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
            }
            ControlMessage::Hello(_)
            | ControlMessage::Want(_)
            | ControlMessage::Explain(_)
            | ControlMessage::Story(_)
            | ControlMessage::Member(_)
            | ControlMessage::Unknown(_) => {}
        }
        heard.news.notify_waiters();
    }
}

async fn hear_streams(connection: Connection, heard: Arc<Heard>) {
    while let Ok(mut stream) = connection.accept_uni().await {
        let heard = Arc::clone(&heard);
        tokio::spawn(async move {
            let mut arrived = BytesMut::new();
            while let Ok(Some(chunk)) = stream.read_chunk(1 << 16, true).await {
                arrived.extend_from_slice(&chunk.bytes);
                while let Ok(frame) = Frame::take(&mut arrived, Boundary::Wire) {
                    let mut frames = heard.frames.lock().unwrap_or_else(PoisonError::into_inner);
                    if frames.len() >= KEPT_MAX {
                        frames.pop_front();
                    }
                    frames.push_back(frame);
                }
                heard.news.notify_waiters();
            }
        });
    }
}

/// An agent as its record tells of it.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Who it is.
    pub id: AgentId,
    /// What its frames are verified with.
    pub key: PublicKey,
    /// What mail to it is sealed to.
    pub prekey: PrekeyPublic,
}

impl Known {
    fn new(record: &AgentRecord) -> Self {
        let key = PublicKey::admit(&record.public_key).expect("a key");
        let (prekey, _) = record.prekey.expect("a prekey");
        Self { id: key.id(), key, prekey: PrekeyPublic::new(prekey) }
    }
}

/// What a frame of the daemon's says, after its signature held.
///
/// # Panics
/// If anything about it is wrong.
pub fn open(frame: Frame, key: &PublicKey, prekeys: &mut Prekeys) -> Content {
    let is_sealed = frame.sealed().is_some();
    let verified = verify::frame(frame, key).expect("signed by the daemon's agent");
    let content = if is_sealed { verify::open(verified, prekeys, wall()) } else { verify::read(verified) };
    content.expect("a frame that opens").into_inner()
}

/// A header to be filled in.
#[must_use]
pub fn draft(message_type: MessageType, shape: Shape, id: MessageId, source: AgentId, destination: AgentId) -> Draft {
    Draft {
        message_type,
        shape,
        id,
        timestamp: wall(),
        source,
        destination,
        content_type: ContentType::None,
        hops: 8,
        sequence: Sequence::NONE,
        told: Receipt::None,
        last: false,
    }
}

/// A place in a flow, as a frame names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spot {
    /// Which flow.
    pub flow: u64,
    /// The place.
    pub sequence: u32,
    /// The lowest place that is still owned.
    pub floor: u32,
}

/// What one agent writes to another: sealed and signed as a daemon would, in whatever place the test says.
#[derive(Debug)]
pub struct Pen<'a> {
    key: &'a AgentKey,
    to: Known,
    sealer: Sealer,
    signer: Signer,
}

impl<'a> Pen<'a> {
    /// A pen with an ephemeral key of its own.
    #[must_use]
    pub fn new(key: &'a AgentKey, to: Known) -> Self {
        let sealer = Sealer::new(key.id(), to.id, to.prekey, 0).expect("an ephemeral key");
        Self { key, to, sealer, signer: Signer::new() }
    }

    /// A header from the one to the other.
    #[must_use]
    pub fn draft(&self, message_type: MessageType, shape: Shape, id: MessageId) -> Draft {
        draft(message_type, shape, id, self.key.id(), self.to.id)
    }

    /// A sealed frame.
    pub fn seal(&mut self, draft: &Draft, metadata: &MetadataDraft<'_>, body: &[u8]) -> Bytes {
        self.sealer.seal(self.key, draft, metadata, body, 0).expect("a frame").as_bytes().clone()
    }

    /// A frame with a place in a flow.
    pub fn durable(&mut self, draft: Draft, spot: Spot, expiry: u64, body: &[u8]) -> Bytes {
        let draft = Draft { sequence: Sequence::new(spot.sequence), ..draft };
        let metadata = MetadataDraft {
            flow_id: FlowId::new(spot.flow),
            floor: Some(spot.floor),
            expiry: Some(expiry),
            handled_wanted: draft.message_type == MessageType::Request,
            topic: (draft.message_type == MessageType::Broadcast).then_some("all"),
            ..MetadataDraft::default()
        };
        self.seal(&draft, &metadata, body)
    }

    /// STORED, up to a place of a flow.
    pub fn stored(&mut self, flow: u64, sequence: u32) -> Bytes {
        let draft = Draft {
            sequence: Sequence::new(sequence),
            ..self.draft(MessageType::Ack, Shape::Stored, MessageId::new(0))
        };
        let metadata = MetadataDraft { flow_id: FlowId::new(flow), ..MetadataDraft::default() };
        self.sign(&draft, &metadata, &[])
    }

    /// A frame that is signed and not sealed.
    pub fn sign(&mut self, draft: &Draft, metadata: &MetadataDraft<'_>, body: &[u8]) -> Bytes {
        self.signer.sign(self.key, draft, metadata, body).expect("a frame").as_bytes().clone()
    }
}
