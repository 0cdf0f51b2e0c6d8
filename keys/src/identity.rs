//! Key pairs of agents, nodes and the authorities of meshes. They sign; their bytes leave through [`crate::vault`] and nowhere else.

use ed25519_dalek::{Signer, SigningKey};
use proto::{AgentId, NodeId, limits};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::{NoRandomness, PublicKey, fill_random};

/// What both kinds have in common. The signing key wipes itself when dropped.
pub(crate) struct KeyPair {
    secret: SigningKey,
    public: PublicKey,
}

impl KeyPair {
    fn make() -> Result<Self, NoRandomness> {
        let mut seed = Zeroizing::new([0; 32]);
        fill_random(&mut *seed)?;
        Ok(Self::from_seed(&seed))
    }

    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        let secret = SigningKey::from_bytes(seed);
        let public = PublicKey::of(secret.verifying_key());
        Self { secret, public }
    }

    /// For the vault alone.
    pub(crate) fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_bytes())
    }

    /// The half that everyone may know.
    pub(crate) const fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; limits::SIGNATURE_BYTES] {
        self.secret.sign(message).to_bytes()
    }
}

const fn wipes_itself<T: ZeroizeOnDrop>() {}
const _: () = wipes_itself::<SigningKey>();

/// An agent's key pair. Each has one place where it lives:
///
/// ```compile_fail,E0599
/// let key = keys::AgentKey::make().unwrap();
/// let copy = key.clone();
/// ```
pub struct AgentKey(pub(crate) KeyPair);

/// A node's key pair. A node is an agent too: see [`NodeKey::as_agent`].
pub struct NodeKey(AgentKey);

impl AgentKey {
    /// Makes one that nobody has.
    pub fn make() -> Result<Self, NoRandomness> {
        KeyPair::make().map(Self)
    }

    /// The same pair for everyone who knows the seed. For tests and vectors, whose keys protect nothing.
    #[must_use]
    pub fn from_published_seed(seed: &[u8; 32]) -> Self {
        Self(KeyPair::from_seed(seed))
    }

    /// The half that everyone may know.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.0.public
    }

    /// Who this is.
    #[must_use]
    pub const fn id(&self) -> AgentId {
        self.0.public.id()
    }
}

impl NodeKey {
    /// Makes one that nobody has.
    pub fn make() -> Result<Self, NoRandomness> {
        AgentKey::make().map(Self)
    }

    /// The same pair for everyone who knows the seed. For tests and vectors, whose keys protect nothing.
    #[must_use]
    pub fn from_published_seed(seed: &[u8; 32]) -> Self {
        Self(AgentKey::from_published_seed(seed))
    }

    pub(crate) const fn from_pair(pair: KeyPair) -> Self {
        Self(AgentKey(pair))
    }

    pub(crate) const fn pair(&self) -> &KeyPair {
        &self.0.0
    }

    /// The node where it speaks as an agent.
    #[must_use]
    pub const fn as_agent(&self) -> &AgentKey {
        &self.0
    }

    /// The half that everyone may know.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        self.0.public()
    }

    /// Who this is.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.public().node_id()
    }
}

/// The key pair that says who belongs to a mesh. Whoever holds it can let anybody in.
pub struct AuthorityKey(pub(crate) KeyPair);

impl AuthorityKey {
    /// Makes one that nobody has, and so a new mesh.
    pub fn make() -> Result<Self, NoRandomness> {
        KeyPair::make().map(Self)
    }

    /// The same pair for everyone who knows the seed. For tests and vectors, whose keys protect nothing.
    #[must_use]
    pub fn from_published_seed(seed: &[u8; 32]) -> Self {
        Self(KeyPair::from_seed(seed))
    }

    /// The half that everyone may know.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.0.public
    }

    /// Which mesh: the hash of the key.
    #[must_use]
    pub const fn mesh(&self) -> [u8; limits::ID_BYTES] {
        *self.0.public.id().as_bytes()
    }
}

impl core::fmt::Debug for AuthorityKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "AuthorityKey({:?}, secret not shown)", self.public().id())
    }
}

impl core::fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "AgentKey({:?}, secret not shown)", self.id())
    }
}

impl core::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "NodeKey({:?}, secret not shown)", self.id())
    }
}
