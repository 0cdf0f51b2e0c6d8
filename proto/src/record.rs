//! What an agent or a node signed about itself, and who the mesh trusts no longer: the exact bytes, and what they decode to (`docs/PROTOCOL.md`,
//! section 9). Signatures are checked in `keys`, which alone can turn a record into a verified one.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{AgentId, Name, NodeId, Refusal, limits};

mod fields;
mod revocations;

use fields::{Fields, RecordWriter};
pub use revocations::Revocations;

/// First byte of a carried agent record.
const AGENT: u8 = 1;
/// First byte of a carried node record.
const NODE: u8 = 2;
/// First byte of a carried list of revocations.
const REVOCATIONS: u8 = 3;
/// Kind and length.
const PREFIX_BYTES: usize = 3;

/// A record as it is carried: its layout holds, its body and signatures are not judged.
#[derive(Clone, PartialEq, Eq)]
pub struct CarriedRecord {
    bytes: Bytes,
    kind: RecordKind,
    body_bytes: usize,
}

/// Whose record it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordKind {
    /// Signed by the agent and countersigned by the node that hosts it.
    Agent,
    /// Signed by the node.
    Node,
    /// Signed by the mesh's authority.
    Revocations,
}

impl RecordKind {
    const fn signatures(self) -> usize {
        match self {
            Self::Agent => 2,
            Self::Node | Self::Revocations => 1,
        }
    }
}

impl CarriedRecord {
    /// Reads bytes that are exactly one record.
    pub fn read(bytes: Bytes) -> Result<Self, Refusal> {
        let kind = match bytes.first() {
            Some(&AGENT) => RecordKind::Agent,
            Some(&NODE) => RecordKind::Node,
            Some(&REVOCATIONS) => RecordKind::Revocations,
            Some(_) | None => return Err(Refusal::RecordForm),
        };
        let length = bytes.get(1..PREFIX_BYTES).and_then(|length| length.try_into().ok()).ok_or(Refusal::RecordForm)?;
        let body_bytes = usize::from(u16::from_be_bytes(length));
        let wanted = PREFIX_BYTES + body_bytes + kind.signatures() * limits::SIGNATURE_BYTES;
        if body_bytes > limits::RECORD_BYTES_MAX || wanted != bytes.len() {
            return Err(Refusal::RecordForm);
        }
        Ok(Self { bytes, kind, body_bytes })
    }

    /// Puts a record together from what was signed and the signatures over it.
    pub fn assemble(
        kind: RecordKind,
        body: &[u8],
        signature: &[u8; limits::SIGNATURE_BYTES],
        countersignature: Option<&[u8; limits::SIGNATURE_BYTES]>,
    ) -> Result<Self, Refusal> {
        let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + body.len() + 2 * limits::SIGNATURE_BYTES);
        bytes.put_u8(match kind {
            RecordKind::Agent => AGENT,
            RecordKind::Node => NODE,
            RecordKind::Revocations => REVOCATIONS,
        });
        bytes.put_u16(u16::try_from(body.len()).map_err(|_| Refusal::RecordForm)?);
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(signature);
        bytes.extend_from_slice(countersignature.map_or(&[][..], |signature| signature));
        Self::read(bytes.freeze())
    }

    /// Whose record it is.
    #[must_use]
    pub const fn kind(&self) -> RecordKind {
        self.kind
    }

    /// What was signed.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(PREFIX_BYTES..PREFIX_BYTES + self.body_bytes).unwrap_or_default()
    }

    /// The maker's signature.
    #[must_use]
    pub fn signature(&self) -> Option<&[u8; limits::SIGNATURE_BYTES]> {
        self.bytes.get(PREFIX_BYTES + self.body_bytes..)?.first_chunk()
    }

    /// The hosting node's signature over body and signature.
    #[must_use]
    pub fn countersignature(&self) -> Option<&[u8; limits::SIGNATURE_BYTES]> {
        match self.kind {
            RecordKind::Agent => self.bytes.last_chunk(),
            RecordKind::Node | RecordKind::Revocations => None,
        }
    }

    /// All of it, as it is passed on.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl core::fmt::Debug for CarriedRecord {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CarriedRecord").field("kind", &self.kind).field("body_bytes", &self.body_bytes).finish()
    }
}

/// A record, whose it is, and the bytes to pass on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Known<R> {
    /// The hash of the key that it is about.
    pub id: AgentId,
    /// What it says.
    pub record: R,
    /// As it was signed.
    pub carried: CarriedRecord,
}

/// Who an agent is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentRecord {
    /// Its Ed25519 public key.
    pub public_key: [u8; limits::PUBLIC_KEY_BYTES],
    /// What it is called on its node.
    pub name: Name,
    /// What it can do.
    pub capabilities: Vec<Box<str>>,
    /// Which broadcasts it wants.
    pub topics: Vec<Box<str>>,
    /// Public half and last moment of the key that mail to it is sealed to. Without one it can only be pinged.
    pub prekey: Option<([u8; limits::AGREEMENT_KEY_BYTES], u64)>,
    /// Where it lives.
    pub host: NodeId,
    /// X.509 certificates, if it has any. Carried, never judged.
    pub chain: Vec<Bytes>,
    /// The maker's clock in ns; of two records the higher one counts.
    pub sequence: u64,
    /// Until when mail may be addressed by it, in ns.
    pub expiry: u64,
}

/// Who a node is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeRecord {
    /// Its Ed25519 public key.
    pub public_key: [u8; limits::PUBLIC_KEY_BYTES],
    /// What it is called in its mesh.
    pub name: Name,
    /// Where it listens.
    pub addresses: Vec<Box<str>>,
    /// Which nodes it is linked with.
    pub links: Vec<NodeId>,
    /// Its X.509 certificate, by which the mesh's authority says that it belongs. None where nodes are pinned.
    pub certificate: Option<Bytes>,
    /// The maker's clock in ns; of two records the higher one counts.
    pub sequence: u64,
    /// Until when it counts, in ns.
    pub expiry: u64,
}

impl AgentRecord {
    /// Reads the body of an agent record.
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        let mut f = Fields::read(body)?;
        forbid(f.addresses.is_some() || f.links.is_some())?;
        let prekey = match (f.prekey, f.prekey_not_after) {
            (Some(public), Some(not_after)) => Some((public, not_after)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(Refusal::RecordValue),
        };
        Ok(Self {
            public_key: must(f.public_key)?,
            name: must(f.name.take())?,
            capabilities: must(f.capabilities.take())?,
            topics: must(f.topics.take())?,
            prekey,
            host: must(f.host)?,
            chain: f.chain.take().unwrap_or_default(),
            sequence: must(f.sequence)?,
            expiry: must(f.expiry)?,
        })
    }

    /// Writes the body that is to be signed. Bounds are judged by reading it back.
    pub fn write(&self) -> Result<Bytes, Refusal> {
        let entries = 7 + usize::from(self.prekey.is_some()) * 2 + usize::from(!self.chain.is_empty());
        let mut w = RecordWriter::begin(entries);
        w.bin(fields::PUBLIC_KEY, &self.public_key);
        w.str(fields::NAME, self.name.as_str());
        w.strs(fields::CAPABILITIES, &self.capabilities);
        w.strs(fields::TOPICS, &self.topics);
        if let Some((public, not_after)) = &self.prekey {
            w.bin(fields::PREKEY, public);
            w.uint(fields::PREKEY_NOT_AFTER, *not_after);
        }
        w.bin(fields::HOST, self.host.as_bytes());
        if !self.chain.is_empty() {
            w.bins(fields::CHAIN, self.chain.iter().map(|certificate| &certificate[..]));
        }
        w.uint(fields::SEQUENCE, self.sequence);
        w.uint(fields::EXPIRY, self.expiry);
        let body = w.end();
        let again = Self::read(&body)?;
        if again == *self { Ok(body) } else { Err(Refusal::RecordValue) }
    }
}

impl NodeRecord {
    /// Reads the body of a node record.
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        let mut f = Fields::read(body)?;
        let of_agents = f.capabilities.is_some() || f.topics.is_some() || f.prekey.is_some() || f.host.is_some();
        forbid(of_agents || f.prekey_not_after.is_some())?;
        let certificate = match f.chain.take().as_deref() {
            None => None,
            Some([certificate]) if certificate.len() <= limits::CERTIFICATE_BYTES_MAX => Some(certificate.clone()),
            Some(_) => return Err(Refusal::RecordValue),
        };
        Ok(Self {
            public_key: must(f.public_key)?,
            name: must(f.name.take())?,
            addresses: must(f.addresses.take())?,
            links: must(f.links.take())?,
            certificate,
            sequence: must(f.sequence)?,
            expiry: must(f.expiry)?,
        })
    }

    /// Writes the body that is to be signed. Bounds are judged by reading it back.
    pub fn write(&self) -> Result<Bytes, Refusal> {
        let mut w = RecordWriter::begin(6 + usize::from(self.certificate.is_some()));
        w.bin(fields::PUBLIC_KEY, &self.public_key);
        w.str(fields::NAME, self.name.as_str());
        if let Some(certificate) = &self.certificate {
            w.bins(fields::CHAIN, core::iter::once(&certificate[..]));
        }
        w.uint(fields::SEQUENCE, self.sequence);
        w.uint(fields::EXPIRY, self.expiry);
        w.strs(fields::ADDRESSES, &self.addresses);
        w.bins(fields::LINKS, self.links.iter().map(|link| &link.as_bytes()[..]));
        let body = w.end();
        let again = Self::read(&body)?;
        if again == *self { Ok(body) } else { Err(Refusal::RecordValue) }
    }
}

fn must<T>(field: Option<T>) -> Result<T, Refusal> {
    field.ok_or(Refusal::RecordValue)
}

/// Refuses fields of the other kind of record.
fn forbid(there: bool) -> Result<(), Refusal> {
    if there { Err(Refusal::RecordValue) } else { Ok(()) }
}
