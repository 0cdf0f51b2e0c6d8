//! The map inside a record: one table of keys for both kinds, read strictly and written in the same order.

use bytes::{Bytes, BytesMut};

use crate::msgpack::{Fault, FieldFault, Reader, Writer, exact, is_text, read_fields};
use crate::{AgentId, Name, NodeId, Refusal, limits};

pub(super) const PUBLIC_KEY: u64 = 1;
pub(super) const NAME: u64 = 2;
pub(super) const CAPABILITIES: u64 = 3;
pub(super) const TOPICS: u64 = 4;
pub(super) const PREKEY: u64 = 5;
pub(super) const PREKEY_NOT_AFTER: u64 = 6;
pub(super) const HOST: u64 = 7;
pub(super) const CHAIN: u64 = 8;
pub(super) const SEQUENCE: u64 = 9;
pub(super) const EXPIRY: u64 = 10;
pub(super) const ADDRESSES: u64 = 11;
pub(super) const LINKS: u64 = 12;

/// All fields that either kind of record can have.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) public_key: Option<[u8; limits::PUBLIC_KEY_BYTES]>,
    pub(super) name: Option<Name>,
    pub(super) capabilities: Option<Vec<Box<str>>>,
    pub(super) topics: Option<Vec<Box<str>>>,
    pub(super) prekey: Option<[u8; limits::AGREEMENT_KEY_BYTES]>,
    pub(super) prekey_not_after: Option<u64>,
    pub(super) host: Option<NodeId>,
    pub(super) chain: Option<Vec<Bytes>>,
    pub(super) sequence: Option<u64>,
    pub(super) expiry: Option<u64>,
    pub(super) addresses: Option<Vec<Box<str>>>,
    pub(super) links: Option<Vec<NodeId>>,
}

impl Fields {
    /// Reads one map that fills `body`, its keys strictly ascending.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        if body.len() > limits::RECORD_BYTES_MAX {
            return Err(Refusal::RecordForm);
        }
        let mut fields = Self::default();
        read_fields(body, |key, reader| fields.take(key, reader)).map_err(refusal)?;
        Ok(fields)
    }

    fn take(&mut self, key: u64, reader: &mut Reader<'_>) -> Result<(), Fault> {
        match key {
            PUBLIC_KEY => self.public_key = Some(exact(reader.bin()?)?),
            NAME => self.name = Some(reader.str()?.parse().map_err(|_| Fault::Type)?),
            CAPABILITIES => {
                self.capabilities = Some(texts(reader, limits::CAPABILITIES_MAX, limits::CAPABILITY_BYTES_MAX)?);
            }
            TOPICS => self.topics = Some(texts(reader, limits::TOPICS_MAX, limits::SUBJECT_BYTES_MAX)?),
            PREKEY => self.prekey = Some(exact(reader.bin()?)?),
            PREKEY_NOT_AFTER => self.prekey_not_after = Some(reader.uint()?),
            HOST => self.host = Some(node(reader.bin()?)?),
            CHAIN => self.chain = Some(certificates(reader)?),
            SEQUENCE => self.sequence = Some(reader.uint()?),
            EXPIRY => self.expiry = Some(reader.uint()?),
            ADDRESSES => self.addresses = Some(texts(reader, limits::ADDRESSES_MAX, limits::ADDRESS_BYTES_MAX)?),
            LINKS => self.links = Some(many(reader, limits::LINKS_MAX, |reader| node(reader.bin()?))?),
            _unknown => reader.skip(1)?,
        }
        Ok(())
    }
}

/// What a record is refused with.
pub(super) const fn refusal(fault: FieldFault) -> Refusal {
    match fault {
        FieldFault::Form => Refusal::RecordForm,
        FieldFault::Value(_) => Refusal::RecordValue,
    }
}

pub(super) fn node(octets: &[u8]) -> Result<NodeId, Fault> {
    Ok(NodeId::new(AgentId::new(exact(octets)?)))
}

/// An array whose length was checked against its bound and against what is there.
fn many<'a, T>(
    reader: &mut Reader<'a>,
    most: u32,
    mut one: impl FnMut(&mut Reader<'a>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let elements = reader.array()?;
    if elements > most {
        return Err(Fault::Type);
    }
    (0..elements).map(|_| one(reader)).collect()
}

fn texts(reader: &mut Reader<'_>, most: u32, bytes_max: usize) -> Result<Vec<Box<str>>, Fault> {
    many(reader, most, |reader| {
        let text = reader.str()?;
        if is_text(text, bytes_max) { Ok(text.into()) } else { Err(Fault::Type) }
    })
}

fn certificates(reader: &mut Reader<'_>) -> Result<Vec<Bytes>, Fault> {
    let mut left = limits::CHAIN_BYTES_MAX;
    let chain = many(reader, limits::CHAIN_MAX, |reader| {
        let certificate = reader.bin()?;
        left = left.checked_sub(certificate.len()).ok_or(Fault::Type)?;
        Ok(Bytes::copy_from_slice(certificate))
    })?;
    if chain.is_empty() { Err(Fault::Type) } else { Ok(chain) }
}

/// Writes the map, entry by entry, in the order of the keys.
pub(super) struct RecordWriter {
    out: BytesMut,
}

impl RecordWriter {
    pub(super) fn begin(entries: usize) -> Self {
        let mut out = BytesMut::new();
        Writer::new(&mut out).map(entries);
        Self { out }
    }

    pub(super) fn bin(&mut self, key: u64, octets: &[u8]) {
        self.key(key).octets(octets);
    }

    pub(super) fn str(&mut self, key: u64, text: &str) {
        self.key(key).str(text);
    }

    pub(super) fn uint(&mut self, key: u64, value: u64) {
        self.key(key).number(value);
    }

    pub(super) fn strs(&mut self, key: u64, texts: &[Box<str>]) {
        let mut writer = self.key(key);
        writer.array(texts.len());
        for text in texts {
            writer.str(text);
        }
    }

    pub(super) fn bins<'a>(&mut self, key: u64, many: impl ExactSizeIterator<Item = &'a [u8]>) {
        let mut writer = self.key(key);
        writer.array(many.len());
        for octets in many {
            writer.octets(octets);
        }
    }

    pub(super) fn end(self) -> Bytes {
        self.out.freeze()
    }

    fn key(&mut self, key: u64) -> Writer<'_> {
        let mut writer = Writer::new(&mut self.out);
        writer.number(key);
        writer
    }
}
