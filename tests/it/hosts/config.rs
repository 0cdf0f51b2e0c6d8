//! The configuration of a running daemon: who said what, changes without a restart and by one, and files that cannot be
//! used.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::time::Duration;

use proto::metadata::MetadataDraft;
use proto::{ErrorCode, Receipt};
use referee::door::{DURABLE, Door};
use referee::hosts::{Host, binary, until};
use referee::members::{all_are_linked, mesh, peers};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(20);

fn host(name: &str) -> (tempfile::TempDir, Host) {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::make(folder.path(), name);
    host.configure(&[]);
    (folder, host)
}

fn ctl(host: &Host, arguments: &[&str]) -> String {
    let output = host.ctl(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

fn get(host: &Host, key: &str) -> Value {
    serde_json::from_str(&ctl(host, &["config", "get", key, "--json"])).expect("JSON")
}

fn reload(host: &Host) -> Value {
    serde_json::from_str(&ctl(host, &["config", "reload", "--json"])).expect("JSON")
}

fn hang_up(host: &Host) {
    let process = host.process().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-HUP", &process]).status().expect("kill runs").success());
}

/// The same file, with a line of it replaced.
fn change(host: &Host, from: &str, to: &str) {
    let text = fs::read_to_string(host.config()).expect("a file");
    assert!(text.contains(from), "{text}");
    fs::write(host.config(), text.replace(from, to)).expect("written");
}

#[test]
fn what_can_change_holds_at_once_and_what_needs_a_restart_is_named_and_holds_after_one_in_place() {
    let (_folder, mut host) = host("alpha");
    host.configure_also("\n[limits]\nmailbox_messages = 2\npair_messages = 2\n");
    host.start();
    Door::attached(&host.socket(), "reader").leave();
    let mut writer = Door::attached(&host.socket(), "writer");
    let reader = writer.find("reader");
    let mut send = || {
        let id = writer.request(reader, DURABLE, &MetadataDraft::default(), b"hello");
        writer.ends(id, Receipt::Accepted)
    };
    assert_eq!([send(), send(), send()], [None, None, Some(ErrorCode::FULL)]);
    change(&host, "mailbox_messages = 2\npair_messages = 2", "mailbox_messages = 3\npair_messages = 3");
    change(&host, "level = \"debug\"", "level = \"error\"");
    change(&host, "[log]", "max_hops = 3\n\n[log]");
    let process = host.process();
    hang_up(&host);
    until("a mailbox of three is known", SOON, || {
        (get(&host, "limits.mailbox_messages")["value"] == "3").then_some(())
    });
    assert_eq!([send(), send()], [None, Some(ErrorCode::FULL)], "one more fits");
    let quiet = host.log().len();
    Door::attached(&host.socket(), "somebody").leave();
    assert_eq!(host.log().len(), quiet, "what happens is not logged any more");
    assert_eq!(get(&host, "mesh.max_hops")["value"], "8", "it is what the daemon runs with");
    assert!(said(&host.ctl(&["config", "show"])).contains("mesh.max_hops stands otherwise in the files by now"));
    let again = reload(&host);
    assert_eq!(
        (&again["applied"], &again["needs_restart"]),
        (&Value::from([""; 0].to_vec()), &vec!["mesh.max_hops"].into())
    );
    assert_eq!(again["restarts"], false);
    let told = ctl(&host, &["config", "reload", "--restart"]);
    assert!(told.contains("restarting in place for: mesh.max_hops"), "{told}");
    until("it holds after the restart", SOON, || {
        let told = host.ctl(&["config", "get", "mesh.max_hops"]);
        (told.stdout == b"3\n").then_some(())
    });
    assert_eq!(host.process(), process, "it is the same process");
    assert_eq!(host.status()["mailbox_messages"], 3, "nothing was lost");
}

#[test]
fn a_bad_file_changes_nothing_and_says_what_is_wrong() {
    let (_folder, mut host) = host("alpha");
    host.start();
    let bad = [
        ("level = \"debug\"", "level = \"loud\"", "log.level"),
        ("[log]", "[logs]", "did you mean [log]?"),
        ("[log]", "[log", "line"),
        ("[socket]", "[socket]\nadmin_group = \"no-such-group\"", "no-such-group"),
        ("[log]", "[[allow]]\nto = \"Writer\"\n\n[log]", "`to` is the name of an agent"),
    ];
    let good = fs::read_to_string(host.config()).expect("a file");
    for (from, to, words) in bad {
        // Something that could be taken stands beside it.
        fs::write(host.config(), format!("{good}\n[limits]\nmailbox_messages = 7\n")).expect("written");
        change(&host, from, to);
        let refused = host.ctl(&["config", "reload"]);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        let told = said(&refused);
        assert!(told.contains(words) && told.contains("the daemon goes on as it was"), "{told}");
        let before = host.log().matches("nothing has changed").count();
        hang_up(&host);
        until("the log says so", SOON, || (host.log().matches("nothing has changed").count() > before).then_some(()));
        assert_eq!(get(&host, "limits.mailbox_messages")["value"], "10000");
        let whole = host.ctl(&["config", "validate"]);
        if !words.contains("group") {
            assert!(whole.status.code() == Some(2) && said(&whole).contains(words), "{}", said(&whole));
        }
    }
    fs::write(host.config(), good).expect("written");
    assert!(ctl(&host, &["config", "validate"]).contains("it can be used"));
    assert_eq!(reload(&host)["applied"], Value::from([""; 0].to_vec()));
    Door::attached(&host.socket(), "somebody").leave();
}

#[test]
fn each_key_says_where_it_was_said_and_one_that_counts_later_is_not_overwritten_in_vain() {
    let (_folder, mut host) = host("alpha");
    change(&host, "[log]\nlevel = \"debug\"\n", "# how loud\n[log]\nformat = \"text\" # for people\n");
    host.set_environment("AICP_LOG", "warn".into());
    host.start();
    let file = fs::read_to_string(host.config()).expect("a file");
    let own = format!("{}.d/90-aicpctl.toml", host.config().display());
    let origin = |key: &str| get(&host, key)["origin"].as_str().expect("a text").to_owned();
    assert_eq!(origin("log.level"), "AICP_LOG");
    assert_eq!(origin("log.format"), host.config().display().to_string());
    assert_eq!(origin("mesh.max_hops"), "default");
    let told = ctl(&host, &["config", "set", "limits.mailbox_messages", "5", "--reload"]);
    assert!(told.contains("limits.mailbox_messages = 5") && told.contains("holds now"), "{told}");
    assert_eq!(origin("limits.mailbox_messages"), own);
    let shown = ctl(&host, &["config", "show", "--origin"]);
    let line = shown.lines().find(|line| line.starts_with("limits.mailbox_messages = 5")).expect("the key");
    assert!(line.ends_with(&format!("# {own}")), "{line}");
    assert!(shown.contains("log.level = \"warn\"") && shown.contains("# AICP_LOG"), "{shown}");

    let exit = |arguments: &[&str], words: &str| {
        let output = host.ctl(arguments);
        assert!(said(&output).contains(words), "{arguments:?}: {}", said(&output));
        output.status.code()
    };
    let before = fs::read_to_string(&own).expect("a drop-in");
    assert_eq!(exit(&["config", "set", "log.level", "debug"], "AICP_LOG of the running daemon"), Some(2));
    assert_eq!(exit(&["config", "set", "limits.mailbox_bytes", "1KiB"], "16MiB"), Some(2));
    assert_eq!(exit(&["config", "set", "log.levle", "debug"], "did you mean log.level?"), Some(2));
    assert_eq!(exit(&["config", "get", "mailbox_messages"], "did you mean limits.mailbox_messages?"), Some(2));
    fs::write(format!("{}.d/99-late.toml", host.config().display()), "[mesh]\nmax_hops = 2\n").expect("written");
    assert_eq!(exit(&["config", "set", "mesh.max_hops", "5"], "99-late.toml"), Some(2));
    assert_eq!(fs::read_to_string(&own).expect("a drop-in"), before, "nothing was written");
    assert_eq!(fs::read_to_string(host.config()).expect("a file"), file, "the file is nobody else's");
    assert_eq!(exit(&["config", "set", "log.format", "json"], "it needs a restart"), Some(0));
    assert_eq!(exit(&["config", "unset", "limits.mailbox_messages"], "10000"), Some(0));
    assert_eq!(exit(&["config", "unset", "limits.mailbox_messages"], "is not set in"), Some(4));
    let both = reload(&host);
    assert_eq!(both["applied"], Value::from(vec!["limits.mailbox_messages", "limits.pair_messages"]), "{both}");
    assert_eq!(both["needs_restart"], Value::from(vec!["mesh.max_hops", "log.format"]), "{both}");
    // Without a daemon, the files say what one would run with.
    assert!(host.stop().success());
    let file = host.config().display().to_string();
    let told = host.ctl(&["config", "get", "log.format", "--config", &file]);
    assert_eq!(String::from_utf8_lossy(&told.stdout), "\"json\"\n");
}

#[test]
fn who_may_open_the_socket_changes_at_once_and_only_an_administrator_has_it_read() {
    let (folder, mut host) = host("alpha");
    host.start();
    let mode = |host: &Host| fs::metadata(host.socket()).expect("a socket").permissions().mode() & 0o777;
    ctl(&host, &["config", "set", "socket.mode", "0666", "--reload"]);
    assert_eq!(mode(&host), 0o666);
    if fs::metadata("/proc/self").is_ok_and(|about| about.uid() == 0) {
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("it can be entered");
        let other = |words: &[&str]| {
            let mut ctl = Command::new(binary("aicpctl"));
            ctl.arg("--socket").arg(host.socket()).args(words).env_clear().env("NO_COLOR", "1").uid(65_534).gid(65_534);
            ctl.output().expect("aicpctl runs")
        };
        assert_eq!(other(&["config", "show"]).status.code(), Some(0));
        let refused = other(&["config", "reload"]);
        assert!(refused.status.code() == Some(5) && said(&refused).contains("AICP-4008"), "{}", said(&refused));
        let refused = other(&["config", "set", "log.level", "warn"]);
        assert_eq!(refused.status.code(), Some(5), "{}", said(&refused));
        // The group of that user, from its next connection on.
        let groups = fs::read_to_string("/etc/group").expect("groups");
        if let Some(group) = groups.lines().find(|line| line.split(':').nth(2) == Some("65534")) {
            let group = group.split(':').next().expect("a name");
            ctl(&host, &["config", "set", "socket.admin_group", group, "--reload"]);
            assert_eq!(other(&["config", "reload"]).status.code(), Some(0));
        }
    }
    ctl(&host, &["config", "set", "socket.mode", "0600", "--reload"]);
    assert_eq!(mode(&host), 0o600);
}

#[test]
fn where_a_node_is_reached_changes_at_once_and_all_members_hear_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let hosts = mesh(folder.path(), &["alpha", "beta", "gamma"]);
    all_are_linked(&hosts);
    let [alpha, others @ ..] = hosts.as_slice() else { panic!("three hosts") };
    let process = alpha.process();
    let known = |host: &Host| {
        let told = peers(host);
        let alpha = told["peers"].as_array().expect("peers").iter().find(|peer| peer["name"] == "alpha").cloned();
        alpha.expect("alpha")["addresses"].clone()
    };
    let heard = |wanted: &Value| {
        for host in others {
            until("the others hear of it", SOON, || (known(host) == *wanted).then_some(()));
        }
    };
    let before = known(&others[0]);
    let here = before[0].as_str().expect("an address");
    let told = ctl(alpha, &["config", "set", "mesh.advertise", &format!("alpha.example:7, {here}"), "--reload"]);
    assert!(told.contains("holds now"), "{told}");
    let more = Value::from(vec!["alpha.example:7", here]);
    heard(&more);
    let invitation: Value = serde_json::from_str(&ctl(alpha, &["invite", "--json"])).expect("JSON");
    assert_eq!(invitation["addresses"], more, "a ticket says the same");
    ctl(alpha, &["config", "unset", "mesh.advertise"]);
    assert_eq!(reload(alpha)["applied"], Value::from(vec!["mesh.advertise"]));
    heard(&before);
    assert_eq!(alpha.process(), process, "it is the same process");
    assert_eq!(alpha.log().matches("aicpd is running").count(), 2, "once without a mesh, once as a member: no restart");
}
