//! A backup opens under its passphrase and in no other way.

use super::*;

fn keyring() -> Keyring {
    let credential = Credential::from_bytes(&[3; 32]);
    let wrapped = StoreKey::make().expect("random bytes").wrap(&credential, 20_000).expect("wrapped");
    let agent = |uid: u32, name: &str, seed: u8| KeptAgent {
        uid,
        name: name.parse().expect("a name"),
        key: AgentKey::from_published_seed(&[seed; 32]),
    };
    Keyring {
        node: NodeKey::from_published_seed(&[1; 32]),
        credential,
        name: Some("alpha".parse().expect("a name")),
        agents: vec![agent(1000, "reader", 4), agent(0, "writer", 5)],
        days: vec![(20_000, wrapped.to_vec())],
        mesh: Mesh {
            authority: Some(AuthorityKey::from_published_seed(&[6; 32])),
            files: vec![("node.crt".parse().expect("a name"), vec![0x30; 300])],
        },
    }
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(Zeroizing::new(text.as_bytes().to_vec())).expect("long enough")
}

fn unseal(bytes: &[u8], words: &str) -> Result<Keyring, BackupError> {
    Keyring::unseal(bytes, Path::new("file"), &passphrase(words))
}

#[test]
fn a_backup_gives_back_every_key_and_only_under_its_passphrase() {
    let bytes = keyring().seal(&passphrase("correct horse battery")).expect("sealed");
    let back = unseal(&bytes, "correct horse battery\n").expect("opened");
    assert_eq!(contents::write(&back), contents::write(&keyring_with_days_of(&back)));
    assert_eq!(back.node(), keyring().node());
    assert!(matches!(unseal(&bytes, "correct horse batterY"), Err(BackupError::WrongPassphrase { .. })));
}

/// The key of a day is random, and wrapped anew each time.
fn keyring_with_days_of(other: &Keyring) -> Keyring {
    let credential = Credential::from_bytes(&[3; 32]);
    for (day, wrapped) in &other.days {
        StoreKey::unwrap(wrapped, &credential, *day).expect("the same credential");
    }
    Keyring { days: other.days.clone(), ..keyring() }
}

#[test]
fn every_flipped_byte_and_every_cut_is_damage_whatever_the_passphrase() {
    let bytes = keyring().seal(&passphrase("correct horse battery")).expect("sealed");
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        let error = unseal(&flipped, "some other passphrase").expect_err("damaged");
        let is_in_magic = at < MAGIC.len();
        assert!(is_in_magic || matches!(error, BackupError::Damaged { .. }), "byte {at}: {error}");
        let error = unseal(&bytes[..at], "some other passphrase").expect_err("cut");
        assert!(is_in_magic || matches!(error, BackupError::Damaged { .. }), "cut at {at}: {error}");
    }
}

#[test]
fn a_forger_who_mends_the_hash_is_refused_by_the_tag() {
    let bytes = keyring().seal(&passphrase("correct horse battery")).expect("sealed");
    // Salt, nonce, the first sealed byte, the last one, the tag.
    for at in [8, 24, 40, bytes.len() - HASH_BYTES - TAG_BYTES - 1, bytes.len() - HASH_BYTES - 1] {
        let mut forged = bytes[..bytes.len() - HASH_BYTES].to_vec();
        forged[at] ^= 1;
        let hash = Sha256::digest(&forged);
        forged.extend_from_slice(&hash);
        let error = unseal(&forged, "correct horse battery").expect_err("forged");
        assert!(matches!(error, BackupError::WrongPassphrase { .. }), "byte {at}: {error}");
    }
}

#[test]
fn a_passphrase_that_can_be_guessed_is_refused_and_prints_nothing() {
    for weak in ["", "short", "\n", "two\nlines of text"] {
        assert!(Passphrase::new(Zeroizing::new(weak.as_bytes().to_vec())).is_err(), "{weak:?}");
    }
    assert!(!format!("{:?}", passphrase("correct horse battery")).contains("horse"));
}
