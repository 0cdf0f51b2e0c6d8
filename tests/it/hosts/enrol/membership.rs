//! All members know each other, without anybody telling them; who leaves, is taken down or is blocked is out of reach.

use std::time::{Duration, Instant};

use referee::hosts::{Host, until};
use referee::members::{all_are_linked, alone, complaint, echo_answers, mesh, peers, said, ticket};

const SOON: Duration = Duration::from_secs(20);

fn knows(host: &Host, name: &str) -> bool {
    let told = peers(host);
    told["peers"].as_array().expect("peers").iter().any(|peer| peer["name"] == name)
}

fn state_of(host: &Host, name: &str) -> String {
    let told = peers(host);
    let peer = told["peers"].as_array().expect("peers").iter().find(|peer| peer["name"] == name).cloned();
    peer.map_or_else(|| "unknown".into(), |peer| peer["state"].as_str().expect("a state").to_owned())
}

#[test]
fn a_new_member_reaches_all_others_whose_configuration_nobody_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let hosts = mesh(folder.path(), &["alpha", "beta", "gamma"]);
    all_are_linked(&hosts);
    for host in &hosts {
        for other in hosts.iter().filter(|other| other.name != host.name) {
            echo_answers(host, &format!("echo@{}", other.name));
        }
    }
    for host in &hosts {
        assert_eq!(host.status()["members"], 3);
    }
}

#[test]
fn in_a_mesh_of_five_all_know_a_new_member_within_seconds() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hosts = mesh(folder.path(), &["n1", "n2", "n3", "n4"]);
    all_are_linked(&hosts);
    let fifth = alone(folder.path(), "n5");
    let ticket = ticket(&hosts[0]);
    let begun = Instant::now();
    said(&fifth.ctl(&["join", &ticket]));
    let joined = begun.elapsed();
    until("all know the fifth", SOON, || hosts.iter().all(|host| knows(host, "n5")).then_some(()));
    let known = begun.elapsed();
    hosts.push(fifth);
    all_are_linked(&hosts);
    println!(
        "a fifth node: first message {:.2} s, known to all {:.2} s, linked with all {:.2} s after join began",
        joined.as_secs_f64(),
        known.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    // A node in the middle asks one at the edge, neither of which ever heard of the other by name.
    echo_answers(&hosts[4], "echo@n2");
    echo_answers(&hosts[1], "echo@n5");
}

#[test]
fn whoever_is_down_is_out_of_reach_until_it_is_up_and_its_mail_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let hosts = mesh(folder.path(), &["alpha", "beta"]);
    all_are_linked(&hosts);
    echo_answers(&hosts[0], "echo@beta");
    said(&hosts[1].ctl(&["down"]));
    let status = hosts[1].status();
    assert_eq!((status["is_up"].as_bool(), status["listen"].as_array().map(Vec::len)), (Some(false), Some(0)));
    until("alpha sees it", SOON, || (state_of(&hosts[0], "beta") != "up").then_some(()));
    said(&hosts[0].ctl(&["send", "echo@beta", "later", "--wait", "accepted"]));
    assert_eq!(hosts[0].status()["outbox_messages"], 1);
    said(&hosts[1].ctl(&["up"]));
    until("the mail is there", SOON, || (hosts[0].status()["outbox_messages"] == 0).then_some(()));
}

#[test]
fn whoever_leaves_is_forgotten_by_all_and_may_come_back_with_a_new_ticket() {
    let folder = tempfile::tempdir().expect("a folder");
    let hosts = mesh(folder.path(), &["alpha", "beta", "gamma"]);
    all_are_linked(&hosts);
    assert!(complaint(&hosts[2].ctl(&["leave"])).contains("add --yes"));
    said(&hosts[2].ctl(&["leave", "--yes"]));
    assert_eq!(hosts[2].status()["mesh_id"], "");
    assert!(!hosts[2].state().join("mesh/node.crt").exists());
    for host in &hosts[..2] {
        until("it is forgotten", SOON, || (!knows(host, "gamma")).then_some(()));
    }
    said(&hosts[2].ctl(&["join", &ticket(&hosts[0])]));
    all_are_linked(&hosts);
}

#[test]
fn with_a_blocked_node_there_is_no_link_whoever_dials_until_it_is_unblocked() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hosts = mesh(folder.path(), &["alpha", "beta"]);
    all_are_linked(&hosts);
    said(&hosts[0].ctl(&["peer", "block", "beta"]));
    until("the link ends", SOON, || (state_of(&hosts[0], "beta") == "down").then_some(()));
    // Also over a restart.
    hosts[0].stop();
    hosts[0].start();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(state_of(&hosts[0], "beta"), "down");
    let told = said(&hosts[0].ctl(&["peer", "show", "beta"]));
    assert!(told.contains("blocked"), "{told}");
    said(&hosts[0].ctl(&["peer", "unblock", "beta"]));
    all_are_linked(&hosts);
    assert!(complaint(&hosts[0].ctl(&["peer", "show", "nobody"])).contains("no node nobody is known here"));
}
