//! What an attacker can do with a key of their own: sign any bytes, and seal so that they know every secret of it. Uses
//! the curves and the cipher directly, not our code.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use hkdf::Hkdf;
use proto::{Boundary, Draft, Header, PrekeyId};
use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};

/// Signs header, content and nonce as a frame is signed, whatever they say.
#[must_use]
pub fn sign_frame(seed: &[u8; 32], header: &[u8], content: &[u8], nonce: &[u8]) -> Bytes {
    let digest = digest(header, content, nonce);
    let signature = SigningKey::from_bytes(seed).sign(&digest).to_bytes();
    [header, content, &signature, nonce].concat().into()
}

/// Signs a frame anew after somebody changed its header or content.
#[must_use]
pub fn sign_again(seed: &[u8; 32], frame: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut unsigned = frame[..frame.len() - 80].to_vec();
    change(&mut unsigned);
    let (header, content) = unsigned.split_at(96);
    sign_frame(seed, header, content, &frame[frame.len() - 16..])
}

/// What a frame's signature is over.
#[must_use]
pub fn digest(header: &[u8], content: &[u8], nonce: &[u8]) -> [u8; 32] {
    let mut canonical = header.to_vec();
    canonical[88] = 0;
    Sha256::new().chain_update(canonical).chain_update(content).chain_update(nonce).finalize().into()
}

/// A sealed frame, and what would open it.
#[derive(Debug)]
pub struct Sealed {
    /// As it travels.
    pub frame: Bytes,
    /// What the ephemeral key and the prekey agree on.
    pub shared: [u8; 32],
    /// What this one body is sealed with.
    pub body_key: [u8; 32],
}

/// Seals a plain body as `docs/PROTOCOL.md` says (section 6), with an ephemeral key from `seed`.
///
/// # Panics
/// If there can be no such frame.
#[must_use]
pub fn seal(
    (seed, ephemeral): (&[u8; 32], &[u8; 32]),
    (prekey_id, prekey): (PrekeyId, &[u8; 32]),
    draft: &Draft,
    plain: &[u8],
) -> Sealed {
    let ephemeral = StaticSecret::from(*ephemeral);
    let public = PublicKey::from(&ephemeral).to_bytes();
    let shared = ephemeral.diffie_hellman(&PublicKey::from(*prekey)).to_bytes();
    let header = Header::make(draft, Boundary::Wire, plain.len()).expect("a header");
    let nonce: [u8; 16] = public[..16].try_into().expect("as long");
    let mut okm = [0; 44];
    let (source, destination) = (draft.source, draft.destination);
    let info: [&[u8]; 5] = [b"AICP/1 body\0", &public, prekey, source.as_bytes(), destination.as_bytes()];
    Hkdf::<Sha256>::new(Some(&nonce), &shared).expand_multi_info(&info, &mut okm).expect("44 bytes");
    let body_key: [u8; 32] = okm[..32].try_into().expect("as long");
    let iv: [u8; 12] = okm[32..].try_into().expect("as long");
    let mut sealed = plain.to_vec();
    let cipher = Aes256Gcm::new(&body_key.into());
    let tag = cipher.encrypt_inout_detached(&iv.into(), header.canonical().as_bytes(), sealed.as_mut_slice().into());
    let tag: [u8; 16] = tag.expect("a short body").into();
    let content = [&prekey_id.as_bytes()[..], &public, &sealed, &tag].concat();
    Sealed { frame: sign_frame(seed, &header.to_bytes(), &content, &nonce), shared, body_key }
}

/// The public half of an X25519 secret.
#[must_use]
pub fn agreement_public(secret: &[u8; 32]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
}

/// What two halves agree on.
#[must_use]
pub fn agree(secret: &[u8; 32], public: &[u8; 32]) -> [u8; 32] {
    StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(*public)).to_bytes()
}

/// Signs any bytes.
#[must_use]
pub fn sign(seed: &[u8; 32], message: &[u8]) -> [u8; 64] {
    SigningKey::from_bytes(seed).sign(message).to_bytes()
}

/// The eight points of small order, each in its canonical form.
#[must_use]
pub fn small_order_points() -> Vec<[u8; 32]> {
    curve25519_dalek::constants::EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect()
}

/// Encodings of points whose y is not below 2^255 - 19, or whose sign bit contradicts x = 0.
#[must_use]
pub fn non_canonical_points() -> Vec<[u8; 32]> {
    let mut found = Vec::new();
    // y = p + k for k in 0..19 are the second names of y = k.
    for k in 0..19_u8 {
        for sign in [0, 0x80] {
            let mut y = [0xff; 32];
            y[0] = 0xed + k;
            y[31] = 0x7f | sign;
            if curve25519_dalek::edwards::CompressedEdwardsY(y).decompress().is_some() {
                found.push(y);
            }
        }
    }
    // x = 0 has no sign: y = 1 and y = -1 with the bit set.
    let mut one = [0; 32];
    (one[0], one[31]) = (1, 0x80);
    let mut minus_one = [0xff; 32];
    minus_one[0] = 0xec;
    found.extend([one, minus_one]);
    found
}

/// A key's point with each of the seven points of small order added: of mixed order, neither small nor torsion-free.
#[must_use]
pub fn mixed_order_points(public: &[u8; 32]) -> Vec<[u8; 32]> {
    let point = curve25519_dalek::edwards::CompressedEdwardsY(*public).decompress().expect("a point");
    curve25519_dalek::constants::EIGHT_TORSION[1..]
        .iter()
        .map(|torsion| (point + torsion).compress().to_bytes())
        .collect()
}
