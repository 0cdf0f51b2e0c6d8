//! What an AICP key signs: frames, whose form the RFC fixes, and all else behind a context string.

use bytes::BytesMut;
use proto::member::{JoinAsk, SignedAsk};
use proto::metadata::MetadataDraft;
use proto::record::{AgentRecord, CarriedRecord, NodeRecord, RecordKind, Revocations};
use proto::{Boundary, Draft, Frame, Header, Protection, Refusal, limits};
use sha2::{Digest, Sha256};

use crate::nonce::OsNonces;
use crate::seal::SealError;
use crate::ticket::TicketKey;
use crate::{AgentKey, AuthorityKey, NodeKey};

/// What a signature is for. No two contexts begin alike, and none is as short as a frame's digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Context {
    /// An agent about itself.
    AgentRecord,
    /// A node about an agent that it hosts.
    Hosting,
    /// A node about itself.
    NodeRecord,
    /// A mesh's authority about who is out.
    Revocation,
    /// A ticket's key about who comes in with it.
    Enrol,
    /// A newcomer about itself.
    Joiner,
    /// A node about the key that the authority's key is to be sealed to.
    Successor,
}

impl Context {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::AgentRecord,
        Self::Hosting,
        Self::NodeRecord,
        Self::Revocation,
        Self::Enrol,
        Self::Joiner,
        Self::Successor,
    ];

    /// What stands before the signed bytes.
    #[must_use]
    pub const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::AgentRecord => b"AICP/1 agent record\0",
            Self::Hosting => b"AICP/1 hosting\0",
            Self::NodeRecord => b"AICP/1 node record\0",
            Self::Revocation => b"AICP/1 revocation\0",
            Self::Enrol => b"AICP/1 enrol\0",
            Self::Joiner => b"AICP/1 joiner\0",
            Self::Successor => b"AICP/1 successor\0",
        }
    }

    pub(crate) fn message(self, parts: &[&[u8]]) -> Vec<u8> {
        let mut message = self.as_bytes().to_vec();
        for part in parts {
            message.extend_from_slice(part);
        }
        message
    }
}

/// Makes frames that are signed and not sealed: STORED, PING and its answer, notices, the ends of streams.
pub struct Signer {
    nonces: OsNonces,
}

impl Signer {
    /// Nothing is drawn before the first frame.
    #[must_use]
    pub const fn new() -> Self {
        Self { nonces: OsNonces::new() }
    }

    /// Makes one frame. Shapes that must be sealed are refused: see [`crate::Sealer`].
    pub fn sign(
        &mut self,
        key: &AgentKey,
        draft: &Draft,
        metadata: &MetadataDraft<'_>,
        body: &[u8],
    ) -> Result<Frame, SealError> {
        if draft.source != key.id() {
            return Err(SealError::OtherEnds);
        }
        if draft.shape.protection(Boundary::Wire) != Protection::Signed {
            return Err(Refusal::Unprotected.into());
        }
        let mut out = begin(0, body.len());
        if !matches!(draft.shape, proto::Shape::Pong) {
            metadata.write(&mut out);
            out.extend_from_slice(body);
        }
        let header = Header::make(draft, Boundary::Wire, out.len() - limits::HEADER_BYTES)?;
        let nonce = self.nonces.draw()?;
        Ok(finish(key, &header, &nonce, out)?)
    }
}

impl Default for Signer {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Signer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Signer(..)")
    }
}

/// Signs an agent's record, as the agent and as the node that hosts it.
pub fn agent_record(agent: &AgentKey, host: &NodeKey, record: &AgentRecord) -> Result<CarriedRecord, Refusal> {
    if record.public_key != *agent.public().as_bytes() || record.host != host.id() {
        return Err(Refusal::WrongKey);
    }
    let body = record.write()?;
    let signature = agent.0.sign(&Context::AgentRecord.message(&[&body]));
    let hosting = host.pair().sign(&Context::Hosting.message(&[&body, &signature]));
    CarriedRecord::assemble(RecordKind::Agent, &body, &signature, Some(&hosting))
}

/// Signs a node's record.
pub fn node_record(node: &NodeKey, record: &NodeRecord) -> Result<CarriedRecord, Refusal> {
    if record.public_key != *node.public().as_bytes() {
        return Err(Refusal::WrongKey);
    }
    let body = record.write()?;
    let signature = node.pair().sign(&Context::NodeRecord.message(&[&body]));
    CarriedRecord::assemble(RecordKind::Node, &body, &signature, None)
}

/// Signs the list of those that a mesh trusts no longer.
pub fn revocations(authority: &AuthorityKey, list: &Revocations) -> Result<CarriedRecord, Refusal> {
    if list.mesh != authority.mesh() {
        return Err(Refusal::WrongKey);
    }
    let body = list.write()?;
    let signature = authority.0.sign(&Context::Revocation.message(&[&body]));
    CarriedRecord::assemble(RecordKind::Revocations, &body, &signature, None)
}

/// Signs what a newcomer asks, as the ticket's key and as the newcomer.
pub fn join_ask(ticket: &TicketKey, node: &NodeKey, ask: &JoinAsk) -> Result<SignedAsk, Refusal> {
    if ask.ticket_key != *ticket.public().as_bytes() || ask.public_key != *node.public().as_bytes() {
        return Err(Refusal::WrongKey);
    }
    let body = ask.write();
    let by_ticket = ticket.pair().sign(&Context::Enrol.message(&[&body]));
    let by_node = node.pair().sign(&Context::Joiner.message(&[&body, &by_ticket]));
    SignedAsk::assemble(&body, &by_ticket, &by_node)
}

/// A buffer that holds the whole frame, with room for the header at its beginning.
pub(crate) fn begin(prefix: usize, body: usize) -> BytesMut {
    const METADATA_GUESS: usize = 256;
    let around = limits::HEADER_BYTES + prefix + METADATA_GUESS + limits::TAG_BYTES + limits::TRAILER_BYTES;
    let mut out = BytesMut::with_capacity(around + body);
    out.resize(limits::HEADER_BYTES, 0);
    out
}

/// Fills in the header and appends the trailer. `out` holds the content as it will travel.
pub(crate) fn finish(
    key: &AgentKey,
    header: &Header,
    nonce: &[u8; limits::NONCE_BYTES],
    mut out: BytesMut,
) -> Result<Frame, Refusal> {
    let (place, content) = out.split_first_chunk_mut::<{ limits::HEADER_BYTES }>().ok_or(Refusal::Length)?;
    *place = header.to_bytes();
    let signature = key.0.sign(&digest(header, content, nonce));
    out.extend_from_slice(&signature);
    out.extend_from_slice(nonce);
    Frame::read(out.freeze(), Boundary::Wire).map_err(|_| Refusal::Length)
}

/// What a frame's signature is over.
pub(crate) fn digest(header: &Header, content: &[u8], nonce: &[u8; limits::NONCE_BYTES]) -> [u8; 32] {
    Sha256::new()
        .chain_update(header.canonical().as_bytes())
        .chain_update(content)
        .chain_update(nonce)
        .finalize()
        .into()
}
