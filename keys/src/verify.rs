//! The one place where a [`Verified`] is made. Everything is checked over the bytes that arrived.

use proto::member::{JoinAsk, SignedAsk};
use proto::record::{AgentRecord, CarriedRecord, Known, NodeRecord, RecordKind, Revocations};
use proto::{Content, Frame, Header, Refusal, Verified};

use crate::sign::{self, Context, digest};
use crate::{AgentKey, AuthorityTrust, NodeKey, Prekeys, PublicKey};

/// Checks a frame's signature. The key is that of the header's source, or this fails.
pub fn frame(frame: Frame, key: &PublicKey) -> Result<Verified<Frame>, Refusal> {
    let header = frame.header();
    if header.source() != key.id() {
        return Err(Refusal::WrongKey);
    }
    let (Some(signature), Some(nonce)) = (frame.signature(), frame.nonce()) else {
        return Err(Refusal::Unprotected);
    };
    if !key.has_signed(&digest(header, frame.content(), nonce), signature) {
        return Err(Refusal::Signature);
    }
    Ok(Verified::assert_verified(frame))
}

/// Takes the content out of a frame that is signed and not sealed.
pub fn read(frame: Verified<Frame>) -> Result<Verified<Content>, Refusal> {
    let (header, plain) = frame.into_inner().into_plain().ok_or(Refusal::Unprotected)?;
    Content::read(&header, plain).map(Verified::assert_verified)
}

/// Opens a frame that was sealed to one of `prekeys`. `now` is the wall clock in ns.
pub fn open(frame: Verified<Frame>, prekeys: &mut Prekeys, now: u64) -> Result<Verified<Content>, Refusal> {
    let (header, plain) = prekeys.open(frame.into_inner(), now)?;
    Content::read(&header, plain).map(Verified::assert_verified)
}

/// The header of a verified frame: signed like the rest of it, but for the hops.
#[must_use]
pub fn header(frame: &Verified<Frame>) -> Verified<Header> {
    Verified::assert_verified(*frame.get().header())
}

/// What became of a verified frame whose content was refused.
#[derive(Clone, Debug)]
pub enum Rejected {
    /// Nothing can be said about what is in it.
    Refused(Refusal),
    /// It has a place in a flow, which could be read. The body is left out.
    Unfit(Verified<Box<Content>>, Refusal),
}

/// Like [`open`], and tells the place in the flow of a durable frame whose content is refused.
pub fn open_or_place(frame: Verified<Frame>, prekeys: &mut Prekeys, now: u64) -> Result<Verified<Content>, Rejected> {
    let (header, plain) = prekeys.open(frame.into_inner(), now).map_err(Rejected::Refused)?;
    Content::read(&header, plain.clone()).map(Verified::assert_verified).map_err(|refusal| {
        match Content::read_place(&header, plain) {
            Some(place) => Rejected::Unfit(Verified::assert_verified(Box::new(place)), refusal),
            None => Rejected::Refused(refusal),
        }
    })
}

/// A record, the admitted key that it is about, and the bytes to pass on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attested<R> {
    /// What it says.
    pub record: R,
    /// Whose it is.
    pub key: PublicKey,
    /// As it was signed.
    pub carried: CarriedRecord,
}

impl<R> Attested<R> {
    /// The same proof without the decoded key, for those who verify nothing themselves.
    #[must_use]
    pub fn known(proof: Verified<Self>) -> Verified<Known<R>> {
        let Self { record, key, carried } = proof.into_inner();
        Verified::assert_verified(Known { id: key.id(), record, carried })
    }
}

/// Checks an agent's record: its own signature, and that of the node that hosts it, without which it does not count.
pub fn agent_record(carried: CarriedRecord, host: &PublicKey) -> Result<Verified<Attested<AgentRecord>>, Refusal> {
    if carried.kind() != RecordKind::Agent {
        return Err(Refusal::RecordForm);
    }
    let record = AgentRecord::read(carried.body())?;
    let key = PublicKey::admit(&record.public_key)?;
    let signature = carried.signature().ok_or(Refusal::RecordForm)?;
    if !key.has_signed(&Context::AgentRecord.message(&[carried.body()]), signature) {
        return Err(Refusal::RecordSignature);
    }
    let hosting = carried.countersignature().ok_or(Refusal::RecordForm)?;
    let hosted = Context::Hosting.message(&[carried.body(), signature]);
    if record.host != host.node_id() || !host.has_signed(&hosted, hosting) {
        return Err(Refusal::Countersignature);
    }
    Ok(Verified::assert_verified(Attested { record, key, carried }))
}

/// Signs the record of an agent that lives here. What both keys signed just now need not be checked.
pub fn own_agent_record(
    agent: &AgentKey,
    host: &NodeKey,
    record: &AgentRecord,
) -> Result<Verified<Attested<AgentRecord>>, Refusal> {
    let carried = sign::agent_record(agent, host, record)?;
    let record = AgentRecord::read(carried.body())?;
    Ok(Verified::assert_verified(Attested { record, key: *agent.public(), carried }))
}

/// Checks a node's record.
pub fn node_record(carried: CarriedRecord) -> Result<Verified<Attested<NodeRecord>>, Refusal> {
    if carried.kind() != RecordKind::Node {
        return Err(Refusal::RecordForm);
    }
    let record = NodeRecord::read(carried.body())?;
    let key = PublicKey::admit(&record.public_key)?;
    let signature = carried.signature().ok_or(Refusal::RecordForm)?;
    if !key.has_signed(&Context::NodeRecord.message(&[carried.body()]), signature) {
        return Err(Refusal::RecordSignature);
    }
    Ok(Verified::assert_verified(Attested { record, key, carried }))
}

/// Checks a member's record: like [`node_record`], and the mesh's authority gave its certificate to this key under this
/// name, for no less time than the record counts. Whether that time has come or is over is not judged, nor whether the
/// node was revoked since.
pub fn member_record(
    carried: CarriedRecord,
    trust: &AuthorityTrust,
) -> Result<Verified<Attested<NodeRecord>>, Refusal> {
    let proof = node_record(carried)?;
    let Attested { record, key, .. } = proof.get();
    let certificate = record.certificate.as_deref().ok_or(Refusal::Certificate)?;
    let about = trust.judge_once(certificate).map_err(|_| Refusal::Certificate)?;
    if about.key != *key || about.name != record.name || record.expiry > about.validity.not_after {
        return Err(Refusal::Certificate);
    }
    Ok(proof)
}

/// Checks the list of those that a mesh trusts no longer.
pub fn revocations(carried: CarriedRecord, authority: &PublicKey) -> Result<Verified<Attested<Revocations>>, Refusal> {
    if carried.kind() != RecordKind::Revocations {
        return Err(Refusal::RecordForm);
    }
    let record = Revocations::read(carried.body())?;
    if record.mesh != *authority.id().as_bytes() {
        return Err(Refusal::WrongKey);
    }
    let signature = carried.signature().ok_or(Refusal::RecordForm)?;
    if !authority.has_signed(&Context::Revocation.message(&[carried.body()]), signature) {
        return Err(Refusal::RecordSignature);
    }
    Ok(Verified::assert_verified(Attested { record, key: *authority, carried }))
}

/// What a newcomer asks, and the admitted keys that signed it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// What it asks.
    pub ask: JoinAsk,
    /// The ticket's key. Whether such a ticket is open is for its holder to say.
    pub ticket: PublicKey,
    /// The newcomer's key.
    pub node: PublicKey,
}

/// Checks what a newcomer asks: whoever made it has the ticket and the key that is to become a member.
pub fn join_ask(signed: &SignedAsk) -> Result<Verified<Asked>, Refusal> {
    let ask = JoinAsk::read(signed.body())?;
    let ticket = PublicKey::admit(&ask.ticket_key)?;
    let node = PublicKey::admit(&ask.public_key)?;
    let by_ticket = signed.by_ticket().ok_or(Refusal::RecordForm)?;
    let by_node = signed.by_node().ok_or(Refusal::RecordForm)?;
    let is_signed = ticket.has_signed(&Context::Enrol.message(&[signed.body()]), by_ticket)
        && node.has_signed(&Context::Joiner.message(&[signed.body(), by_ticket]), by_node);
    if !is_signed {
        return Err(Refusal::RecordSignature);
    }
    Ok(Verified::assert_verified(Asked { ask, ticket, node }))
}

/// Whether `key` signed `message` behind a context. For objects that have no type of their own yet.
#[must_use]
pub fn has_signed(key: &PublicKey, context: Context, message: &[u8], signature: &[u8; 64]) -> bool {
    key.has_signed(&context.message(&[message]), signature)
}

/// Whether `key` signed a frame's digest. The rule by itself, for vectors; frames go through [`frame`].
#[must_use]
pub fn has_signed_digest(key: &PublicKey, digest: &[u8; 32], signature: &[u8; 64]) -> bool {
    key.has_signed(digest, signature)
}
