//! The one screen: everything that an operator looks for first, and again and again for whoever watches.

use std::time::Duration;

use referee::hosts::{Host, until};
use referee::members::{alone, said};
use serde_json::Value;

use super::{Running, text};

const SOON: Duration = Duration::from_secs(15);

#[test]
fn the_screen_shows_node_peers_agents_queues_with_ages_and_each_warning_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alpha, mut beta) = Host::two(folder.path());
    until("echo@beta is known", SOON, || alpha.ctl(&["whois", "echo@beta"]).status.success().then_some(()));
    let screen = |more: &[&str]| text(&alpha.ctl(&[&["status"], more].concat()).stdout);
    let shown = screen(&[]);
    let path = format!("{}:{}", beta.address, beta.port);
    for part in ["● alpha", "1 peer (1 up)", "outbox 0", "mailboxes 0", "dead 0", "PATH", &path, "echo", " ms", "● up"]
    {
        assert!(shown.contains(part), "{part:?} is missing in:\n{shown}");
    }
    assert!(!shown.contains(&beta.id) && screen(&["-o", "wide"]).contains(&beta.id), "{shown}");

    assert_eq!(beta.stop().code(), Some(0));
    assert!(alpha.ctl(&["send", "echo@beta", "x", "--wait", "accepted"]).status.success());
    let shown = until("alpha knows that beta is down", SOON, || Some(screen(&[])).filter(|it| it.contains("(0 up)")));
    assert!(shown.contains("outbox 1 (") && shown.contains("oldest "), "{shown}");
    let warnings: Vec<&str> = shown.lines().filter(|line| line.contains('⚠')).collect();
    assert!(warnings.iter().any(|line| line.contains("beta is ") && line.contains("→ aicpctl doctor")), "{shown}");
    assert!(warnings.iter().all(|line| line.contains("   → ")), "a warning without what to do: {shown}");
    let told = alpha.status();
    let warnings: Vec<&str> = told["warnings"].as_array().expect("warnings").iter().filter_map(Value::as_str).collect();
    assert!(warnings.iter().any(|warning| warning.starts_with("beta is ")), "programs read the same: {told}");
}

#[test]
fn whoever_watches_sees_what_goes_over_a_link_and_a_daemon_that_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut alpha, beta) = Host::two(folder.path());
    until("echo@beta is known", SOON, || alpha.ctl(&["whois", "echo@beta"]).status.success().then_some(()));
    let watch = Running::new(&alpha, &["status", "--watch"], &folder.path().join("watch"));
    let json = Running::new(&alpha, &["status", "--watch", "--json"], &folder.path().join("json"));
    let bench = ["bench", "throughput", "echo@beta", "--seconds", "60", "--size", "10000"];
    let load = Running::new(&alpha, &bench, &folder.path().join("load"));
    let port = beta.port.to_string();
    until("the rate is shown", SOON, || {
        let is_rate = |line: &str| line.contains(&port) && (line.contains("KiB") || line.contains("MiB"));
        watch.shown().lines().any(is_rate).then_some(())
    });
    assert!(watch.shown().contains("TX/s"), "{}", watch.shown());
    drop(load);

    assert_eq!(alpha.stop().code(), Some(0));
    until("it says that nobody answers", SOON, || watch.shown().contains("no daemon answers").then_some(()));
    let before = watch.shown().len();
    alpha.start();
    until("the daemon is seen again", SOON, || watch.shown()[before..].contains("● alpha").then_some(()));
    let told = json.shown();
    let objects: Vec<Value> =
        told.lines().filter(|line| line.ends_with('}')).map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let schemas: Vec<&str> = objects.iter().filter_map(|object| object["schema"].as_str()).collect();
    assert!(schemas.iter().filter(|schema| **schema == "aicp.status/1").count() > 1, "{told}");
    assert!(schemas.contains(&"aicp.error/1"), "{told}");
}

#[test]
fn the_end_of_the_certificate_is_told_wherever_one_looks_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = alone(folder.path(), "alpha");
    let pinned = said(&host.ctl(&["cert"]));
    assert!(pinned.contains(&host.id) && pinned.contains("it has no end"), "{pinned}");
    said(&host.ctl(&["up", "--mesh", "lab"]));

    let cert = said(&host.ctl(&["cert"]));
    for part in ["alpha", &host.id, "lab", "in 29d 23h", "in 19d "] {
        assert!(cert.contains(part), "{part:?} is missing in:\n{cert}");
    }
    let told: Value = serde_json::from_str(&said(&host.ctl(&["cert", "--json"]))).expect("JSON");
    assert_eq!((&told["kind"], &told["mesh_name"]), (&"authority".into(), &"lab".into()));
    assert_eq!(told["mesh_id"], host.status()["mesh_id"]);
    let shown = said(&host.ctl(&["status"]));
    assert!(shown.contains("mesh lab · certificate for 29d 23h · keeps the authority's key"), "{shown}");
    let doctor = text(&host.ctl(&["doctor"]).stdout);
    assert!(doctor.contains("the certificate of this node is good for 29d 23h"), "{doctor}");

    let check = |more: &[&str]| {
        let output = host.ctl(&[&["check"], more].concat());
        (output.status.code(), text(&output.stdout))
    };
    let (code, line) = check(&[]);
    assert!(code == Some(0) && line.contains(";604800:;86400:;0"), "{line}");
    let (code, line) = check(&["--cert-warn", "30d"]);
    assert!(code == Some(1) && line.contains("the certificate ends in 29d 23h"), "{line}");
    assert_eq!(check(&["--cert-crit", "30d"]).0, Some(2));
}
