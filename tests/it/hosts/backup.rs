//! `aicpctl identity`: the keys of a node go into one file and come back from it, and whoever lacks the passphrase has
//! nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use client::{Agent, Incoming, Stage};
use referee::hosts::{Host, binary, until};

const PASSPHRASE: &str = "a passphrase for tests";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// `aicpctl identity VERB [FILE] --state-dir DIR --passphrase-file FILE`.
fn identity(verb: &str, state: &Path, file: &Path, passphrase: &str) -> Output {
    let secret = tempfile::NamedTempFile::new().expect("a file");
    fs::write(secret.path(), format!("{passphrase}\n")).expect("a file");
    let mut command = Command::new(binary("aicpctl"));
    command.args(["identity", verb]).arg(file).arg("--state-dir").arg(state).env_clear().env("NO_COLOR", "1");
    command.arg("--passphrase-file").arg(secret.path()).output().expect("aicpctl runs")
}

fn show(host: &Host) -> serde_json::Value {
    let output = host.ctl(&["identity", "show", "--json", "--state-dir", host.state().to_str().expect("text")]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What went to standard error, which must hold all of `words`.
fn said(output: &Output, words: &[&str]) {
    let text = String::from_utf8(output.stderr.clone()).expect("text");
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in:\n{text}");
    }
}

#[test]
fn a_node_whose_disk_is_lost_comes_back_as_itself_and_marks_what_it_may_have_delivered_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alpha, mut beta) = Host::two(folder.path());
    runtime().block_on(async {
        let reader = Agent::attach("reader").socket(beta.socket()).await.expect("attached");
        reader.detach().await.expect("detached");
    });
    let before = show(&beta);
    assert_eq!(before["node_id"], beta.id.as_str());
    let file = folder.path().join("beta.backup");
    let output = identity("backup", &beta.state(), &file, PASSPHRASE);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(file.metadata().expect("a file").permissions().mode() & 0o7777, 0o600);
    beta.kill();
    fs::remove_dir_all(beta.state()).expect("the disk is lost");

    let output = identity("restore", &beta.state(), &file, PASSPHRASE);
    assert!(output.status.success(), "{output:?}");
    said(&output, &["two nodes with one identity", "is lost", "delivered again, marked", "mark-restored"]);
    assert_eq!(show(&beta)["agents"], before["agents"], "the same agents with the same ids");
    // A start must see by itself that a known identity has no journal: the note would only say it a second time.
    fs::remove_file(beta.state().join("restored")).expect("restore leaves a note");
    beta.start();
    alpha.await_peer("beta");
    runtime().block_on(async {
        let writer = Agent::attach("writer").socket(alpha.socket()).await.expect("attached");
        until("reader@beta is known again", Duration::from_secs(10), || {
            alpha.ctl(&["ping", "echo@beta", "--count", "1"]).status.success().then_some(())
        });
        let sent = writer.send("reader@beta", "hello", "again").until(Stage::Handled).await.expect("accepted");
        let reader = Agent::attach("reader").socket(beta.socket()).await.expect("attached");
        let got = tokio::time::timeout(Duration::from_secs(20), reader.recv()).await.expect("in time");
        let Incoming::Delivery(delivery) = got.expect("a message") else { panic!("no message") };
        assert!(delivery.is_marked(), "the store that knew is gone");
        delivery.handled().await.expect("handled");
        sent.handled().await.expect("the sender hears of it");
    });
    assert_eq!(beta.stop().code(), Some(0));
    assert!(beta.fsck().1["journal"]["birth"].is_string());
}

#[test]
fn keys_and_backups_are_never_overwritten_and_a_wrong_passphrase_or_a_damaged_file_gives_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::make(folder.path(), "alpha");
    let mut running = host;
    running.configure(&[]);
    running.start();
    let file = folder.path().join("backup");
    assert!(identity("backup", &running.state(), &file, PASSPHRASE).status.success(), "also while a daemon runs");
    let bytes = fs::read(&file).expect("a file");

    let output = identity("backup", &running.state(), &file, PASSPHRASE);
    assert!(!output.status.success() && fs::read(&file).expect("a file") == bytes);
    said(&output, &["there already", "fix"]);
    let output = identity("backup", &running.state(), &folder.path().join("other"), "too short");
    assert_eq!(output.status.code(), Some(2));
    let output = identity("restore", &running.state(), &file, PASSPHRASE);
    assert!(!output.status.success());
    said(&output, &["keys are never overwritten", "nothing was put back"]);

    let empty = folder.path().join("empty");
    let output = identity("restore", &empty, &file, "not the passphrase");
    assert_eq!(output.status.code(), Some(5));
    said(&output, &["not the passphrase", "nothing was put back"]);
    for at in [8, bytes.len() / 2, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        let path = folder.path().join("damaged");
        fs::write(&path, damaged).expect("a file");
        let output = identity("restore", &empty, &path, PASSPHRASE);
        assert_eq!(output.status.code(), Some(1), "byte {at}");
        said(&output, &["damaged", "nothing was put back"]);
    }
    assert!(!empty.join("identity").exists(), "nothing was written");
    assert!(!folder.path().join("other").exists());
}

#[test]
fn a_passphrase_is_never_taken_from_the_command_line_and_never_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::make(folder.path(), "alpha");
    let file = folder.path().join("backup");
    // Without a terminal and without a file nothing is asked for.
    let output = Command::new("setsid")
        .arg("--wait")
        .arg(binary("aicpctl"))
        .args(["identity", "backup"])
        .arg(&file)
        .arg("--state-dir")
        .arg(host.state())
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .expect("setsid runs");
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    said(&output, &["no terminal", "--passphrase-file"]);
    assert!(!file.exists());
}
