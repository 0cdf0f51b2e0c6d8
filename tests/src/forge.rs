//! What an attacker can do with a key of their own: sign any bytes. Uses the curve directly, not our code.

use bytes::Bytes;
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};

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
