//! Who said it: the only crate that does cryptography.
//!
//! - [`identity`]: key pairs of agents and nodes; they sign, and nobody else sees them.
//! - [`public`]: public keys, admitted by rules stricter than the curve's.
//! - [`sign`] and [`seal`]: how a frame is made; [`verify`] and [`prekey`]: how one is opened.
//! - [`store_key`] and [`vault`]: what lies on disk; [`backup`]: all of it in one file under a passphrase.
//! - [`certificate`] and [`tls`]: a node's identity as TLS shows it; [`trust`]: whom a mesh's authority vouches for.
//! - [`ticket`] and [`join`]: how a newcomer proves that it was invited, and what it makes of the answer.
//! - [`share`]: how a second node comes to hold the authority's key.
//!
//! Nothing here has a clock or timers: who calls says what time it is. Nobody outside names a nonce or a cipher;
//! secrets print nothing, are not serialised, and are wiped when dropped.

pub mod backup;
pub mod certificate;
mod cipher;
pub mod identity;
pub mod join;
mod nonce;
pub mod prekey;
pub mod public;
pub mod seal;
pub mod share;
pub mod sign;
mod stack;
pub mod store_key;
pub mod ticket;
pub mod tls;
pub mod trust;
pub mod vault;
pub mod verify;

pub use identity::{AgentKey, AuthorityKey, NodeKey};
pub use prekey::Prekeys;
pub use public::PublicKey;
pub use seal::Sealer;
pub use trust::{AuthorityCertificate, AuthorityTrust};
pub use verify::Attested;

/// The operating system gave no random bytes. Nothing can be made or sealed until it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomness;

/// Fills `bytes` from the operating system's generator.
fn fill_random(bytes: &mut [u8]) -> Result<(), NoRandomness> {
    getrandom::fill(bytes).map_err(|_| NoRandomness)
}
