//! How a second node comes to hold the key of the mesh's authority. The receiver makes a key for this once and signs it as
//! the node that it is; the holder seals to it. In between nobody can read the key, not even who stores the link's bytes
//! and steals the keys of both nodes later.
//!
//! ```text
//! ephemeral key (32) ‖ nonce (16) ‖ sealed seed (32) ‖ tag (16)
//! ```

use bytes::{BufMut, Bytes, BytesMut};
use proto::limits::{AGREEMENT_KEY_BYTES, ID_BYTES, NONCE_BYTES, SIGNATURE_BYTES, TAG_BYTES};
use proto::{NodeId, Refusal};
use x25519_dalek::{PublicKey as AgreementKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

use crate::cipher::BodyKey;
use crate::identity::KeyPair;
use crate::prekey::agree;
use crate::sign::Context;
use crate::{AuthorityKey, NoRandomness, NodeKey, PublicKey, fill_random, stack};

const CONTEXT: &[u8] = b"AICP/1 share\0";
const SEED_BYTES: usize = 32;

/// Why the key was not handed over. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ShareError {
    /// It was not this node that asked, or not this holder that was asked.
    #[error("the receiver's key was not signed by that node for this hand-over")]
    Signature,
    /// What arrived is not sealed to this receiver by this holder, or was changed.
    #[error("this was not sealed for this hand-over, or was changed since")]
    Broken,
    /// The key that arrived is that of another mesh.
    #[error("this is the key of another mesh's authority")]
    OtherMesh,
    /// The operating system gave no random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Who hands over to whom. Both sides must mean the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    /// Which mesh.
    pub mesh: [u8; ID_BYTES],
    /// Who holds the key.
    pub holder: NodeId,
    /// Who gets it.
    pub receiver: NodeId,
}

/// What the receiver makes for one hand-over. Lives in memory only.
pub struct ShareKey {
    secret: Box<StaticSecret>,
    public: [u8; AGREEMENT_KEY_BYTES],
}

impl ShareKey {
    /// Makes one that nobody has.
    pub fn make() -> Result<Self, NoRandomness> {
        let (secret, public) = stack::wiped(fresh)?;
        Ok(Self { secret, public })
    }

    /// What it is to be sealed to.
    #[must_use]
    pub const fn public(&self) -> &[u8; AGREEMENT_KEY_BYTES] {
        &self.public
    }

    /// The receiver's word that this key is its own, and for whom it is.
    #[must_use]
    pub fn sign(&self, receiver: &NodeKey, ends: &Ends) -> [u8; SIGNATURE_BYTES] {
        receiver.pair().sign(&wanted(ends, &self.public))
    }

    /// Opens what the holder sealed. It is the key of the mesh's authority, or this fails.
    pub fn open(self, sealed: &[u8], ends: &Ends) -> Result<AuthorityKey, ShareError> {
        let (ephemeral, rest) = sealed.split_first_chunk::<AGREEMENT_KEY_BYTES>().ok_or(ShareError::Broken)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(ShareError::Broken)?;
        let rest: &[u8; SEED_BYTES + TAG_BYTES] = rest.try_into().map_err(|_| ShareError::Broken)?;
        let shared = agree(&self.secret, ephemeral).map_err(broken)?;
        let mut opened = Zeroizing::new(*rest);
        body_key(&shared, nonce, ends, ephemeral, &self.public)
            .open(&ends.mesh, &mut *opened)
            .map_err(|_| ShareError::Broken)?;
        let seed = opened.first_chunk::<SEED_BYTES>().ok_or(ShareError::Broken)?;
        let key = AuthorityKey(KeyPair::from_seed(seed));
        if key.mesh() == ends.mesh { Ok(key) } else { Err(ShareError::OtherMesh) }
    }
}

/// Seals the authority's key to the key that `receiver` signed. `ends.receiver` is the hash of `receiver`.
pub fn seal(
    authority: &AuthorityKey,
    ends: &Ends,
    receiver: &PublicKey,
    public: &[u8; AGREEMENT_KEY_BYTES],
    signature: &[u8; SIGNATURE_BYTES],
) -> Result<Bytes, ShareError> {
    if authority.mesh() != ends.mesh {
        return Err(ShareError::OtherMesh);
    }
    if receiver.node_id() != ends.receiver || !receiver.has_signed(&wanted(ends, public), signature) {
        return Err(ShareError::Signature);
    }
    let (secret, ephemeral) = stack::wiped(fresh)?;
    let shared = agree(&secret, public).map_err(broken)?;
    let mut nonce = [0; NONCE_BYTES];
    fill_random(&mut nonce)?;
    let mut seed = authority.0.seed();
    let key = body_key(&shared, &nonce, ends, &ephemeral, public);
    let tag = key.seal(&ends.mesh, &mut *seed).map_err(|_| ShareError::Broken)?;
    let mut out = BytesMut::with_capacity(AGREEMENT_KEY_BYTES + NONCE_BYTES + SEED_BYTES + TAG_BYTES);
    out.put_slice(&ephemeral);
    out.put_slice(&nonce);
    out.put_slice(&*seed);
    out.put_slice(&tag);
    seed.zeroize();
    Ok(out.freeze())
}

type Fresh = (Box<StaticSecret>, [u8; AGREEMENT_KEY_BYTES]);

fn fresh() -> Result<Fresh, NoRandomness> {
    let mut secret = Zeroizing::new([0; 32]);
    fill_random(&mut *secret)?;
    let secret = Box::new(StaticSecret::from(*secret));
    let public = AgreementKey::from(&*secret).to_bytes();
    Ok((secret, public))
}

fn wanted(ends: &Ends, public: &[u8; AGREEMENT_KEY_BYTES]) -> Vec<u8> {
    Context::Successor.message(&[&ends.mesh, ends.holder.as_bytes(), ends.receiver.as_bytes(), public])
}

fn body_key(
    shared: &[u8; 32],
    nonce: &[u8; NONCE_BYTES],
    ends: &Ends,
    ephemeral: &[u8; AGREEMENT_KEY_BYTES],
    public: &[u8; AGREEMENT_KEY_BYTES],
) -> BodyKey {
    let info: [&[u8]; 6] = [CONTEXT, &ends.mesh, ends.holder.as_bytes(), ends.receiver.as_bytes(), ephemeral, public];
    BodyKey::derive(shared, nonce, &info)
}

const fn broken(_refusal: Refusal) -> ShareError {
    ShareError::Broken
}

impl core::fmt::Debug for ShareKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("ShareKey(secret not shown)")
    }
}
