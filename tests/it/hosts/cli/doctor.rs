//! The doctor on patients that are ill in one way each, and the line for monitoring systems.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use referee::hosts::{Host, binary, until};
use serde_json::Value;

use super::text;
use crate::hosts::operate::Announcer;

const SOON: Duration = Duration::from_secs(15);

/// What the doctor says of a host, by the check; and how it ended.
struct Report {
    code: Option<i32>,
    checks: Vec<Value>,
}

impl Report {
    fn of(host: &Host, more: &[&str]) -> Self {
        let config = host.config().display().to_string();
        Self::read(&host.ctl(&[&["doctor", "--json", "--config", &config], more].concat()))
    }

    fn read(output: &Output) -> Self {
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!(told["schema"], "aicp.doctor/1");
        let checks = told["checks"].as_array().expect("checks").clone();
        let worst = ["fail", "warn"].into_iter().find(|state| checks.iter().any(|check| check["state"] == *state));
        assert_eq!(told["state"], worst.unwrap_or("ok"));
        let code = match worst {
            Some("fail") => 1,
            Some(_) => 8,
            None => 0,
        };
        assert_eq!(output.status.code(), Some(code), "{told}");
        for check in &checks {
            let must_say = check["state"] == "warn" || check["state"] == "fail";
            assert!(
                !must_say || (check["why"].is_string() && check["fix"].is_string()),
                "{check} says not why, or how"
            );
        }
        Self { code: output.status.code(), checks }
    }

    /// The findings of a check.
    fn all(&self, check: &str) -> Vec<&Value> {
        self.checks.iter().filter(|one| one["check"] == check).collect()
    }

    /// The only finding of a check, which is in this state; its words.
    fn only(&self, check: &str, state: &str) -> String {
        let found = self.all(check);
        let [one] = found[..] else { panic!("{check}: {found:#?}") };
        assert_eq!(one["state"], state, "{one}");
        one.to_string()
    }
}

#[test]
fn a_key_that_others_can_read_is_found_and_mended_and_nothing_else_is_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    host.start();
    assert!(Report::of(&host, &[]).only("state", "ok").contains("their owner's alone"));
    let key = host.state().join("identity/node.key");
    let store = host.state().join("store-keys");
    fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).expect("ours");
    fs::set_permissions(&store, PermissionsExt::from_mode(0o755)).expect("ours");
    let report = Report::of(&host, &[]);
    assert_eq!(report.code, Some(1));
    let found = report.all("state");
    assert_eq!(found.len(), 2, "{found:?}");
    let of_key = found.iter().find(|one| one["state"] == "fail").expect("the key").to_string();
    assert!(of_key.contains(&format!("chmod 600 {}", key.display())) && of_key.contains("0644"), "{of_key}");
    let of_folder = found.iter().find(|one| one["state"] == "warn").expect("the folder").to_string();
    assert!(of_folder.contains(&format!("chmod 700 {}", store.display())), "{of_folder}");
    let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
    assert_eq!((mode(&key), mode(&store)), (0o644, 0o755), "looking changes nothing");

    let mended = Report::of(&host, &["--fix"]);
    assert!(mended.all("state").iter().all(|one| one["state"] == "ok" && one["fixed"] == true), "{:?}", mended.checks);
    assert_eq!((mode(&key), mode(&store)), (0o600, 0o700));
    Report::of(&host, &[]).only("state", "ok");

    fs::remove_file(&key).expect("it was there");
    std::os::unix::fs::symlink("/nowhere", &key).expect("a link");
    assert!(Report::of(&host, &["--fix"]).only("state", "fail").contains("no plain file"));
}

#[test]
fn a_daemon_that_is_away_a_bad_configuration_and_few_files_are_each_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    let away = Report::of(&host, &[]);
    let daemon = away.only("daemon", "fail");
    assert!(daemon.contains(&host.socket().display().to_string()) && daemon.contains("aicpd run"), "{daemon}");
    assert!(away.only("UDP", "ok").contains("is free for the daemon"));
    let taken = UdpSocket::bind((host.address, host.port)).expect("the port");
    let listen = Report::of(&host, &[]).only("UDP", "fail");
    assert!(listen.contains(&host.port.to_string()), "{listen}");
    drop(taken);

    host.start_with_files(1000, 1000);
    let files = Report::of(&host, &[]).only("open files", "warn");
    assert!(files.contains("may have 1000 files open") && files.contains("LimitNOFILE"), "{files}");
    Report::of(&host, &[]).only("configuration", "ok");
    host.configure_also("\n[limits]\noutbox_mesages = 5\n");
    let report = Report::of(&host, &[]);
    assert!(report.only("configuration", "fail").contains("outbox_messages"), "what was meant");
    assert!(report.only("daemon", "ok").contains("alpha answers"), "it goes on with what it has");
}

#[test]
fn each_peer_is_knocked_at_and_the_way_that_is_blocked_told_from_one_where_nobody_listens() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut alpha = Host::make(folder.path(), "alpha");
    let [mut beta, gamma, delta] = ["beta", "gamma", "delta"].map(|name| Host::make(folder.path(), name));
    // Somebody takes what comes to delta, and never answers.
    let silent = UdpSocket::bind(("127.0.0.1", 0)).expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let pins = [beta.pin(), gamma.pin(), format!("delta={}@127.0.0.1:{port}", delta.id)];
    alpha.configure_with(&pins);
    beta.configure(&[]);
    beta.start();
    let of = |report: &Report, peer: &str| {
        let found: Vec<Value> =
            report.all("peer").into_iter().filter(|one| one["what"].to_string().contains(peer)).cloned().collect();
        assert_eq!(found.len(), 1, "{peer}: {found:?}");
        found[0].clone()
    };
    let check = |report: &Report| {
        let nobody = of(report, "gamma");
        assert!(nobody["state"] == "warn" && nobody["what"].to_string().contains("nobody listens"), "{nobody}");
        let blocked = of(report, "delta");
        assert!(blocked["state"] == "warn" && blocked["what"].to_string().contains("does not answer UDP"), "{blocked}");
        assert!(blocked["fix"].to_string().contains("firewall"), "{blocked}");
    };
    // Without a daemon here, by the configuration; beta takes alpha for a stranger, and answers all the same.
    let report = Report::of(&alpha, &[]);
    assert!(of(&report, "beta")["what"].to_string().contains("answers QUIC"), "{:?}", report.checks);
    check(&report);

    alpha.start();
    until("the daemon has tried", SOON, || {
        let peers = alpha.status()["peers"].clone();
        peers.as_array()?.iter().any(|peer| peer["name"] == "beta" && peer["last_error"] != "").then_some(())
    });
    let report = Report::of(&alpha, &[]);
    let stranger = of(&report, "beta");
    assert!(stranger["state"] == "warn" && stranger["what"].to_string().contains("is not linked"), "{stranger}");
    check(&report);
    let status = alpha.ctl(&["status", "--check"]);
    assert_eq!(status.status.code(), Some(8), "{}", text(&status.stdout));
    assert!(text(&status.stdout).contains("aicpctl doctor"), "{}", text(&status.stdout));

    assert_eq!(beta.stop().code(), Some(0));
    beta.configure(&[&alpha]);
    beta.start();
    alpha.await_peer("beta");
    assert_eq!(of(&Report::of(&alpha, &[]), "beta")["state"], "ok");
}

/// Runs lines of a shell with mounts of their own, which nobody else sees.
fn with_mounts(lines: &str, arguments: &[&str]) -> Option<Output> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|about| about.uid() == 0);
    if !is_root {
        assert!(std::env::var_os("AICP_NEED_ROOT").is_none(), "this needs root");
        skip();
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-e", "-c", lines, "sh"]).args(arguments).stdin(Stdio::null());
    Some(command.output().expect("unshare runs"))
}

#[expect(clippy::print_stderr, reason = "whoever reads the results wants to know what was not tried")]
fn skip() {
    eprintln!("skipped: needs root");
}

#[test]
fn small_buffers_of_the_kernel_are_raised_for_now_and_for_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    let etc = folder.path().join("sysctl.d");
    fs::create_dir(&etc).expect("a folder");
    let (read, write) = (folder.path().join("rmem_max"), folder.path().join("wmem_max"));
    fs::write(&read, "212992\n").expect("a file");
    fs::write(&write, "99999999\n").expect("a file");
    // The kernel's own numbers are those of the whole host: files stand in for them, where the program finds them.
    let lines = "mount --bind \"$1\" /etc/sysctl.d; mount --bind \"$2\" /proc/sys/net/core/rmem_max; \
                 mount --bind \"$3\" /proc/sys/net/core/wmem_max; shift 3; exec \"$@\"";
    let doctor = |fix: &[&str]| {
        let paths = [&etc, &read, &write].map(|path| path.display().to_string());
        let (program, config) = (binary("aicpctl").display().to_string(), host.config().display().to_string());
        let words = [program.as_str(), "doctor", "--json", "--config", &config];
        with_mounts(lines, &[&paths.each_ref().map(String::as_str)[..], &words, fix].concat())
    };
    let Some(before) = doctor(&[]) else { return };
    let words = Report::read(&before).only("UDP buffers", "warn");
    assert!(words.contains("208.0 KiB") && words.contains("doctor --fix"), "{words}");
    assert_eq!(fs::read_to_string(&read).expect("text"), "212992\n");

    let mended = doctor(&["--fix"]).expect("it ran before");
    let words = Report::read(&mended).only("UDP buffers", "ok");
    assert!(words.contains("\"fixed\":true") && words.contains("restart the daemon"), "{words}");
    assert_eq!(fs::read_to_string(&read).expect("text").trim(), "8388608");
    assert_eq!(fs::read_to_string(&write).expect("text").trim(), "99999999", "what is larger stays");
    let kept = fs::read_to_string(etc.join("60-aicp.conf")).expect("it was written");
    assert!(kept.contains("net.core.rmem_max = 8388608\nnet.core.wmem_max = 99999999\n"), "{kept}");
    Report::read(&doctor(&[]).expect("it ran before")).only("UDP buffers", "ok");
}

#[test]
fn a_disk_with_little_room_is_named_before_it_is_full() {
    let folder = tempfile::tempdir().expect("a folder");
    let (program, state) = (binary("aicpctl").display().to_string(), folder.path().display().to_string());
    for (room, state_of_it) in [("40m", "fail"), ("500m", "warn"), ("1500m", "ok")] {
        let lines = "mount -t tmpfs -o mode=0700,size=\"$1\" none \"$2\"; exec \"$3\" doctor --json --state-dir \"$2\"";
        let Some(output) = with_mounts(lines, &[room, &state, &program]) else { return };
        let words = Report::read(&output).only("disk room", state_of_it);
        assert!(words.contains(&state), "{words}");
        Report::read(&output).only("disk sync", "ok");
    }
}

/// A check for monitoring systems: its exit code and its line.
fn check(host: &Host, more: &[&str]) -> (Option<i32>, String) {
    let output = host.ctl(&[&["check"], more].concat());
    let line = text(&output.stdout);
    assert_eq!((line.lines().count(), text(&output.stderr).as_str()), (1, ""), "one line and nothing else: {line}");
    assert!(line.matches('|').count() <= 1, "{line}");
    (output.status.code(), line)
}

#[test]
fn a_monitoring_system_gets_one_line_with_numbers_and_the_codes_it_knows() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut alpha = Host::make(folder.path(), "alpha");
    alpha.configure(&[]);
    let (code, line) = check(&alpha, &[]);
    assert_eq!(code, Some(2), "{line}");
    assert!(line.starts_with("AICP CRITICAL - no daemon answers") && line.contains("agent.sock"), "{line}");

    alpha.start();
    let (code, line) = check(&alpha, &[]);
    assert_eq!(code, Some(0), "{line}");
    assert!(line.starts_with("AICP OK - alpha: ") && line.contains(" | "), "{line}");
    let (_, numbers) = line.trim_end().split_once(" | ").expect("numbers");
    for number in numbers.split(' ') {
        let (label, rest) = number.split_once('=').unwrap_or_else(|| panic!("{number}"));
        let fields: Vec<&str> = rest.split(';').collect();
        let value = fields[0].trim_end_matches('s');
        assert!(!label.is_empty() && value.parse::<u64>().is_ok() && fields.len() == 4, "{number}");
    }
    assert!(numbers.contains("dead=0;1;1000;0") && numbers.contains("outbox_age=0s;900;43200;0"), "{numbers}");

    let to = {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let reader = client::Agent::attach("reader").socket(alpha.socket()).await.expect("attached");
            let to = reader.id();
            reader.detach().await.expect("it leaves");
            to
        })
    };
    Announcer::new(&alpha).says_what_dies(&alpha, to);
    let (code, line) = check(&alpha, &[]);
    assert_eq!(code, Some(1), "{line}");
    assert!(line.starts_with("AICP WARNING - alpha: 1 dead letter |") && line.contains("dead=1;1;1000;0"), "{line}");
    assert_eq!(check(&alpha, &["--dead-crit", "1"]).0, Some(2));
    assert_eq!(check(&alpha, &["--dead-warn", "2"]).0, Some(0));
}

#[test]
fn a_monitoring_system_hears_of_peers_that_are_away_and_of_mail_that_waits_too_long() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alpha, mut beta) = Host::two(folder.path());
    assert_eq!(check(&alpha, &[]).0, Some(0));
    until("echo@beta is known", SOON, || alpha.ctl(&["whois", "echo@beta"]).status.success().then_some(()));
    assert_eq!(beta.stop().code(), Some(0));
    until("alpha knows that beta is down", SOON, || (alpha.status()["peers"][0]["state"] != "up").then_some(()));
    let (code, line) = check(&alpha, &[]);
    assert_eq!(code, Some(2), "all peers are away: {line}");
    assert!(line.contains("not linked: beta") && line.contains("peers_down=1;1;1;0"), "{line}");
    assert_eq!(check(&alpha, &["--peers-crit", "2"]).0, Some(1));
    let quiet = ["--peers-warn", "9", "--peers-crit", "9"];
    assert_eq!(check(&alpha, &quiet).0, Some(0));
    assert!(alpha.ctl(&["send", "echo@beta", "x", "--wait", "accepted"]).status.success());
    let aged = |more: &[&str]| check(&alpha, &[&quiet, more].concat());
    assert_eq!(aged(&[]).0, Some(0));
    until("it has waited for a second", SOON, || (aged(&["--age-warn", "1s"]).0 == Some(1)).then_some(()));
    let (code, line) = aged(&["--age-crit", "1s"]);
    assert!(code == Some(2) && line.contains("a message waits to leave for"), "{line}");
}

#[test]
fn whoever_may_not_ask_knows_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    if fs::metadata("/proc/self").is_ok_and(|about| about.uid() != 0) {
        assert!(std::env::var_os("AICP_NEED_ROOT").is_none(), "this needs root");
        return skip();
    }
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    host.start();
    let program = folder.path().join("aicpctl");
    fs::copy(binary("aicpctl"), &program).expect("a program that others may run");
    for open in [folder.path(), host.config().parent().expect("its folder")] {
        fs::set_permissions(open, PermissionsExt::from_mode(0o755)).expect("the folder is ours");
    }
    let as_other = |verb: &str| {
        let mut command = Command::new(&program);
        command.args([verb, "--socket"]).arg(host.socket()).env_clear().uid(65_534).gid(65_534);
        command.stdin(Stdio::null()).output().expect("aicpctl runs")
    };
    let output = as_other("check");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
    assert!(text(&output.stdout).starts_with("AICP UNKNOWN - no permission"), "{}", text(&output.stdout));
    assert_eq!(as_other("status").status.code(), Some(5));
}
