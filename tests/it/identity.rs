//! Keys at rest, and what printing one shows.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use keys::store_key::{Credential, StoreKey};
use keys::vault::{self, VaultError};
use keys::{AgentKey, AuthorityKey, NodeKey};

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    chmod(folder.path(), 0o700);
    folder
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
}

#[test]
fn a_key_that_was_kept_is_the_same_after_a_restart() {
    let folder = folder();
    let (agent, node) = (AgentKey::make().expect("randomness"), NodeKey::make().expect("randomness"));
    let (credential, authority) = (Credential::make().expect("randomness"), AuthorityKey::make().expect("randomness"));
    let [a, n, c, m] = ["agent.key", "node.key", "credential", "authority.key"].map(|name| folder.path().join(name));
    vault::save_agent(&a, &agent).expect("kept");
    vault::save_node(&n, &node).expect("kept");
    vault::save_credential(&c, &credential).expect("kept");
    vault::save_authority(&m, &authority).expect("kept");
    for path in [&a, &n, &c, &m] {
        assert_eq!(fs::metadata(path).expect("there").permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 4, "nothing is left beside them");
    assert_eq!(vault::load_agent(&a).expect("loaded").id(), agent.id());
    assert_eq!(vault::load_node(&n).expect("loaded").id(), node.id());
    assert_eq!(vault::load_authority(&m).expect("loaded").mesh(), authority.mesh());
    let day = StoreKey::make().expect("randomness").wrap(&credential, 1).expect("wrapped");
    assert!(StoreKey::unwrap(&day, &vault::load_credential(&c).expect("loaded"), 1).is_ok());
}

#[test]
fn a_key_that_others_could_read_is_refused_with_the_command_that_mends_it() {
    let folder = folder();
    let path = folder.path().join("node.key");
    vault::save_node(&path, &NodeKey::make().expect("randomness")).expect("kept");
    for mode in [0o640, 0o604, 0o660, 0o644, 0o601] {
        chmod(&path, mode);
        let error = vault::load_node(&path).expect_err("loose");
        assert!(matches!(error, VaultError::Loose { .. }), "{mode:o}: {error}");
        assert!(error.to_string().contains("chmod go= "), "{error}");
    }
    chmod(&path, 0o400);
    assert!(vault::load_node(&path).is_ok(), "its owner alone may read it");
    chmod(folder.path(), 0o770);
    let error = vault::load_node(&path).expect_err("others can replace it");
    assert!(error.to_string().contains("chmod go-w "), "{error}");
}

#[test]
fn a_key_of_another_user_is_refused() {
    let folder = folder();
    let path = folder.path().join("node.key");
    vault::save_node(&path, &NodeKey::make().expect("randomness")).expect("kept");
    // Only root can give a file away. Everyone else has files that are root's.
    let others = match std::os::unix::fs::chown(&path, Some(65_534), None) {
        Ok(()) => path,
        Err(_) => "/etc/passwd".into(),
    };
    let error = vault::load_node(&others).expect_err("another's");
    assert!(matches!(error, VaultError::NotOurs { .. }), "{error}");
}

#[test]
fn a_key_is_never_overwritten() {
    let folder = folder();
    let path = folder.path().join("node.key");
    let first = NodeKey::make().expect("randomness");
    vault::save_node(&path, &first).expect("kept");
    let again = vault::save_node(&path, &NodeKey::make().expect("randomness"));
    assert!(matches!(again, Err(VaultError::Exists { .. })), "{again:?}");
    assert_eq!(vault::load_node(&path).expect("loaded").id(), first.id());
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left beside it");
}

#[test]
fn a_damaged_cut_or_exchanged_key_is_named_as_such() {
    let folder = folder();
    let [path, other] = ["node.key", "agent.key"].map(|name| folder.path().join(name));
    vault::save_node(&path, &NodeKey::make().expect("randomness")).expect("kept");
    vault::save_agent(&other, &AgentKey::make().expect("randomness")).expect("kept");
    let good = fs::read(&path).expect("bytes");
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        fs::write(&path, &changed).expect("written");
        assert!(matches!(vault::load_node(&path), Err(VaultError::Damaged { .. })), "byte {at}");
    }
    for length in [0, 1, good.len() - 1] {
        fs::write(&path, &good[..length]).expect("written");
        assert!(matches!(vault::load_node(&path), Err(VaultError::Damaged { .. })), "{length} bytes");
    }
    fs::write(&path, [&good[..], &[0]].concat()).expect("written");
    assert!(matches!(vault::load_node(&path), Err(VaultError::Damaged { .. })));
    assert!(matches!(vault::load_node(&other), Err(VaultError::Damaged { .. })), "an agent's key is no node's");
    assert!(matches!(vault::load_authority(&other), Err(VaultError::Damaged { .. })), "nor an authority's");
}

#[test]
fn a_key_that_is_missing_a_link_or_a_folder_is_named_as_such() {
    let folder = folder();
    let path = folder.path().join("node.key");
    assert!(matches!(vault::load_node(&path), Err(VaultError::Missing { .. })));
    assert!(matches!(vault::load_node(&folder.path().join("no/node.key")), Err(VaultError::Missing { .. })));
    vault::save_node(&path, &NodeKey::make().expect("randomness")).expect("kept");
    let link = folder.path().join("link.key");
    symlink(&path, &link).expect("a link");
    assert!(matches!(vault::load_node(&link), Err(VaultError::NotAFile { .. })));
    let below = folder.path().join("folder.key");
    fs::create_dir(&below).expect("a folder");
    assert!(matches!(vault::load_node(&below), Err(VaultError::NotAFile { .. })));
}

#[test]
fn printing_a_key_shows_who_it_is_and_nothing_secret() {
    let seed = [0x5a; 32];
    let agent = AgentKey::from_published_seed(&seed);
    let node = NodeKey::from_published_seed(&seed);
    let (credential, authority) = (Credential::from_bytes(&seed), AuthorityKey::from_published_seed(&seed));
    let day = StoreKey::make().expect("randomness");
    let shown = format!("{agent:?} {node:?} {credential:?} {authority:?} {day:?}");
    assert!(shown.contains(&agent.id().short()), "{shown}");
    let secret = [referee::hex::write(seed), format!("{seed:?}"), "90, 90".into(), "ZZZZ".into()];
    assert!(secret.iter().all(|form| !shown.contains(form.as_str())), "{shown}");
}
