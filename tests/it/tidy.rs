//! What keeps the house in order and can be checked: who imports whom, licences, duplicate versions, floors, and a
//! few words that may stand in one place only. The table is data; changing it is a decision.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use referee::root;
use toml::{Table, Value};

mod licence;

/// Crate, and which of ours it may import. Imports go down, never up and never sideways.
const IMPORTS: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("keys", &["proto"]),
    ("config", &["proto", "keys"]),
    ("mesh", &["proto"]),
    ("store", &["proto"]),
    ("daemon", &["proto", "keys", "config", "mesh", "store"]),
    ("client", &["proto"]),
    ("ctl", &["proto", "keys", "config", "client"]),
    ("sim", &["proto", "keys", "mesh", "store"]),
    ("benches", &["proto", "keys", "config", "mesh", "store", "daemon", "client", "ctl", "sim"]),
    ("tests", &["proto", "keys", "config", "mesh", "store", "daemon", "client", "ctl", "sim"]),
];

const CIPHERS: &[&str] = &[
    "aes-gcm",
    "argon2",
    "aws-lc-rs",
    "curve25519-dalek",
    "ed25519-dalek",
    "hkdf",
    "rcgen",
    "rustls",
    "rustls-webpki",
    "x25519-dalek",
];

/// Crate, and what from outside it must never name.
const NEVER: &[(&str, &[&str])] = &[
    ("proto", &["tokio", "quinn", "getrandom", "sha2", "mio"]),
    ("keys", &["tokio", "quinn", "mio", "socket2"]),
    ("config", &["tokio", "quinn"]),
    ("mesh", &["tokio", "quinn", "dashmap", "getrandom", "parking_lot", "rustix"]),
    ("store", &["tokio", "quinn", "getrandom"]),
    ("client", &["quinn", "rustls"]),
    ("sim", &["tokio", "getrandom"]),
];

/// Where no cipher may be named at all.
const WITHOUT_CIPHERS: &[&str] = &["proto", "config", "mesh", "store", "client", "ctl"];

/// Crates that are built in more than one version, and who forces it.
const DUPLICATES: &[(&str, &str)] = &[
    ("syn", "derive macros of half the ecosystem are at 2, those of serde and others at 3; build time only"),
    ("hashbrown", "petgraph under prost-build is at 0.15 and indexmap at 0.17 (tests only), dashmap at 0.14"),
];

/// Lowest versions: below them lie known holes, or a silent loss of speed.
const FLOORS: &[(&str, &str)] = &[
    ("aes", "0.9.4"),
    ("polyval", "0.7.3"),
    ("rustls-webpki", "0.103.13"),
    ("bytes", "1.11.1"),
    ("quinn-proto", "0.11.19"),
    ("rustls", "0.23.46"),
    ("ed25519-dalek", "3.0.0"),
    ("digest", "0.11.0"),
];

/// Never built: a second TLS provider.
const DENIED: &[&str] = &["ring", "openssl-sys", "openssl", "native-tls"];

/// A file longer than this is several files.
const LINES_MAX: usize = 800;

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn table(path: &Path) -> Table {
    read(path).parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn members() -> Vec<String> {
    let workspace = table(&root().join("Cargo.toml"));
    let members = workspace["workspace"]["members"].as_array().expect("members");
    members.iter().map(|member| member.as_str().expect("a name").to_owned()).collect()
}

/// Sections that ship; what tests and build scripts use is theirs.
fn dependencies(manifest: &Table, section: &str) -> Vec<(String, Value)> {
    let found = manifest.get(section).and_then(Value::as_table);
    found.map(|table| table.clone().into_iter().collect()).unwrap_or_default()
}

fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for member in members() {
        walk(&root().join(member), &mut found);
    }
    found
}

/// Name, version and licence of all that cargo builds here, tests included. Neither the lock file nor `cargo metadata`
/// will do: both name crates that only a feature nobody has switched on would bring.
fn built() -> BTreeMap<(String, String), String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--locked", "--offline", "--edges=all", "--prefix=none", "--format={p}|{l}"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).expect("text");
    let mut found = BTreeMap::new();
    for line in tree.lines() {
        // "name v1.2.3 (where)|licence (*)"; lines about features have no version.
        let Some((package, licence)) = line.split_once('|') else { continue };
        let mut words = package.split_whitespace();
        let name = words.next().unwrap_or_default();
        let Some(version) = words.next().and_then(|version| version.strip_prefix('v')) else { continue };
        found.insert((name.into(), version.into()), licence.trim_end_matches(" (*)").into());
    }
    assert!(found.len() > 50, "only {} packages", found.len());
    found
}

fn versions() -> BTreeMap<String, Vec<String>> {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, version) in built().into_keys() {
        versions.entry(name).or_default().push(version);
    }
    versions
}

#[test]
fn every_crate_imports_only_what_stands_below_it() {
    let ours: Vec<_> = IMPORTS.iter().map(|(name, _)| *name).collect();
    for member in members() {
        let (_, may) = IMPORTS.iter().find(|(name, _)| *name == member).expect("every member stands in the table");
        let manifest = table(&root().join(&member).join("Cargo.toml"));
        let shipped = dependencies(&manifest, "dependencies");
        let all = shipped.iter().chain(&dependencies(&manifest, "dev-dependencies")).cloned().collect::<Vec<_>>();
        for (name, _) in &all {
            let is_ours = ours.contains(&name.as_str());
            assert!(!is_ours || may.contains(&name.as_str()), "{member} must not import {name}");
        }
        for (name, _) in &shipped {
            let never = NEVER.iter().find(|(of, _)| *of == member).map_or(&[][..], |(_, never)| never);
            assert!(!never.contains(&name.as_str()), "{member} must never name {name}");
            let without = WITHOUT_CIPHERS.contains(&member.as_str());
            assert!(!without || !CIPHERS.contains(&name.as_str()), "{member} must not name the cipher {name}");
        }
    }
}

#[test]
fn versions_and_lints_come_from_the_root() {
    for member in members() {
        let manifest = table(&root().join(&member).join("Cargo.toml"));
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{member} has lints of its own");
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, from) in dependencies(&manifest, section) {
                let from_root = from.get("workspace").and_then(Value::as_bool) == Some(true);
                assert!(from_root, "{member}: {name} does not take its version from the root");
            }
        }
    }
}

#[test]
fn a_proof_is_made_where_verification_happens_and_nowhere_else() {
    let needle = concat!("Verified::assert", "_verified");
    let origins = ["keys/src/verify.rs", "sim/src/forge.rs"].map(|path| root().join(path));
    for path in sources() {
        let makes = read(&path).contains(needle);
        assert!(!makes || origins.contains(&path), "{} makes a Verified", path.display());
    }
    assert!(read(&origins[0]).contains(needle), "the verifier is not where this test looks");
}

#[test]
fn the_core_cannot_name_the_standard_library() {
    let needle = concat!("extern crate", " std");
    for path in sources() {
        let in_core = path.starts_with(root().join("mesh"));
        assert!(!in_core || !read(&path).contains(needle), "{}", path.display());
    }
}

#[test]
fn every_file_says_what_it_is_and_is_short_enough_to_read() {
    for path in sources() {
        let text = read(&path);
        let lines = text.lines().count();
        let is_generated = text.contains("@generated");
        assert!(is_generated || lines <= LINES_MAX, "{} has {lines} lines", path.display());
        assert!(is_generated || text.starts_with("//!"), "{} does not begin by saying what it is", path.display());
    }
}

#[test]
fn no_dependency_is_below_its_floor() {
    let number = |version: &str| -> Vec<u64> {
        version.split(['.', '-', '+']).take(3).map(|part| part.parse().unwrap_or(0)).collect()
    };
    let versions = versions();
    for (name, floor) in FLOORS {
        for version in versions.get(*name).into_iter().flatten() {
            assert!(number(version) >= number(floor), "{name} {version} is below {floor}");
        }
    }
}

#[test]
fn no_dependency_is_denied_and_duplicates_are_known() {
    let versions = versions();
    for name in DENIED {
        assert!(!versions.contains_key(*name), "{name} would be built");
    }
    for (name, versions) in &versions {
        let known = DUPLICATES.iter().any(|(known, _)| known == name);
        assert!(
            versions.len() == 1 || known,
            "{name} has versions {versions:?}: add it with a reason, or get rid of it"
        );
    }
    for (name, reason) in DUPLICATES {
        let many = versions.get(*name).is_some_and(|versions| versions.len() > 1);
        assert!(many, "{name} has one version; its reason has gone: {reason}");
    }
}

#[test]
fn every_licence_is_on_the_list() {
    let deny = table(&root().join("deny.toml"));
    let allowed: Vec<_> = deny["licenses"]["allow"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|name| name.as_str().expect("a name"))
        .collect();
    for ((name, version), licence) in built() {
        assert!(licence::is_allowed(&licence, &allowed), "{name} {version}: {licence}");
    }
}
