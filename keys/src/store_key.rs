//! Keys for what lies on a daemon's disk. Each day has a random one; it is kept wrapped, and once it is erased
//! nothing of that day can be read again, whatever else is stolen.

use bytes::{BufMut, Bytes, BytesMut};
use proto::limits;
use zeroize::Zeroizing;

use crate::cipher::BodyKey;
use crate::nonce::OsNonces;
use crate::{NoRandomness, fill_random};

const BODY_CONTEXT: &[u8] = b"AICP/1 store\0body\0";
const WRAP_CONTEXT: &[u8] = b"AICP/1 store\0wrap\0";
/// What sealing adds: the nonce before, the tag after.
pub const OVERHEAD_BYTES: usize = limits::NONCE_BYTES + limits::TAG_BYTES;

/// What could not be sealed or opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreKeyError {
    /// Another key sealed it, or a byte of it changed, or it belongs to another place.
    #[error("not sealed with this key, or changed since")]
    Broken,
    /// The operating system gave no random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// The node's credential: wraps the keys of the days. Comes from the service manager or from a key file.
pub struct Credential(Zeroizing<[u8; 32]>);

/// The key of one day.
pub struct StoreKey {
    secret: Zeroizing<[u8; 32]>,
    nonces: OsNonces,
}

impl Credential {
    /// Makes one that nobody has.
    pub fn make() -> Result<Self, NoRandomness> {
        let mut secret = Zeroizing::new([0; 32]);
        fill_random(&mut *secret)?;
        Ok(Self(secret))
    }

    /// One that was kept somewhere else.
    #[must_use]
    pub fn from_bytes(secret: &[u8; 32]) -> Self {
        Self(Zeroizing::new(*secret))
    }

    /// For the vault alone.
    pub(crate) fn secret(&self) -> &[u8; 32] {
        &self.0
    }
}

impl StoreKey {
    /// Makes the key of a new day.
    pub fn make() -> Result<Self, NoRandomness> {
        let mut secret = Zeroizing::new([0; 32]);
        fill_random(&mut *secret)?;
        Ok(Self { secret, nonces: OsNonces::new() })
    }

    /// The key as it is kept on disk. `day` goes in as what it belongs to.
    pub fn wrap(&self, credential: &Credential, day: u64) -> Result<Bytes, StoreKeyError> {
        let mut nonces = OsNonces::new();
        seal(credential.secret(), &mut nonces, WRAP_CONTEXT, &day.to_be_bytes(), &*self.secret)
    }

    /// Takes a kept key back into use.
    pub fn unwrap(wrapped: &[u8], credential: &Credential, day: u64) -> Result<Self, StoreKeyError> {
        let mut opened = open(credential.secret(), WRAP_CONTEXT, &day.to_be_bytes(), wrapped)?;
        let secret = Zeroizing::new(opened[..].try_into().map_err(|_| StoreKeyError::Broken)?);
        zeroize::Zeroize::zeroize(&mut opened[..]);
        Ok(Self { secret, nonces: OsNonces::new() })
    }

    /// Seals a body for the disk. `place` says what it belongs to, so that two bodies cannot be exchanged.
    pub fn seal(&mut self, place: &[u8], body: &[u8]) -> Result<Bytes, StoreKeyError> {
        seal(&self.secret, &mut self.nonces, BODY_CONTEXT, place, body)
    }

    /// Opens what [`StoreKey::seal`] made for the same place.
    pub fn open(&self, place: &[u8], sealed: &[u8]) -> Result<Bytes, StoreKeyError> {
        open(&self.secret, BODY_CONTEXT, place, sealed).map(BytesMut::freeze)
    }
}

fn seal(
    secret: &[u8; 32],
    nonces: &mut OsNonces,
    context: &[u8],
    place: &[u8],
    body: &[u8],
) -> Result<Bytes, StoreKeyError> {
    let nonce = nonces.draw()?;
    let mut out = BytesMut::with_capacity(body.len() + OVERHEAD_BYTES);
    out.extend_from_slice(&nonce);
    out.extend_from_slice(body);
    let plain = out.get_mut(limits::NONCE_BYTES..).ok_or(StoreKeyError::Broken)?;
    let tag = BodyKey::derive(secret, &nonce, &[context]).seal(place, plain).map_err(|_| StoreKeyError::Broken)?;
    out.put_slice(&tag);
    Ok(out.freeze())
}

fn open(secret: &[u8; 32], context: &[u8], place: &[u8], sealed: &[u8]) -> Result<BytesMut, StoreKeyError> {
    let (nonce, sealed) = sealed.split_first_chunk().ok_or(StoreKeyError::Broken)?;
    let mut body = BytesMut::from(sealed);
    BodyKey::derive(secret, nonce, &[context]).open(place, &mut body).map_err(|_| StoreKeyError::Broken)?;
    body.truncate(body.len() - limits::TAG_BYTES);
    Ok(body)
}

impl core::fmt::Debug for Credential {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Credential(secret not shown)")
    }
}

impl core::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("StoreKey(secret not shown)")
    }
}
