//! One frame, still the bytes that arrived: what is verified, forwarded and logged is exactly these.

use bytes::{Buf, Bytes, BytesMut};

use crate::{Boundary, Header, HeaderError, PrekeyId, Protection, Refusal, limits};

/// Header, content and trailer. Nothing but the header has been judged.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    header: Header,
    bytes: Bytes,
}

/// What stands in the content of a sealed and signed frame.
#[derive(Clone, Copy, Debug)]
pub struct Sealed<'a> {
    /// The prekey that it was sealed to.
    pub prekey: PrekeyId,
    /// The source's ephemeral X25519 key.
    pub ephemeral: &'a [u8; limits::AGREEMENT_KEY_BYTES],
    /// The sealed plain body, its tag at the end.
    pub ciphertext: &'a [u8],
}

impl Frame {
    /// Reads bytes that are exactly one frame.
    pub fn read(bytes: Bytes, boundary: Boundary) -> Result<Self, HeaderError> {
        let header = Header::read(&bytes, boundary)?;
        let wanted = limits::HEADER_BYTES + header.payload_bytes();
        match wanted.checked_sub(bytes.len()) {
            Some(0) => Ok(Self { header, bytes }),
            Some(missing) => Err(HeaderError::Short { missing }),
            None => Err(Refusal::Length.into()),
        }
    }

    /// Takes the first frame off what has arrived so far. If bytes are missing, nothing is taken.
    pub fn take(arrived: &mut BytesMut, boundary: Boundary) -> Result<Self, HeaderError> {
        let header = Header::read(arrived, boundary)?;
        let wanted = limits::HEADER_BYTES + header.payload_bytes();
        if let Some(missing) = wanted.checked_sub(arrived.len()).filter(|missing| *missing > 0) {
            return Err(HeaderError::Short { missing });
        }
        Ok(Self { header, bytes: arrived.split_to(wanted).freeze() })
    }

    /// What was judged of it.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// All of it, as it arrived.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Gives the bytes back.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Between header and trailer: what is hashed between the two.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        let end = self.bytes.len() - self.trailer_bytes();
        self.bytes.get(limits::HEADER_BYTES..end).unwrap_or_default()
    }

    /// The signature, if the frame has one.
    #[must_use]
    pub fn signature(&self) -> Option<&[u8; limits::SIGNATURE_BYTES]> {
        match self.protection() {
            Protection::Signed | Protection::SealedSigned => {
                let (rest, _nonce) = self.bytes.split_last_chunk::<{ limits::NONCE_BYTES }>()?;
                rest.last_chunk()
            }
            Protection::None | Protection::Sealed => None,
        }
    }

    /// The nonce, if the frame has one.
    #[must_use]
    pub fn nonce(&self) -> Option<&[u8; limits::NONCE_BYTES]> {
        match self.protection() {
            Protection::Signed | Protection::SealedSigned | Protection::Sealed => self.bytes.last_chunk(),
            Protection::None => None,
        }
    }

    /// The parts of a sealed and signed content.
    #[must_use]
    pub fn sealed(&self) -> Option<Sealed<'_>> {
        if self.protection() != Protection::SealedSigned {
            return None;
        }
        let (prekey, rest) = self.content().split_first_chunk()?;
        let (ephemeral, ciphertext) = rest.split_first_chunk()?;
        Some(Sealed { prekey: PrekeyId::new(*prekey), ephemeral, ciphertext })
    }

    /// Takes the plain body out of a frame that is not sealed.
    #[must_use]
    pub fn into_plain(self) -> Option<(Header, Bytes)> {
        match self.protection() {
            Protection::SealedSigned | Protection::Sealed => None,
            Protection::None | Protection::Signed => {
                let end = self.bytes.len() - self.trailer_bytes();
                let mut plain = self.bytes;
                plain.truncate(end);
                plain.advance(limits::HEADER_BYTES);
                Some((self.header, plain))
            }
        }
    }

    /// The same frame as a relay sends it on, or `None` if its journey ends here (4006).
    #[must_use]
    pub fn into_next_hop(self) -> Option<Self> {
        let ttl = self.header.ttl_of_next_hop()?;
        let boundary = self.header.boundary();
        // The bytes are ours alone unless somebody kept a part of them; only then are they copied.
        let mut bytes = self.bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        *bytes.get_mut(Header::ttl_at())? = ttl;
        Self::read(bytes.freeze(), boundary).ok()
    }

    const fn protection(&self) -> Protection {
        self.header.shape().protection(self.header.boundary())
    }

    const fn trailer_bytes(&self) -> usize {
        match self.protection() {
            Protection::None => 0,
            Protection::Signed | Protection::SealedSigned => limits::TRAILER_BYTES,
            Protection::Sealed => limits::NONCE_BYTES,
        }
    }
}

impl core::fmt::Debug for Frame {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.header.fmt(f)
    }
}
