//! `aicpd fsck`: it finds what was damaged, says what that costs, changes nothing, and the next start agrees with it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use client::{Agent, Incoming, Stage};
use referee::hosts::{Host, copy_folder};
use serde_json::Value;

/// Larger than all that a short life writes beside it, so that what lies in the middle of the journal is one of these.
const BODY_BYTES: usize = 50_000;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A host that was stopped in peace, with three messages that wait for an agent that is away.
fn with_mail(parent: &Path) -> Host {
    let mut host = Host::make(parent, "alpha");
    host.configure(&[]);
    host.start();
    runtime().block_on(async {
        let reader = Agent::attach("reader").socket(host.socket()).await.expect("attached");
        reader.detach().await.expect("detached");
        let writer = Agent::attach("writer").socket(host.socket()).await.expect("attached");
        for i in 0..3 {
            let body = i.to_string().repeat(BODY_BYTES);
            writer.send("reader", "wait", body).until(Stage::Stored).await.expect("accepted");
        }
    });
    assert_eq!(host.stop().code(), Some(0));
    host
}

fn the_file(folder: PathBuf) -> PathBuf {
    let file = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    file.max().expect("a file")
}

/// Turns one bit in the middle of what was written.
fn flip_in_the_middle(path: &Path) {
    let mut bytes = fs::read(path).expect("a file");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("something was written");
    bytes[end / 2] ^= 1;
    fs::write(path, bytes).expect("a file");
}

/// All that lies below a folder: modes, bytes, and the times of the last change.
fn picture(folder: &Path) -> BTreeMap<PathBuf, (u32, std::time::SystemTime, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let about = path.metadata().expect("metadata");
        if about.is_dir() {
            found.extend(picture(&path));
        }
        let bytes = if about.is_file() { fs::read(&path).expect("a file") } else { Vec::new() };
        found.insert(path, (about.permissions().mode(), about.modified().expect("a time"), bytes));
    }
    found
}

fn faults(said: &Value) -> String {
    said["faults"].to_string()
}

#[test]
fn a_sound_state_is_called_so_with_what_lies_in_it_and_nothing_is_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = with_mail(folder.path());
    let before = picture(&host.state());
    let (code, said) = host.fsck();
    assert_eq!((code, &said["sound"], faults(&said)), (0, &Value::Bool(true), "[]".into()));
    assert_eq!(said["schema"], "aicp.fsck/1");
    assert_eq!(said["node_id"], host.id.as_str());
    assert_eq!(said["journal"]["entries"]["received"], 3);
    assert_eq!(said["journal"]["clean"], true);
    assert_eq!(said["next_start"], "clean");
    assert_eq!(said["day_keys"][0]["key"], "opens");
    let agents: Vec<&str> =
        said["agents"].as_array().expect("a list").iter().filter_map(|a| a["name"].as_str()).collect();
    assert_eq!(agents, ["echo", "reader", "writer"]);
    assert!(picture(&host.state()) == before, "a look changes nothing");
    let text = String::from_utf8(host.aicpd(&["fsck"]).stdout).expect("text");
    assert!(text.contains("3 received") && text.ends_with("sound\n"), "{text}");
}

#[test]
fn a_running_daemon_is_not_looked_into_and_a_killed_one_is_called_unclean() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = with_mail(folder.path());
    host.start();
    let output = host.aicpd(&["fsck"]);
    assert_eq!(output.status.code(), Some(3));
    let words = String::from_utf8(output.stderr).expect("text");
    assert!(["in use", "why:", "now:", "fix:"].iter().all(|word| words.contains(word)), "{words}");
    assert!(host.ctl(&["status"]).status.success(), "the daemon goes on");
    host.kill();
    let (code, said) = host.fsck();
    assert_eq!((code, &said["next_start"]), (0, &Value::from("unclean")), "{said}");
    assert_eq!(said["journal"]["entries"]["received"], 3);
}

#[test]
fn where_there_is_no_node_nothing_is_found_and_nothing_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::make(folder.path(), "alpha");
    fs::remove_dir_all(host.state()).expect("removed");
    assert_eq!(host.aicpd(&["fsck"]).status.code(), Some(3));
    assert!(!host.state().exists(), "a look makes nothing");
    assert_eq!(host.aicpd(&["fsck", "--deep"]).status.code(), Some(2));
}

#[test]
fn a_damaged_record_is_found_and_the_next_start_marks_what_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = with_mail(folder.path());
    let segments = fs::read_dir(host.state().join("store")).expect("a folder");
    let segments = segments.map(|entry| entry.expect("an entry").path());
    let segment = segments.filter(|path| path.extension().is_some_and(|end| end == "segment")).max();
    flip_in_the_middle(&segment.expect("a segment"));
    let before = picture(&host.state());
    let (code, said) = host.fsck();
    assert_eq!((code, &said["sound"]), (1, &Value::Bool(false)));
    assert_eq!(said["journal"]["entries"]["received"], 2, "{said}");
    assert_eq!(said["journal"]["damaged"][0]["harm"], "transactions");
    assert_eq!(said["next_start"], "born");
    assert!(picture(&host.state()) == before, "a look changes nothing, not even what is damaged");
    host.start();
    let bodies = runtime().block_on(async {
        let reader = Agent::attach("reader").socket(host.socket()).await.expect("attached");
        let mut bodies = Vec::new();
        while let Ok(got) = tokio::time::timeout(Duration::from_secs(2), reader.recv()).await {
            let Incoming::Delivery(delivery) = got.expect("a message") else { panic!("the reader sent nothing") };
            assert!(delivery.is_marked(), "nobody knows what stood in the lost record");
            bodies.push(delivery.text().expect("text")[..1].to_owned());
            delivery.handled().await.expect("handled");
        }
        bodies
    });
    assert_eq!(bodies.len(), 2, "as fsck said: {bodies:?}");
}

#[test]
fn every_key_that_is_damaged_open_to_others_or_gone_is_named_and_the_daemon_agrees() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = with_mail(folder.path());
    let kept = folder.path().join("kept");
    copy_folder(&host.state(), &kept);
    let open = |path: &Path| fs::set_permissions(path, PermissionsExt::from_mode(0o640)).expect("a mode");
    let remove = |path: &Path| fs::remove_file(path).expect("removed");
    type Harm<'a> = &'a dyn Fn(&Path);
    let cases: [(&str, Harm<'_>, &str); 7] = [
        ("identity/node.key", &flip_in_the_middle, "damaged"),
        ("identity/node.key", &open, "chmod"),
        ("identity/credential.key", &flip_in_the_middle, "damaged"),
        ("identity/credential.key", &remove, "no key file"),
        ("agents", &flip_in_the_middle, "damaged"),
        ("store-keys", &flip_in_the_middle, "does not open"),
        ("store-keys", &remove, "is missing"),
    ];
    for (place, harm, word) in cases {
        copy_folder(&kept, &host.state());
        let mut path = host.state().join(place);
        while path.is_dir() {
            path = the_file(path);
        }
        harm(&path);
        let (code, said) = host.fsck();
        let found = faults(&said);
        assert_eq!(code, 1, "{place}: {said}");
        let name = path.file_name().and_then(|name| name.to_str()).expect("text");
        assert!(found.contains(name) && found.contains(word), "{place}, {word}: {found}");
        assert_eq!(said["next_start"], "refuses", "{place}, {word}");
        let started = host.aicpd(&["run", "--socket", folder.path().join("sock").to_str().expect("text")]);
        assert_eq!(started.status.code(), Some(1), "{place}, {word}: the daemon does not start");
    }
    copy_folder(&kept, &host.state());
    assert_eq!(host.fsck().0, 0);
}
