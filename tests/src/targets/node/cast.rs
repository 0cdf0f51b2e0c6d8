//! Who is there, and what they can say: frames and records with real signatures, kept once they were made, since a
//! fuzzer says nearly the same over and over again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use keys::prekey::PrekeyPublic;
use keys::sign::{self, Signer};
use keys::verify::{self, Attested, Rejected};
use keys::{AgentKey, NodeKey, Prekeys, Sealer};
use mesh::PeerSaid;
use proto::control::{ControlBody, RawErrorBody};
use proto::metadata::MetadataDraft;
use proto::record::{AgentRecord, CarriedRecord, Known, NodeRecord, RecordKind};
use proto::{
    AgentId, Boundary, ContentType, Draft, FlowId, Header, MessageId, MessageType, Protection, Receipt, Sequence,
    Shape, Verified,
};

pub(super) const PEERS: usize = 2;
pub(super) const LOCALS: usize = 5;
const REMOTES: usize = 3;
/// What is kept of each kind.
const KEPT_MAX: usize = 1 << 14;

/// All keys. The first locals are hosted from the start, the others are made when the core asks.
pub(super) struct Cast {
    pub(super) us: NodeKey,
    pub(super) peers: [NodeKey; PEERS],
    pub(super) locals: [AgentKey; LOCALS],
    pub(super) remotes: [AgentKey; REMOTES],
    prekeys: Mutex<Vec<(Prekeys, PrekeyPublic)>>,
}

pub(super) fn cast() -> &'static Cast {
    static CAST: OnceLock<Cast> = OnceLock::new();
    CAST.get_or_init(|| {
        let seed = |first: u8, at: usize| [first + u8::try_from(at).unwrap_or(0); 32];
        let us = NodeKey::from_published_seed(&[1; 32]);
        let locals: [AgentKey; LOCALS] = std::array::from_fn(|at| AgentKey::from_published_seed(&seed(10, at)));
        let ids = locals.iter().map(AgentKey::id).chain([us.as_agent().id()]);
        let prekeys = ids.map(|id| {
            let mut prekeys = Prekeys::new(id);
            let made = prekeys.insert_published(&[99; 32], u64::MAX);
            (prekeys, made.expect("room").expect("a new one"))
        });
        Cast {
            prekeys: Mutex::new(prekeys.collect()),
            peers: std::array::from_fn(|at| NodeKey::from_published_seed(&seed(30, at))),
            remotes: std::array::from_fn(|at| AgentKey::from_published_seed(&seed(50, at))),
            us,
            locals,
        }
    })
}

impl Cast {
    /// Everybody, ourselves first.
    pub(super) fn agent(&self, at: usize) -> &AgentKey {
        match at % (1 + LOCALS + REMOTES + PEERS) {
            0 => self.us.as_agent(),
            at if at <= LOCALS => &self.locals[at - 1],
            at if at <= LOCALS + REMOTES => &self.remotes[at - 1 - LOCALS],
            at => self.peers[at - 1 - LOCALS - REMOTES].as_agent(),
        }
    }

    /// The key of an agent that the core may sign for.
    pub(super) fn ours(&self, id: AgentId) -> Option<&AgentKey> {
        self.locals.iter().chain([self.us.as_agent()]).find(|key| key.id() == id)
    }
}

/// A frame from the wire, as a peer may make it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Spec {
    pub(super) message_type: MessageType,
    pub(super) shape: Shape,
    pub(super) id: u64,
    pub(super) timestamp: u64,
    pub(super) source: usize,
    pub(super) destination: usize,
    pub(super) sequence: u32,
    pub(super) flow: Option<u64>,
    pub(super) floor: Option<u32>,
    pub(super) expiry: Option<u64>,
    pub(super) handled_wanted: bool,
    pub(super) again: bool,
    pub(super) body: u16,
    pub(super) how: How,
}

/// What is unusual about it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum How {
    Usual,
    /// Something stands in its metadata that may not.
    Unfit,
    /// Sealed to a prekey that has gone.
    OldPrekey,
}

thread_local! {
    static FRAMES: RefCell<HashMap<Spec, Option<PeerSaid>>> = RefCell::default();
    static RECORDS: RefCell<HashMap<Bytes, Option<Record>>> = RefCell::default();
}

fn kept<K: Clone + Eq + std::hash::Hash, V: Clone>(
    all: &RefCell<HashMap<K, V>>,
    key: &K,
    make: impl FnOnce() -> V,
) -> V {
    if let Some(known) = all.borrow().get(key) {
        return known.clone();
    }
    let made = make();
    let mut all = all.borrow_mut();
    if all.len() >= KEPT_MAX {
        all.clear();
    }
    all.insert(key.clone(), made.clone());
    made
}

/// What a link says once such a frame was verified and opened. Nothing, if it cannot be made or is not taken.
pub(super) fn frame(spec: &Spec) -> Option<PeerSaid> {
    FRAMES.with(|frames| kept(frames, spec, || mint(spec)))
}

fn mint(spec: &Spec) -> Option<PeerSaid> {
    let cast = cast();
    let (key, destination) = (cast.agent(spec.source), cast.agent(spec.destination).id());
    let is_error = spec.message_type == MessageType::Error;
    let draft = Draft {
        message_type: spec.message_type,
        shape: spec.shape,
        id: MessageId::new(spec.id),
        timestamp: spec.timestamp,
        source: key.id(),
        destination,
        content_type: if is_error { ContentType::MessagePack } else { ContentType::None },
        hops: 8,
        sequence: Sequence::new(spec.sequence),
        told: Receipt::None,
        last: false,
    };
    let metadata = MetadataDraft {
        flow_id: spec.flow.and_then(FlowId::new),
        floor: spec.floor,
        expiry: spec.expiry,
        handled_wanted: spec.handled_wanted,
        again: spec.again,
        stream_secret: Some(&[5; 32]).filter(|_| spec.how == How::Unfit),
        ..MetadataDraft::default()
    };
    let body = if is_error { error_body(spec) } else { vec![b'x'; spec.body.into()].into() };
    if spec.shape.protection(Boundary::Wire) != Protection::SealedSigned {
        let frame = Signer::new().sign(key, &draft, &metadata, &body).ok()?;
        let content = verify::frame(frame, key.public()).and_then(verify::read).ok()?;
        return Some(PeerSaid::Frame(content.boxed()));
    }
    let mut prekeys = cast.prekeys.lock().unwrap_or_else(PoisonError::into_inner);
    let (prekeys, public) = prekeys
        .iter_mut()
        .zip(cast.locals.iter().map(AgentKey::id).chain([cast.us.id().agent()]))
        .find_map(|(kept, id)| (id == destination).then_some(kept))
        .map(|(prekeys, public)| (prekeys, *public))?;
    let mut sealer = Sealer::new(draft.source, destination, public, 0).ok()?;
    let frame = sealer.seal(key, &draft, &metadata, &body, 0).ok()?;
    let frame = verify::frame(frame, key.public()).ok()?;
    if spec.how == How::OldPrekey {
        return Some(PeerSaid::OldPrekey(verify::header(&frame).boxed()));
    }
    match verify::open_or_place(frame, prekeys, 0) {
        Ok(content) => Some(PeerSaid::Frame(content.boxed())),
        Err(Rejected::Unfit(place, refusal)) => Some(PeerSaid::Unfit(place, refusal)),
        Err(Rejected::Refused(_)) => None,
    }
}

fn error_body(spec: &Spec) -> Bytes {
    let body = RawErrorBody {
        error_code: 4000 + u32::from(spec.body % 20),
        error_message: "no".into(),
        original_message_id: MessageId::new(spec.id).to_string(),
        retry_after_ms: u32::from(spec.body) << 8,
    };
    body.write(ContentType::MessagePack)
}

/// A record of either kind that was verified.
#[derive(Clone)]
pub(super) enum Record {
    Agent(Verified<Box<Known<AgentRecord>>>),
    Node(Verified<Box<Known<NodeRecord>>>),
}

/// Signs a node's record, if its key is one of ours or of a peer.
pub(super) fn sign_node(record: &NodeRecord) -> Option<Verified<Box<Known<NodeRecord>>>> {
    let cast = cast();
    let key = cast.peers.iter().chain([&cast.us]).find(|key| key.public().as_bytes() == &record.public_key)?;
    match read_record(&sign::node_record(key, record).ok()?)? {
        Record::Node(known) => Some(known),
        Record::Agent(_) => None,
    }
}

/// Signs an agent's record as itself and as its host.
pub(super) fn sign_agent(record: &AgentRecord) -> Option<Verified<Box<Known<AgentRecord>>>> {
    let cast = cast();
    let mut all = cast.locals.iter().chain(&cast.remotes);
    let agent = all.find(|key| key.public().as_bytes() == &record.public_key)?;
    let host = cast.peers.iter().chain([&cast.us]).find(|key| key.id() == record.host)?;
    match read_record(&sign::agent_record(agent, host, record).ok()?)? {
        Record::Agent(known) => Some(known),
        Record::Node(_) => None,
    }
}

/// Verifies a record that came over a link or from disk.
pub(super) fn read_record(carried: &CarriedRecord) -> Option<Record> {
    let bytes = carried.as_bytes().clone();
    RECORDS.with(|records| kept(records, &bytes, || verify_record(carried.clone())))
}

fn verify_record(carried: CarriedRecord) -> Option<Record> {
    let cast = cast();
    match carried.kind() {
        RecordKind::Node => Some(Record::Node(Attested::known(verify::node_record(carried).ok()?).boxed())),
        RecordKind::Agent => {
            let host = AgentRecord::read(carried.body()).ok()?.host;
            let host = cast.peers.iter().chain([&cast.us]).find(|key| key.id() == host)?;
            Some(Record::Agent(Attested::known(verify::agent_record(carried, host.public()).ok()?).boxed()))
        }
        RecordKind::Revocations => None,
    }
}

/// Reads a frame as its receiver will; the header stands for all of a frame that is not sealed here.
pub(super) fn is_readable(draft: &Draft, metadata: &MetadataDraft<'_>, body: &[u8], boundary: Boundary) -> bool {
    let mut plain = bytes::BytesMut::new();
    if draft.shape != Shape::Pong {
        metadata.write(&mut plain);
        plain.extend_from_slice(body);
    } else if boundary == Boundary::Down {
        metadata.write(&mut plain);
    }
    let header = Header::make(draft, boundary, plain.len());
    header.is_ok_and(|header| proto::Content::read(&header, plain.freeze()).is_ok())
}
