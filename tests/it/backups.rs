//! What a backup holds beside the keys of messages, and that those of earlier versions still open.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use keys::backup::{
    AUTHORITY_KEY, BackupError, CREDENTIAL_KEY, DOWN, Keyring, MESH, NODE_CERTIFICATE, NODE_KEY, Passphrase, REVOKED,
    SEEDS, TICKETS,
};
use keys::store_key::Credential;
use keys::{AuthorityKey, NodeKey, vault};

fn passphrase() -> Passphrase {
    Passphrase::new(b"correct horse battery".to_vec().into()).expect("long enough")
}

fn private(folder: &Path) {
    fs::DirBuilder::new().mode(0o700).recursive(true).create(folder).expect("a folder");
}

/// The state folder of a node that holds its mesh's authority.
fn member(parent: &Path, authority: &AuthorityKey) -> PathBuf {
    let state = parent.join("state");
    for folder in ["identity", MESH, TICKETS] {
        private(&state.join(folder));
    }
    vault::save_node(&state.join(NODE_KEY), &NodeKey::make().expect("randomness")).expect("kept");
    vault::save_credential(&state.join(CREDENTIAL_KEY), &Credential::make().expect("randomness")).expect("kept");
    vault::save_authority(&state.join(AUTHORITY_KEY), authority).expect("kept");
    for (file, bytes) in FILES {
        fs::write(state.join(file), bytes).expect("written");
    }
    fs::write(state.join(MESH).join("revoked.new-7"), b"half").expect("written");
    fs::write(state.join(TICKETS).join("one"), b"open").expect("written");
    state
}

const FILES: [(&str, &[u8]); 4] =
    [(REVOKED, b"list"), (SEEDS, b"alpha"), (DOWN, b""), (NODE_CERTIFICATE, &[0x30; 300])];

#[test]
fn a_backup_has_what_makes_the_node_a_member_but_no_open_tickets() {
    let parent = tempfile::tempdir().expect("a folder");
    let authority = AuthorityKey::make().expect("randomness");
    let state = member(parent.path(), &authority);
    let file = parent.path().join("backup");
    Keyring::load(&state).expect("loaded").save(&file, &passphrase()).expect("written");
    let back = Keyring::open(&file, &passphrase()).expect("opened");
    assert!(back.holds_authority());
    let other = parent.path().join("other");
    private(&other);
    back.restore(&other).expect("put back");
    assert_eq!(vault::load_authority(&other.join(AUTHORITY_KEY)).expect("its key").mesh(), authority.mesh());
    for (name, bytes) in FILES {
        assert_eq!(fs::read(other.join(name)).expect("a file"), bytes, "{name}");
    }
    assert_eq!(fs::read_dir(other.join(MESH)).expect("a folder").count(), FILES.len() + 1, "and nothing else");
    let sealed = fs::read(&file).expect("a file");
    assert!(!sealed.windows(8).any(|bytes| bytes == [0x30; 8]), "nothing lies open in it");
}

#[test]
fn a_member_is_never_put_over_another_one() {
    let parent = tempfile::tempdir().expect("a folder");
    let state = member(parent.path(), &AuthorityKey::make().expect("randomness"));
    let back = Keyring::load(&state).expect("loaded");
    let other = parent.path().join("other");
    private(&other.join(MESH));
    fs::write(other.join(REVOKED), b"another list").expect("written");
    assert!(matches!(back.restore(&other), Err(BackupError::NotEmpty { .. })));
    assert_eq!(fs::read(other.join(REVOKED)).expect("a file"), b"another list");
    assert!(!other.join(NODE_KEY).exists());
}

#[test]
fn an_authoritys_key_that_cannot_be_used_stops_the_backup() {
    let parent = tempfile::tempdir().expect("a folder");
    let state = member(parent.path(), &AuthorityKey::make().expect("randomness"));
    let path = state.join(AUTHORITY_KEY);
    let mut bytes = fs::read(&path).expect("a file");
    bytes[20] ^= 1;
    fs::write(&path, bytes).expect("written");
    assert!(matches!(Keyring::load(&state), Err(BackupError::Key(_))));
}

/// Written by the version before there were meshes, from the folder of `state-1/alpha`.
#[test]
fn a_backup_from_before_there_were_meshes_still_gives_back_every_key() {
    let parent = tempfile::tempdir().expect("a folder");
    let hex = fs::read_to_string(referee::root().join("tests/fixtures/backup-1.hex")).expect("the fixture");
    let file = parent.path().join("backup");
    fs::write(&file, referee::hex::read(&hex.split_whitespace().collect::<String>())).expect("written");
    let back = Keyring::open(&file, &passphrase()).expect("opened");
    assert_eq!(back.node().to_string(), "aicp16k3rqwcsxh5wdh4086y4e29ecqzsgm8wqhr26txr8rgz736ddcqqxu2mdm");
    let agents: Vec<_> = back.agents().iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!(agents, ["echo", "inbox", "watcher", "writer"]);
    assert_eq!((back.name().map(proto::Name::as_str), back.days(), back.holds_authority()), (Some("alpha"), 1, false));
    let state = parent.path().join("state");
    private(&state);
    back.restore(&state).expect("put back");
    assert_eq!(Keyring::load(&state).expect("loaded").node(), back.node());
}
