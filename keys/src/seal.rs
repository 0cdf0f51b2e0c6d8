//! How a frame that nobody in between can read is made: sealed to the destination's prekey, then signed.

use bytes::BytesMut;
use proto::metadata::MetadataDraft;
use proto::{AgentId, Boundary, Draft, Frame, Header, Refusal, Shape, limits};
use x25519_dalek::{PublicKey as AgreementKey, StaticSecret};
use zeroize::Zeroizing;

use crate::cipher::BodyKey;
use crate::nonce::OsNonces;
use crate::prekey::{PrekeyPublic, agree, body_info};
use crate::{AgentKey, NoRandomness, fill_random, sign, stack};

/// One source's ephemeral key towards one prekey of one destination. Lives in memory only, and ends instead of
/// wearing out.
pub struct Sealer {
    source: AgentId,
    destination: AgentId,
    prekey: PrekeyPublic,
    ephemeral: [u8; limits::AGREEMENT_KEY_BYTES],
    /// Boxed: whatever moves leaves a copy behind that nobody wipes.
    shared: Box<Zeroizing<[u8; 32]>>,
    nonces: OsNonces,
    used: u32,
    born: u64,
}

/// Why no frame was made. Nothing was used up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SealError {
    /// The ephemeral key has sealed as much, or lived as long, as it may. Make another sealer.
    #[error("this ephemeral key has sealed as much or lived as long as it may")]
    Spent,
    /// The frame is not from this key, or not for this sealer. A fault of the caller.
    #[error("the frame names another source or destination")]
    OtherEnds,
    /// The frame would be refused by whoever reads it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There are no nonces.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl Sealer {
    /// Makes the ephemeral key and agrees on the secret. `now` is any clock in ns that never goes back.
    pub fn new(source: AgentId, destination: AgentId, prekey: PrekeyPublic, now: u64) -> Result<Self, SealError> {
        let (ephemeral, shared) = stack::wiped(|| {
            let mut secret = Zeroizing::new([0; 32]);
            fill_random(&mut *secret)?;
            let secret = StaticSecret::from(*secret);
            let shared = agree(&secret, prekey.public())?;
            Ok::<_, SealError>((AgreementKey::from(&secret).to_bytes(), shared))
        })?;
        Ok(Self { source, destination, prekey, ephemeral, shared, nonces: OsNonces::new(), used: 0, born: now })
    }

    /// Whether it may still seal at `now`.
    #[must_use]
    pub const fn is_spent(&self, now: u64) -> bool {
        self.used >= limits::SEALS_PER_EPHEMERAL_MAX || now.saturating_sub(self.born) > limits::EPHEMERAL_LIFE_MAX
    }

    /// The prekey it seals to.
    #[must_use]
    pub const fn prekey(&self) -> &PrekeyPublic {
        &self.prekey
    }

    /// Makes one frame, in one buffer.
    pub fn seal(
        &mut self,
        key: &AgentKey,
        draft: &Draft,
        metadata: &MetadataDraft<'_>,
        body: &[u8],
        now: u64,
    ) -> Result<Frame, SealError> {
        if self.is_spent(now) {
            return Err(SealError::Spent);
        }
        let ends_differ = draft.source != self.source || draft.destination != self.destination;
        if ends_differ || key.id() != self.source || matches!(draft.shape, Shape::Chunk | Shape::ChunkAck) {
            return Err(SealError::OtherEnds);
        }
        let mut out = sign::begin(limits::SEAL_PREFIX_BYTES, body.len());
        out.extend_from_slice(self.prekey.id().as_bytes());
        out.extend_from_slice(&self.ephemeral);
        let plain_at = out.len();
        metadata.write(&mut out);
        out.extend_from_slice(body);
        let header = Header::make(draft, Boundary::Wire, out.len() - plain_at)?;
        let nonce = self.nonces.draw()?;
        self.used += 1;
        self.seal_in_place(&header, &nonce, plain_at, &mut out)?;
        Ok(sign::finish(key, &header, &nonce, out)?)
    }

    fn seal_in_place(
        &self,
        header: &Header,
        nonce: &[u8; limits::NONCE_BYTES],
        plain_at: usize,
        out: &mut BytesMut,
    ) -> Result<(), Refusal> {
        let info = body_info(&self.ephemeral, self.prekey.public(), &self.source, &self.destination);
        let body_key = BodyKey::derive(&self.shared, nonce, &info);
        let plain = out.get_mut(plain_at..).ok_or(Refusal::Length)?;
        let tag = body_key.seal(header.canonical().as_bytes(), plain).map_err(|_| Refusal::TooLarge)?;
        out.extend_from_slice(&tag);
        Ok(())
    }
}

impl core::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sealer")
            .field("source", &self.source)
            .field("destination", &self.destination)
            .field("prekey", &self.prekey.id())
            .field("used", &self.used)
            .finish_non_exhaustive()
    }
}
