//! What a newcomer asks of its inviter, and what it is answered.

use bytes::{BufMut, Bytes, BytesMut};

use super::cut;
use crate::msgpack::{Fault, FieldFault, Reader, Writer, exact, read_fields};
use crate::record::{CarriedRecord, RecordKind};
use crate::{AgentId, ErrorCode, Name, NodeId, Refusal, limits};

const MESH: u64 = 1;
const INVITER: u64 = 2;
const TICKET_KEY: u64 = 3;
const PUBLIC_KEY: u64 = 4;
const NAME: u64 = 5;
const TIME: u64 = 6;

const LENGTH_BYTES: usize = 2;

/// Who wants to join, and with which ticket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinAsk {
    /// Which mesh.
    pub mesh: [u8; limits::ID_BYTES],
    /// Who gave out the ticket.
    pub inviter: NodeId,
    /// The public half of the key that is in the ticket.
    pub ticket_key: [u8; limits::PUBLIC_KEY_BYTES],
    /// The newcomer's Ed25519 public key.
    pub public_key: [u8; limits::PUBLIC_KEY_BYTES],
    /// What it wants to be called.
    pub name: Name,
    /// Its wall clock in ns.
    pub time: u64,
}

impl JoinAsk {
    /// Reads the body.
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        let (mut mesh, mut inviter, mut ticket_key, mut public_key) = (None, None, None, None);
        let (mut name, mut time) = (None, None);
        read_fields(body, |key, reader| {
            match key {
                MESH => mesh = Some(exact(reader.bin()?)?),
                INVITER => inviter = Some(NodeId::new(AgentId::new(exact(reader.bin()?)?))),
                TICKET_KEY => ticket_key = Some(exact(reader.bin()?)?),
                PUBLIC_KEY => public_key = Some(exact(reader.bin()?)?),
                NAME => name = Some(reader.str()?.parse().map_err(|_| Fault::Type)?),
                TIME => time = Some(reader.uint()?),
                _unknown => reader.skip(1)?,
            }
            Ok(())
        })
        .map_err(refusal)?;
        Ok(Self {
            mesh: must(mesh)?,
            inviter: must(inviter)?,
            ticket_key: must(ticket_key)?,
            public_key: must(public_key)?,
            name: must(name)?,
            time: must(time)?,
        })
    }

    /// Writes the body that is to be signed.
    #[must_use]
    pub fn write(&self) -> Bytes {
        let mut out = BytesMut::new();
        let mut w = Writer::new(&mut out);
        w.map(6);
        for (key, octets) in [
            (MESH, &self.mesh),
            (INVITER, self.inviter.as_bytes()),
            (TICKET_KEY, &self.ticket_key),
            (PUBLIC_KEY, &self.public_key),
        ] {
            w.number(key);
            w.octets(octets);
        }
        w.number(NAME);
        w.str(self.name.as_str());
        w.number(TIME);
        w.number(self.time);
        out.freeze()
    }
}

/// A [`JoinAsk`] as it is carried: its layout holds, its body and signatures are not judged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedAsk {
    bytes: Bytes,
    body_bytes: usize,
}

impl SignedAsk {
    /// Reads bytes that are exactly one.
    pub fn read(bytes: Bytes) -> Result<Self, Refusal> {
        let length = bytes.first_chunk::<LENGTH_BYTES>().ok_or(Refusal::RecordForm)?;
        let body_bytes = usize::from(u16::from_be_bytes(*length));
        let wanted = LENGTH_BYTES + body_bytes + 2 * limits::SIGNATURE_BYTES;
        if bytes.len() != wanted || wanted > limits::JOIN_ASK_BYTES_MAX {
            return Err(Refusal::RecordForm);
        }
        Ok(Self { bytes, body_bytes })
    }

    /// Puts it together from what was signed, by the ticket's key and by the newcomer's.
    pub fn assemble(
        body: &[u8],
        by_ticket: &[u8; limits::SIGNATURE_BYTES],
        by_node: &[u8; limits::SIGNATURE_BYTES],
    ) -> Result<Self, Refusal> {
        let mut bytes = BytesMut::with_capacity(LENGTH_BYTES + body.len() + 2 * limits::SIGNATURE_BYTES);
        bytes.put_u16(u16::try_from(body.len()).map_err(|_| Refusal::RecordForm)?);
        bytes.put_slice(body);
        bytes.put_slice(by_ticket);
        bytes.put_slice(by_node);
        Self::read(bytes.freeze())
    }

    /// What was signed.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(LENGTH_BYTES..LENGTH_BYTES + self.body_bytes).unwrap_or_default()
    }

    /// The signature of the ticket's key.
    #[must_use]
    pub fn by_ticket(&self) -> Option<&[u8; limits::SIGNATURE_BYTES]> {
        self.bytes.get(LENGTH_BYTES + self.body_bytes..)?.first_chunk()
    }

    /// The signature of the newcomer's key.
    #[must_use]
    pub fn by_node(&self) -> Option<&[u8; limits::SIGNATURE_BYTES]> {
        self.bytes.last_chunk()
    }

    /// All of it, as it is passed on.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }
}

/// What a newcomer is answered. Nothing in it is believed: its parts prove themselves, by the mesh id of the ticket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JoinAnswer {
    /// It belongs to the mesh now.
    Joined(Box<Joined>),
    /// It does not.
    Refused {
        /// Why, for programs.
        code: ErrorCode,
        /// Why, for people. Untrusted.
        words: Box<str>,
        /// The clock of whoever refused, in ns.
        time: u64,
    },
}

/// What a newcomer is given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Joined {
    /// The authority's certificate, in DER.
    pub authority: Bytes,
    /// The newcomer's certificate, in DER.
    pub certificate: Bytes,
    /// Who is out, if ever anybody was.
    pub revocations: Option<CarriedRecord>,
    /// The inviter's record.
    pub inviter: CarriedRecord,
    /// The inviter's clock, in ns.
    pub time: u64,
}

const AUTHORITY: u64 = 1;
const CERTIFICATE: u64 = 2;
const REVOCATIONS: u64 = 3;
const INVITER_RECORD: u64 = 4;
const ANSWER_TIME: u64 = 5;
const CODE: u64 = 6;
const WORDS: u64 = 7;

impl JoinAnswer {
    /// Reads an answer.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > limits::JOIN_ANSWER_BYTES_MAX {
            return Err(Refusal::RecordForm);
        }
        let mut fields = AnswerFields::default();
        read_fields(bytes, |key, reader| fields.take(key, reader)).map_err(refusal)?;
        fields.complete()
    }

    /// Writes it. Words beyond their bound are cut at a character; an answer beyond its own is refused.
    pub fn write(&self) -> Result<Bytes, Refusal> {
        let mut out = BytesMut::new();
        let mut w = Writer::new(&mut out);
        match self {
            Self::Joined(joined) => joined.write(&mut w),
            Self::Refused { code, words, time } => {
                w.map(3);
                w.number(ANSWER_TIME);
                w.number(*time);
                w.number(CODE);
                w.number(code.get().into());
                w.number(WORDS);
                w.str(cut(words));
            }
        }
        if out.len() > limits::JOIN_ANSWER_BYTES_MAX { Err(Refusal::TooLarge) } else { Ok(out.freeze()) }
    }
}

impl Joined {
    fn write(&self, w: &mut Writer<'_>) {
        w.map(4 + usize::from(self.revocations.is_some()));
        w.number(AUTHORITY);
        w.octets(&self.authority);
        w.number(CERTIFICATE);
        w.octets(&self.certificate);
        if let Some(revocations) = &self.revocations {
            w.number(REVOCATIONS);
            w.octets(revocations.as_bytes());
        }
        w.number(INVITER_RECORD);
        w.octets(self.inviter.as_bytes());
        w.number(ANSWER_TIME);
        w.number(self.time);
    }
}

#[derive(Default)]
struct AnswerFields {
    authority: Option<Bytes>,
    certificate: Option<Bytes>,
    revocations: Option<CarriedRecord>,
    inviter: Option<CarriedRecord>,
    time: Option<u64>,
    code: Option<ErrorCode>,
    words: Option<Box<str>>,
}

impl AnswerFields {
    fn take(&mut self, key: u64, reader: &mut Reader<'_>) -> Result<(), Fault> {
        match key {
            AUTHORITY => self.authority = Some(certificate(reader)?),
            CERTIFICATE => self.certificate = Some(certificate(reader)?),
            REVOCATIONS => self.revocations = Some(record(reader, RecordKind::Revocations)?),
            INVITER_RECORD => self.inviter = Some(record(reader, RecordKind::Node)?),
            ANSWER_TIME => self.time = Some(reader.uint()?),
            CODE => {
                let code = u16::try_from(reader.uint()?).ok().and_then(ErrorCode::new);
                self.code = Some(code.ok_or(Fault::Type)?);
            }
            WORDS => {
                let words = Some(reader.str()?).filter(|words| words.len() <= limits::REFUSED_WORDS_BYTES_MAX);
                self.words = Some(words.ok_or(Fault::Type)?.into());
            }
            _unknown => reader.skip(1)?,
        }
        Ok(())
    }

    /// One of the two: what belongs to the other refuses it.
    fn complete(self) -> Result<JoinAnswer, Refusal> {
        let time = must(self.time)?;
        if let Some(code) = self.code {
            let is_both = self.authority.is_some() || self.certificate.is_some() || self.inviter.is_some();
            if is_both || self.revocations.is_some() {
                return Err(Refusal::RecordValue);
            }
            return Ok(JoinAnswer::Refused { code, words: must(self.words)?, time });
        }
        if self.words.is_some() {
            return Err(Refusal::RecordValue);
        }
        Ok(JoinAnswer::Joined(Box::new(Joined {
            authority: must(self.authority)?,
            certificate: must(self.certificate)?,
            revocations: self.revocations,
            inviter: must(self.inviter)?,
            time,
        })))
    }
}

fn certificate(reader: &mut Reader<'_>) -> Result<Bytes, Fault> {
    let octets = reader.bin()?;
    if octets.len() > limits::CERTIFICATE_BYTES_MAX { Err(Fault::Type) } else { Ok(Bytes::copy_from_slice(octets)) }
}

fn record(reader: &mut Reader<'_>, kind: RecordKind) -> Result<CarriedRecord, Fault> {
    let record = CarriedRecord::read(Bytes::copy_from_slice(reader.bin()?)).map_err(|_| Fault::Type)?;
    if record.kind() == kind { Ok(record) } else { Err(Fault::Type) }
}

const fn refusal(fault: FieldFault) -> Refusal {
    match fault {
        FieldFault::Form => Refusal::RecordForm,
        FieldFault::Value(_) => Refusal::RecordValue,
    }
}

fn must<T>(field: Option<T>) -> Result<T, Refusal> {
    field.ok_or(Refusal::RecordValue)
}
