//! What is handed to others: the log, and a report about a fault in which nothing stands that was said, no key and no
//! address.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::time::Duration;

use client::{Agent, Stage};
use referee::hosts::{Host, until};
use referee::search::Search;

use super::{Running, text};
use crate::hosts::operate::await_known;

const SOON: Duration = Duration::from_secs(15);
/// An address that nobody has.
const FAR: &str = "198.51.100.77";
const FAR_HOST: &str = "gamma.far-away.example";
const TICKET: &str = "aicp-join:1qzyxwvutsrqponmlkjihgfedcba";

#[test]
fn a_report_holds_what_helps_and_nothing_that_was_said_no_key_and_no_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut alpha = Host::make(folder.path(), "alpha");
    let mut search = Search::new();
    let (subject, body) = ("a-subject-that-nobody-sees", "a body that nobody sees");
    search.add("subject", subject.as_bytes());
    search.add("body", body.as_bytes());
    search.add("passphrase", b"a comment with a secret in it");
    alpha.configure(&[]);
    let config = fs::read_to_string(alpha.config()).expect("its configuration");
    // Said to others, and dialed by nobody here.
    let config = config.replace("peers = []", &format!("advertise = [\"{FAR}:7727\", \"{FAR_HOST}:7727\"]"));
    fs::write(alpha.config(), format!("{config}# a comment with a secret in it\n")).expect("a file");
    symlink(folder.path().join("alpha/log"), alpha.state().join("aicpd.log")).expect("a link");
    alpha.start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let writer = Agent::attach("writer").socket(alpha.socket()).await.expect("attached");
        await_known(&writer, "echo").await;
        writer.ask("echo", subject, body).await.expect("answered");
        let me = writer.address();
        writer.send(me, subject, body).until(Stage::Accepted).await.expect("accepted");
    });
    for key in keys_below(&alpha.state()) {
        // What comes before it is the same in all.
        search.add(key.display().to_string(), &fs::read(&key).expect("a key")[9..41]);
    }
    let mut log = fs::OpenOptions::new().append(true).open(folder.path().join("alpha/log")).expect("the log");
    let lines = format!("a line with {TICKET}, as it may be\nand one with ({FAR}:4433)\n");
    log.write_all(lines.as_bytes()).expect("written");

    let file = folder.path().join("report.txt");
    let config = alpha.config().display().to_string();
    let written = alpha.ctl(&["bugreport", &file.display().to_string(), "--config", &config]);
    assert!(written.status.success(), "{}", text(&written.stderr));
    assert_eq!(text(&written.stdout).trim(), file.display().to_string());
    assert_eq!(fs::metadata(&file).expect("it is there").mode() & 0o777, 0o600);
    let report = fs::read_to_string(&file).expect("text");
    assert_eq!(search.found_in(report.as_bytes()), Vec::<&str>::new());
    for address in [FAR, FAR_HOST, TICKET] {
        assert!(!report.contains(address), "{address} stands in:\n{report}");
    }
    let helpful = [
        "== versions",
        "== host",
        "== limits",
        "== configuration",
        "== status",
        "== doctor",
        "== the latest",
        "aicpctl 0.",
        "Max open files",
        "\"mailbox_messages\": 1",
        "aicpd is running",
        "[ADDRESS-1]:7727",
        "[HOST-1]:7727",
        "writer",
        "a line with [TICKET], as it may be",
        "and one with ([ADDRESS-1]:4433)",
    ];
    for part in helpful {
        assert!(report.contains(part), "{part:?} is missing in:\n{report}");
    }

    // Whoever wants them gets addresses, and tickets never; and nothing is written over.
    let open = text(&alpha.ctl(&["bugreport", "-", "--with-addresses", "--config", &config]).stdout);
    assert!(open.contains(FAR) && open.contains(FAR_HOST) && !open.contains(TICKET), "{open}");
    assert_eq!(search.found_in(open.as_bytes()), Vec::<&str>::new());
    let again = alpha.ctl(&["bugreport", &file.display().to_string(), "--config", &config]);
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(fs::read_to_string(&file).expect("text"), report);
}

fn keys_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(keys_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "key") {
            found.push(path);
        }
    }
    assert!(!found.is_empty() || folder.ends_with("store"), "{} holds no key", folder.display());
    found
}

#[test]
fn the_log_of_a_daemon_in_the_background_is_shown_and_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    host.start();
    let config = host.config().display().to_string();
    let nowhere = host.ctl(&["logs", "--config", &config]);
    assert_eq!(nowhere.status.code(), Some(4), "it logs to where it was started");
    assert!(text(&nowhere.stderr).contains("aicpd.log"), "{}", text(&nowhere.stderr));

    symlink(folder.path().join("alpha/log"), host.state().join("aicpd.log")).expect("a link");
    until("it says that it runs", SOON, || host.log().contains("aicpd is running").then_some(()));
    let all = text(&host.ctl(&["logs", "--config", &config]).stdout);
    assert!(all.contains("aicpd is running") && all.lines().count() > 1, "{all}");
    let last = text(&host.ctl(&["logs", "-n", "1", "--config", &config]).stdout);
    assert_eq!(last.lines().count(), 1, "{last}");
    let (before, _) = host
        .log()
        .split_once(last.trim_end())
        .map(|(before, after)| (before.len(), after.len()))
        .expect("a line of it");
    assert!(before >= all.len() - 1, "a later line than all before: {last}");

    let arguments = ["logs", "--follow", "-n", "1", "--config", &config];
    let follow = Running::new(&host, &arguments, &folder.path().join("follow"));
    until("it shows the latest line", SOON, || follow.shown().ends_with('\n').then_some(()));
    assert!(host.ctl(&["recv", "--as", "newcomer", "--count", "0"]).status.success());
    until("it shows what is logged from then on", SOON, || follow.shown().contains("name=newcomer").then_some(()));
}
