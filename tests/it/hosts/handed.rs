//! A ticket that the service manager hands over: `LoadCredential=aicp.join-ticket`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use referee::clock;
use referee::hosts::{Host, until};
use referee::members::{all_are_linked, echo_answers, mesh, said, ticket};
use referee::moved::MovedClock;
use serde_json::Value;

use super::traffic::await_agent;

const SOON: Duration = Duration::from_secs(20);

/// A node whose manager hands over what lies in this folder.
fn newcomer(parent: &Path, name: &str) -> (Host, PathBuf) {
    let mut host = Host::make(parent, name);
    host.configure(&[]);
    let folder = parent.join(format!("{name}-credentials"));
    fs::create_dir(&folder).expect("a folder");
    host.set_environment("CREDENTIALS_DIRECTORY", folder.clone());
    (host, folder.join("aicp.join-ticket"))
}

/// What it says of itself, unless it restarts at this moment.
fn status(host: &Host) -> Option<Value> {
    let output = host.ctl(&["status", "--json"]);
    output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("JSON"))
}

fn await_mesh(host: &Host, kind: &str) {
    until(kind, SOON, || (status(host)?["mesh"] == kind).then_some(()));
}

/// What it warns of about its ticket.
fn warning(host: &Host) -> Option<String> {
    let status = status(host)?;
    let warnings = status["warnings"].as_array()?.iter().filter_map(Value::as_str);
    warnings.into_iter().find(|text| text.starts_with("a join ticket that was handed over")).map(str::to_owned)
}

fn await_warning(host: &Host, what: &str) -> String {
    until(what, SOON, || warning(host).filter(|told| told.contains(what)))
}

#[test]
fn a_node_joins_by_the_ticket_it_is_handed_and_a_member_leaves_it_alone_and_who_left_stays_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hosts = mesh(folder.path(), &["alpha"]);
    let ticket = ticket(&hosts[0]);
    let (mut beta, credential) = newcomer(folder.path(), "beta");
    fs::write(&credential, format!("{ticket}\n")).expect("a file");
    beta.start();
    hosts.push(beta);
    await_mesh(&hosts[1], "authority");
    all_are_linked(&hosts);
    echo_answers(&hosts[0], "echo@beta");
    let beta = &mut hosts[1];
    assert_eq!(warning(beta), None);
    let until_then = beta.status()["certificate_until_ms"].clone();
    assert_eq!(beta.stop().code(), Some(0));
    beta.start();
    until("it says that it needs none", SOON, || beta.log().contains("is left alone").then_some(()));
    assert_eq!(beta.status()["certificate_until_ms"], until_then, "it has not joined again");
    said(&beta.ctl(&["leave", "--yes"]));
    // In its restart in place, and in every other.
    for _ in 0..2 {
        await_warning(beta, "this node has left since");
        assert_eq!(beta.status()["mesh_id"], "");
        assert_eq!(beta.stop().code(), Some(0));
        beta.start();
    }
    let log = beta.log();
    assert!(!log.contains(&ticket) && !log.contains(&ticket["aicp-join:1".len()..][..40]), "the ticket was told");
}

#[test]
fn a_ticket_that_is_of_no_use_is_named_with_what_to_do_and_the_agents_of_the_host_are_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let alpha = mesh(folder.path(), &["alpha"]).remove(0);
    let (mut beta, credential) = newcomer(folder.path(), "beta");
    let good = ticket(&alpha);
    let middle = good.len() / 2;
    let other = if good.as_bytes()[middle] == b'q' { "p" } else { "q" };
    let damaged = format!("{}{other}{}", &good[..middle], &good[middle + 1..]);
    let invited = said(&alpha.ctl(&["invite", "--expires", "1s", "--json"]));
    let invited: Value = serde_json::from_str(&invited).expect("JSON");
    let expired = invited["ticket"].as_str().expect("a ticket").to_owned();
    let then = invited["expires_ms"].as_i64().expect("a time") / 1000;
    until("it has expired", SOON, || (clock::now() > then).then_some(()));
    let cases = [
        ("certainly none", "a ticket begins with aicp-join:1"),
        (&damaged, "the ticket was not copied whole"),
        (&"x".repeat(1 << 20), "a ticket begins with aicp-join:1"),
        (&expired, "the ticket has expired"),
    ];
    for (text, why) in cases {
        fs::write(&credential, text).expect("a file");
        beta.start();
        let told = await_warning(&beta, why);
        assert!(told.contains("→ aicpctl invite on a member"), "{told}");
        let screen = said(&beta.ctl(&["status"]));
        assert!(screen.contains(why) && screen.contains("→ aicpctl invite on a member"), "{screen}");
        let doctor = beta.ctl(&["doctor", "--config", &beta.config().display().to_string()]);
        let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(doctor.contains("⚠ join ticket") && doctor.contains(why), "{doctor}");
        assert!(beta.log().contains(why), "the log does not say {why}");
        assert_eq!(said(&beta.ctl(&["ask", "echo", "hello"])).trim(), "hello");
        assert_eq!(beta.stop().code(), Some(0));
    }
    let log = beta.log();
    assert!(!log.contains("certainly none") && !log.contains(&good[40..80]), "what was handed over was told");
    // What the administrator orders goes before it.
    fs::write(&credential, "none").expect("a file");
    beta.start();
    await_agent(&beta, "echo");
    said(&beta.ctl(&["join", &good]));
    assert_eq!((warning(&beta), &beta.status()["mesh"]), (None, &Value::from("authority")));
}

#[test]
fn a_host_whose_clock_is_wrong_when_it_starts_joins_by_itself_once_it_is_right() {
    const HOUR: i64 = 3_600_000_000_000;
    let folder = tempfile::tempdir().expect("a folder");
    let mut hosts = mesh(folder.path(), &["alpha"]);
    let (mut beta, credential) = newcomer(folder.path(), "beta");
    fs::write(&credential, ticket(&hosts[0])).expect("a file");
    let mut clock = MovedClock::give(&mut beta, folder.path());
    clock.set_wall(-2 * HOUR);
    beta.start();
    let told = await_warning(&beta, "hours behind that of the mesh");
    assert!(told.contains("it is tried again by itself   → set the clock right"), "{told}");
    // A stop waits for no further attempt.
    assert_eq!(beta.stop().code(), Some(0));
    assert!(!beta.log().contains("a task had to be ended"), "it had to be ended by force");
    beta.start();
    await_warning(&beta, "hours behind that of the mesh");
    clock.set_wall(0);
    await_mesh(&beta, "authority");
    hosts.push(beta);
    all_are_linked(&hosts);
}
