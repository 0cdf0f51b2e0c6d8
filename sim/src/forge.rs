//! Keys by forgery: ids are what the world says, and whatever it signs is verified by saying so. This is the one place
//! of the simulator where a [`Verified`] is made; nothing here would pass a real verifier.

use bytes::{BufMut, Bytes, BytesMut};
use mesh::Outgoing;
use proto::entry::Parts;
use proto::metadata::MetadataDraft;
use proto::record::{AgentRecord, CarriedRecord, Known, NodeRecord, RecordKind, Revocations};
use proto::{AgentId, Boundary, Content, Draft, Header, Refusal, Shape, Verified};

/// What stands where a signature would.
const SIGNATURE: [u8; 64] = [0x5a; 64];

/// A record of either kind, with the forged proof.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Agent(Verified<Box<Known<AgentRecord>>>),
    Node(Verified<Box<Known<NodeRecord>>>),
    Revocations(Verified<Box<Known<Revocations>>>),
}

/// Bytes of a certificate, as an authority makes them.
const CERTIFICATE_BYTES: usize = 340;

/// What stands where a certificate would.
pub(crate) fn certificate() -> Bytes {
    Bytes::from_static(&[0xce; CERTIFICATE_BYTES])
}

/// The public key whose hash an id is taken to be.
pub(crate) fn public_key(id: AgentId) -> [u8; 32] {
    id.as_bytes().map(|byte| byte ^ 0xff)
}

/// The id of a public key.
pub(crate) fn id_of(public_key: &[u8; 32]) -> AgentId {
    AgentId::new(public_key.map(|byte| byte ^ 0xff))
}

/// Signs an agent's record as the agent and as its node.
pub(crate) fn sign_agent(record: AgentRecord) -> Result<Verified<Box<Known<AgentRecord>>>, Refusal> {
    let carried = CarriedRecord::assemble(RecordKind::Agent, &record.write()?, &SIGNATURE, Some(&SIGNATURE))?;
    let id = id_of(&record.public_key);
    Ok(Verified::assert_verified(Box::new(Known { id, record, carried })))
}

/// Signs a node's record.
pub(crate) fn sign_node(record: NodeRecord) -> Result<Verified<Box<Known<NodeRecord>>>, Refusal> {
    let carried = CarriedRecord::assemble(RecordKind::Node, &record.write()?, &SIGNATURE, None)?;
    let id = id_of(&record.public_key);
    Ok(Verified::assert_verified(Box::new(Known { id, record, carried })))
}

/// Signs a list of revocations as the authority.
pub(crate) fn sign_revocations(record: Revocations) -> Result<Verified<Box<Known<Revocations>>>, Refusal> {
    let carried = CarriedRecord::assemble(RecordKind::Revocations, &record.write()?, &SIGNATURE, None)?;
    let id = AgentId::new(record.mesh);
    Ok(Verified::assert_verified(Box::new(Known { id, record, carried })))
}

/// Reads a record that came over a link or from disk.
pub(crate) fn read_record(carried: CarriedRecord) -> Result<Record, Refusal> {
    Ok(match carried.kind() {
        RecordKind::Agent => {
            let record = AgentRecord::read(carried.body())?;
            let id = id_of(&record.public_key);
            Record::Agent(Verified::assert_verified(Box::new(Known { id, record, carried })))
        }
        RecordKind::Node => {
            let record = NodeRecord::read(carried.body())?;
            let id = id_of(&record.public_key);
            Record::Node(Verified::assert_verified(Box::new(Known { id, record, carried })))
        }
        RecordKind::Revocations => {
            let record = Revocations::read(carried.body())?;
            let id = AgentId::new(record.mesh);
            Record::Revocations(Verified::assert_verified(Box::new(Known { id, record, carried })))
        }
    })
}

/// Makes the frame that a daemon was asked for, and reads it as its receiver will.
pub(crate) fn outgoing(outgoing: &Outgoing, parts: &Parts, boundary: Boundary) -> Result<Content, Refusal> {
    if boundary == Boundary::Wire && outgoing.draft.shape == Shape::Pong {
        let header = Header::make(&outgoing.draft, boundary, 0)?;
        return Content::read(&header, Bytes::new());
    }
    let mut application = Vec::new();
    let metadata = outgoing.notes.draft(parts, &mut application);
    frame(&outgoing.draft, &metadata, &parts.body, boundary)
}

/// Makes a frame and reads it as its receiver will.
pub(crate) fn frame(
    draft: &Draft,
    metadata: &MetadataDraft<'_>,
    body: &[u8],
    boundary: Boundary,
) -> Result<Content, Refusal> {
    let mut plain = BytesMut::new();
    metadata.write(&mut plain);
    plain.put_slice(body);
    let header = Header::make(draft, boundary, plain.len())?;
    Content::read(&header, plain.freeze())
}

/// What a receiver takes it for once the signature held.
pub(crate) fn verified(content: Content) -> Verified<Box<Content>> {
    Verified::assert_verified(Box::new(content))
}

/// The same for a header alone.
pub(crate) fn verified_header(header: Header) -> Verified<Box<Header>> {
    Verified::assert_verified(Box::new(header))
}
