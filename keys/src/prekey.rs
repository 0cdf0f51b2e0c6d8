//! An agent's short-lived keys: what others seal to, and how what was sealed is opened. They are made and erased
//! when somebody says so; nothing here has a timer.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use proto::{AgentId, Frame, Header, PrekeyId, Refusal, limits};
use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey as AgreementKey, StaticSecret};
use zeroize::Zeroizing;

use crate::cipher::BodyKey;
use crate::{NoRandomness, fill_random, stack};

const PREKEY_CONTEXT: &[u8] = b"AICP/1 prekey\0";
const BODY_CONTEXT: &[u8] = b"AICP/1 body\0";

/// The half of a prekey that stands in the agent's record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PrekeyPublic {
    id: PrekeyId,
    public: [u8; limits::AGREEMENT_KEY_BYTES],
}

impl PrekeyPublic {
    /// A prekey from a record. Whether it agrees on a secret is found when something is sealed to it.
    #[must_use]
    pub fn new(public: [u8; limits::AGREEMENT_KEY_BYTES]) -> Self {
        let hash = Sha256::new().chain_update(PREKEY_CONTEXT).chain_update(public).finalize();
        let id = hash.first_chunk().copied().unwrap_or_default();
        Self { id: PrekeyId::new(id), public }
    }

    /// Its name in frames.
    #[must_use]
    pub const fn id(&self) -> PrekeyId {
        self.id
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn public(&self) -> &[u8; limits::AGREEMENT_KEY_BYTES] {
        &self.public
    }
}

impl core::fmt::Debug for PrekeyPublic {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.id.fmt(f)
    }
}

/// One prekey with its secret half, and the secrets agreed on with it, so that both are erased at once. They are boxed:
/// whatever moves leaves a copy behind that nobody wipes.
struct Prekey {
    public: PrekeyPublic,
    secret: Box<StaticSecret>,
    not_after: u64,
    agreed: VecDeque<Agreed>,
}

struct Agreed {
    ephemeral: [u8; limits::AGREEMENT_KEY_BYTES],
    shared: Box<Zeroizing<[u8; 32]>>,
}

/// All prekeys of one agent that are not erased yet.
pub struct Prekeys {
    agent: AgentId,
    kept: Vec<Prekey>,
}

/// Why no prekey was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MakePrekeyError {
    /// There are as many as an agent may have. Erase one first.
    #[error("the agent has as many prekeys as it may")]
    Full,
    /// The operating system gave no random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl Prekeys {
    /// None yet.
    #[must_use]
    pub const fn new(agent: AgentId) -> Self {
        Self { agent, kept: Vec::new() }
    }

    /// Makes one that may be used until `not_after` (wall clock, ns).
    pub fn make(&mut self, not_after: u64) -> Result<PrekeyPublic, MakePrekeyError> {
        loop {
            let mut secret = Zeroizing::new([0; 32]);
            fill_random(&mut *secret)?;
            let public = self.insert(&secret, not_after)?;
            // An id has only 32 bits; within one agent it must name one key.
            if let Some(public) = public {
                return Ok(public);
            }
        }
    }

    /// Takes one that everyone knows. For tests and vectors, whose keys protect nothing.
    pub fn insert_published(
        &mut self,
        secret: &[u8; 32],
        not_after: u64,
    ) -> Result<Option<PrekeyPublic>, MakePrekeyError> {
        self.insert(secret, not_after)
    }

    fn insert(&mut self, secret: &[u8; 32], not_after: u64) -> Result<Option<PrekeyPublic>, MakePrekeyError> {
        if self.kept.len() >= limits::PREKEYS_KEPT_MAX {
            return Err(MakePrekeyError::Full);
        }
        let (secret, public) = stack::wiped(|| {
            let secret = Box::new(StaticSecret::from(*secret));
            let public = PrekeyPublic::new(AgreementKey::from(&*secret).to_bytes());
            (secret, public)
        });
        if self.find(public.id).is_some() {
            return Ok(None);
        }
        self.kept.push(Prekey { public, secret, not_after, agreed: VecDeque::new() });
        Ok(Some(public))
    }

    /// Erases one, with every secret agreed on with it. Says whether it was there.
    pub fn erase(&mut self, id: PrekeyId) -> bool {
        let before = self.kept.len();
        self.kept.retain(|prekey| prekey.public.id != id);
        self.kept.len() < before
    }

    /// Those that are kept, with their last moments, in the order in which they were made.
    pub fn kept(&self) -> impl Iterator<Item = (PrekeyPublic, u64)> {
        self.kept.iter().map(|prekey| (prekey.public, prekey.not_after))
    }

    /// Opens what was sealed to one of them. Called with a verified frame only.
    pub(crate) fn open(&mut self, frame: Frame, now: u64) -> Result<(Header, Bytes), Refusal> {
        let header = *frame.header();
        if header.destination() != self.agent {
            return Err(Refusal::UnknownPrekey);
        }
        let sealed = frame.sealed().ok_or(Refusal::Unprotected)?;
        let nonce = *frame.nonce().ok_or(Refusal::Unprotected)?;
        let prekey = self.find_mut(sealed.prekey).ok_or(Refusal::UnknownPrekey)?;
        if now > prekey.not_after {
            return Err(Refusal::ExpiredPrekey);
        }
        let ephemeral = *sealed.ephemeral;
        let body_key = prekey.body_key(&ephemeral, &nonce, &header)?;
        let mut content = take_ciphertext(frame);
        body_key.open(header.canonical().as_bytes(), &mut content).map_err(|_| Refusal::Seal)?;
        content.truncate(content.len() - limits::TAG_BYTES);
        Ok((header, content.freeze()))
    }

    fn find(&self, id: PrekeyId) -> Option<&Prekey> {
        self.kept.iter().find(|prekey| prekey.public.id == id)
    }

    fn find_mut(&mut self, id: PrekeyId) -> Option<&mut Prekey> {
        self.kept.iter_mut().find(|prekey| prekey.public.id == id)
    }
}

impl Prekey {
    fn body_key(
        &mut self,
        ephemeral: &[u8; limits::AGREEMENT_KEY_BYTES],
        nonce: &[u8; limits::NONCE_BYTES],
        header: &Header,
    ) -> Result<BodyKey, Refusal> {
        let public = self.public.public;
        let shared = self.agree(ephemeral)?;
        let (source, destination) = (header.source(), header.destination());
        Ok(BodyKey::derive(shared, nonce, &body_info(ephemeral, &public, &source, &destination)))
    }

    /// A source uses an ephemeral key for many frames, and they share what the agreement costs.
    fn agree(&mut self, ephemeral: &[u8; limits::AGREEMENT_KEY_BYTES]) -> Result<&[u8; 32], Refusal> {
        let known = self.agreed.iter().position(|agreed| agreed.ephemeral == *ephemeral);
        let at = if let Some(at) = known {
            at
        } else {
            let shared = agree(&self.secret, ephemeral)?;
            if self.agreed.len() >= limits::AGREEMENTS_KEPT_MAX {
                self.agreed.pop_back();
            }
            self.agreed.push_front(Agreed { ephemeral: *ephemeral, shared });
            0
        };
        self.agreed.get(at).map(|agreed| &**agreed.shared).ok_or(Refusal::SharedSecret)
    }
}

/// What a secret and a public half agree on, in one place in memory.
pub(crate) fn agree(
    secret: &StaticSecret,
    public: &[u8; limits::AGREEMENT_KEY_BYTES],
) -> Result<Box<Zeroizing<[u8; 32]>>, Refusal> {
    stack::wiped(|| {
        let shared = secret.diffie_hellman(&AgreementKey::from(*public));
        if !shared.was_contributory() {
            return Err(Refusal::SharedSecret);
        }
        let mut kept = Box::new(Zeroizing::new([0; 32]));
        kept.copy_from_slice(shared.as_bytes());
        Ok(kept)
    })
}

/// What a body key is bound to.
pub(crate) fn body_info<'a>(
    ephemeral: &'a [u8; limits::AGREEMENT_KEY_BYTES],
    prekey: &'a [u8; limits::AGREEMENT_KEY_BYTES],
    source: &'a AgentId,
    destination: &'a AgentId,
) -> [&'a [u8]; 5] {
    [BODY_CONTEXT, ephemeral, prekey, source.as_bytes(), destination.as_bytes()]
}

/// The sealed plain body, where it lies if nobody else holds the frame, else a copy.
fn take_ciphertext(frame: Frame) -> BytesMut {
    let start = limits::HEADER_BYTES + limits::SEAL_PREFIX_BYTES;
    let end = frame.as_bytes().len() - limits::TRAILER_BYTES;
    let mut sealed = frame.into_bytes();
    sealed.truncate(end);
    sealed.advance(start);
    sealed.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]))
}

impl core::fmt::Debug for Prekeys {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let agreements: usize = self.kept.iter().map(|prekey| prekey.agreed.len()).sum();
        f.debug_struct("Prekeys")
            .field("agent", &self.agent)
            .field("kept", &self.kept.len())
            .field("agreements", &agreements)
            .finish_non_exhaustive()
    }
}
