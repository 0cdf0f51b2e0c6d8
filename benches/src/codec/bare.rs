//! The primitives that a frame cannot do without, called directly on buffers of the same length.

use std::cell::RefCell;

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ed25519_dalek::{Signature, Signer, SigningKey};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};

/// What the frame's plain body holds beside the body, and what stands before it.
const METADATA: usize = 37;
const PREFIX: usize = 36;

pub(crate) struct Bare {
    key: SigningKey,
    header: [u8; 96],
    nonces: RefCell<Nonces>,
    /// Prefix, metadata, body, tag.
    content: RefCell<Vec<u8>>,
    body: Vec<u8>,
    digest: [u8; 32],
    signature: Signature,
}

/// A page from the operating system at a time, as any program that hurries would draw them.
struct Nonces {
    page: [u8; 4096],
    used: usize,
}

impl Nonces {
    fn draw(&mut self) -> [u8; 16] {
        if self.used >= self.page.len() {
            getrandom::fill(&mut self.page).unwrap();
            self.used = 0;
        }
        self.used += 16;
        self.page[self.used - 16..self.used].try_into().unwrap()
    }
}

impl Bare {
    pub(crate) fn new(size: usize) -> Self {
        let key = SigningKey::from_bytes(&[1; 32]);
        let nonces = RefCell::new(Nonces { page: [0; 4096], used: 4096 });
        let body = vec![0x5a; size];
        let mut bare = Self {
            signature: key.sign(&[0; 32]),
            key,
            header: [7; 96],
            nonces,
            content: RefCell::new(vec![0x5a; PREFIX + METADATA + size + 16]),
            body,
            digest: [0; 32],
        };
        bare.digest = bare.digest_of(&bare.body, &[0; 16]);
        bare.signature = bare.key.sign(&bare.digest);
        bare
    }

    fn digest_of(&self, content: &[u8], nonce: &[u8; 16]) -> [u8; 32] {
        Sha256::new().chain_update(self.header).chain_update(content).chain_update(nonce).finalize().into()
    }

    fn derive(nonce: &[u8; 16]) -> ([u8; 32], [u8; 12]) {
        let mut okm = [0; 44];
        Hkdf::<Sha256>::new(Some(nonce), &[9; 32]).expand(&[3; 141], &mut okm).unwrap();
        (okm[..32].try_into().unwrap(), okm[32..].try_into().unwrap())
    }

    pub(crate) fn sign(&self) -> Signature {
        let nonce = self.nonces.borrow_mut().draw();
        self.key.sign(&self.digest_of(&self.body, &nonce))
    }

    pub(crate) fn verify(&self) {
        let digest = self.digest_of(&self.body, &[0; 16]);
        self.key.verifying_key().verify_strict(&digest, &self.signature).unwrap();
    }

    pub(crate) fn seal_and_sign(&self) -> Signature {
        let nonce = self.nonces.borrow_mut().draw();
        let mut content = self.content.borrow_mut();
        self.seal(&nonce, &mut content);
        self.key.sign(&self.digest_of(&content, &nonce))
    }

    fn seal(&self, nonce: &[u8; 16], content: &mut [u8]) {
        let (key, iv) = Self::derive(nonce);
        let end = content.len() - 16;
        let (rest, place) = content.split_at_mut(end);
        let plain = &mut rest[PREFIX..];
        place.copy_from_slice(&self.seal_by(plain.len() >= 16_384, &key, iv, plain));
    }

    /// One body with a key of its own, as every frame has: setting up is part of it.
    pub(crate) fn cipher(&self, bulk: bool) -> [u8; 16] {
        self.seal_by(bulk, &[9; 32], [7; 12], &mut self.content.borrow_mut()[PREFIX..])
    }

    fn seal_by(&self, bulk: bool, key: &[u8; 32], iv: [u8; 12], plain: &mut [u8]) -> [u8; 16] {
        if bulk {
            let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
            let iv = Nonce::assume_unique_for_key(iv);
            let tag = key.seal_in_place_separate_tag(iv, Aad::from(&self.header), plain).unwrap();
            tag.as_ref().try_into().unwrap()
        } else {
            let cipher = Aes256Gcm::new(&(*key).into());
            cipher.encrypt_inout_detached(&iv.into(), &self.header, plain.into()).unwrap().into()
        }
    }

    /// A sealed content with its signature and nonce.
    pub(crate) fn sealed(&self) -> (Vec<u8>, Signature, [u8; 16]) {
        let nonce = self.nonces.borrow_mut().draw();
        let mut content = vec![0x5a; self.content.borrow().len()];
        self.seal(&nonce, &mut content);
        let signature = self.key.sign(&self.digest_of(&content, &nonce));
        (content, signature, nonce)
    }

    pub(crate) fn verify_and_open(&self, (mut content, signature, nonce): (Vec<u8>, Signature, [u8; 16])) -> Vec<u8> {
        self.key.verifying_key().verify_strict(&self.digest_of(&content, &nonce), &signature).unwrap();
        let (key, iv) = Self::derive(&nonce);
        let sealed = &mut content[PREFIX..];
        if sealed.len() >= 16_384 {
            let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
            key.open_in_place(Nonce::assume_unique_for_key(iv), Aad::from(&self.header), sealed).unwrap();
        } else {
            let (plain, tag) = sealed.split_last_chunk_mut::<16>().unwrap();
            let cipher = Aes256Gcm::new(&key.into());
            cipher.decrypt_inout_detached(&iv.into(), &self.header, plain.into(), &(*tag).into()).unwrap();
        }
        content
    }
}
