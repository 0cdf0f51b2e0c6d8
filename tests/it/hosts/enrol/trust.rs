//! Certificates renew by themselves, a lost first node is no end, and who is revoked is out everywhere and at once.

use std::time::{Duration, Instant};

use client::Node;
use referee::hosts::{Host, until};
use referee::members::{all_are_linked, alone, complaint, echo_answers, mesh, peers, said, ticket};
use referee::moved::MovedClock;

const SOON: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_secs(86_400);
/// Whoever is revoked is out everywhere in this time.
const WITHIN: Duration = Duration::from_secs(5);

fn certificate_until(host: &Host) -> u64 {
    host.status()["certificate_until_ms"].as_u64().expect("a time")
}

fn moved(parent: &std::path::Path, name: &str) -> (Host, MovedClock) {
    let mut host = Host::make(parent, name);
    let folder = parent.join(format!("{name}-clock"));
    std::fs::create_dir(&folder).expect("a folder");
    let clock = MovedClock::give(&mut host, &folder);
    host.configure(&[]);
    host.start();
    (host, clock)
}

/// Nodes of one mesh with clocks that a test moves.
fn moved_mesh(parent: &std::path::Path, names: &[&str]) -> (Vec<Host>, Vec<MovedClock>) {
    let (hosts, clocks): (Vec<_>, Vec<_>) = names.iter().map(|name| moved(parent, name)).unzip();
    said(&hosts[0].ctl(&["up"]));
    for host in &hosts[1..] {
        said(&host.ctl(&["join", &ticket(&hosts[0])]));
    }
    all_are_linked(&hosts);
    (hosts, clocks)
}

fn pass(clocks: &mut [MovedClock], days: u32) {
    for clock in clocks {
        clock.pass(DAY * days);
    }
}

/// Time passes as it does where nodes live: in steps, after each of which all of them are linked. A record counts for a
/// week, and is signed anew every day.
fn live_through(hosts: &[Host], clocks: &mut [MovedClock], days: u32) {
    for _ in 0..days / 3 {
        pass(clocks, 3);
        // What is due comes with it.
        std::thread::sleep(Duration::from_millis(300));
        all_are_linked(hosts);
    }
}

fn revoked(host: &Host) -> usize {
    peers(host)["revoked"].as_array().expect("a list").len()
}

/// Whether a node is on the list of those that are out, and no member.
fn is_out(host: &Host, id: &str) -> bool {
    let told = peers(host);
    let is_known = told["peers"].as_array().expect("peers").iter().any(|peer| peer["id"] == id);
    told["revoked"] == serde_json::json!([id]) && !is_known
}

/// The same, and nothing waits to be sent to it or to anybody.
async fn has_nothing_to_do_with(node: &Node, id: &str) -> bool {
    let told = node.peers().await.expect("it tells");
    let waiting = node.status().await.expect("it tells").outbox_messages;
    told.revoked == [id] && told.peers.iter().all(|peer| peer.id != id) && waiting == 0
}

#[test]
fn certificates_renew_by_themselves_over_a_month_and_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let (hosts, mut clocks) = moved_mesh(folder.path(), &["alpha", "beta"]);
    let mut before: Vec<u64> = hosts.iter().map(certificate_until).collect();
    // Two thirds of thirty days, and again.
    for _ in 0..2 {
        live_through(&hosts, &mut clocks, 21);
        for (host, before) in hosts.iter().zip(&mut before) {
            let after = until("its certificate is renewed", SOON, || {
                Some(certificate_until(host)).filter(|after| *after > *before + 20 * 86_400_000)
            });
            *before = after;
        }
        echo_answers(&hosts[0], "echo@beta");
    }
    for host in &hosts {
        until("nothing is left to warn of", SOON, || (host.status()["warnings"].as_array()?.is_empty()).then_some(()));
    }
}

#[test]
fn a_node_that_was_off_for_too_long_says_so_and_joins_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut hosts, mut clocks) = moved_mesh(folder.path(), &["alpha", "beta"]);
    assert!(hosts[1].stop().success());
    for _ in 0..2 {
        pass(&mut clocks, 20);
        let before = certificate_until(&hosts[0]);
        until("alpha renews its own", SOON, || {
            (certificate_until(&hosts[0]) >= before
                && hosts[0].status()["time_ms"].as_u64()? < certificate_until(&hosts[0]))
            .then_some(())
        });
    }
    hosts[1].start();
    let told = until("it says so", SOON, || {
        let status = String::from_utf8_lossy(&hosts[1].ctl(&["status"]).stdout).into_owned();
        status.contains("the certificate of this node expired").then_some(status)
    });
    assert!(told.contains("aicpctl join TICKET"), "{told}");
    assert_ne!(hosts[0].status()["peers"][0]["state"], "up", "whose certificate has expired has no link");
    said(&hosts[1].ctl(&["join", &ticket(&hosts[0])]));
    all_are_linked(&hosts);
}

#[test]
fn a_renewal_that_fails_is_told_early() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut hosts, mut clocks) = moved_mesh(folder.path(), &["alpha", "beta"]);
    let mut alpha = hosts.remove(0);
    assert!(alpha.stop().success());
    until("beta sees that alpha is off", SOON, || (hosts[0].status()["peers"][0]["state"] != "up").then_some(()));
    pass(&mut clocks, 21);
    let told = until("it is told", SOON, || {
        let status = hosts[0].status();
        let warnings = status["warnings"].as_array()?.clone();
        warnings.iter().find(|warning| warning.as_str().is_some_and(|text| text.contains("was not renewed"))).cloned()
    });
    assert!(told.as_str().expect("text").contains("no node that keeps the authority's key"), "{told}");
}

#[test]
fn the_first_node_is_lost_and_a_second_holder_renews_invites_and_revokes() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut hosts, mut clocks) = moved_mesh(folder.path(), &["alpha", "beta", "gamma"]);
    until("it is shared", SOON, || {
        hosts[0].ctl(&["authority", "share", "beta", "--yes"]).status.success().then_some(())
    });
    assert!(hosts[1].status()["is_holder"].as_bool().expect("a flag"));
    assert!(!hosts[2].status()["is_holder"].as_bool().expect("a flag"));
    hosts[0].kill();
    let hosts = &hosts[1..];
    let before = certificate_until(&hosts[1]);
    live_through(hosts, &mut clocks, 21);
    until("gamma is renewed", SOON, || (certificate_until(&hosts[1]) > before + 20 * 86_400_000).then_some(()));
    let (delta, mut clock) = moved(folder.path(), "delta");
    clock.pass(DAY * 21);
    said(&delta.ctl(&["join", &ticket(&hosts[0])]));
    echo_answers(&delta, "echo@gamma");
    said(&hosts[0].ctl(&["revoke", "delta", "--yes"]));
    until("gamma hears of it", SOON, || (revoked(&hosts[1]) == 1).then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_revoked_is_out_on_every_node_within_five_seconds_and_stays_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hosts = mesh(folder.path(), &["alpha", "beta", "gamma"]);
    all_are_linked(&hosts);
    for host in &hosts[..2] {
        echo_answers(host, "echo@gamma");
    }
    // Who keeps the key is said once a link is up.
    until("beta knows who may do this", SOON, || {
        let told = complaint(&hosts[1].ctl(&["revoke", "gamma", "--yes"]));
        assert!(told.contains("only a node that keeps the authority's key"), "{told}");
        told.contains("run it on alpha").then_some(())
    });
    // What was asked is over on both sides; from here on there is mail that waits for it, and does not get there.
    until("nothing is under way", SOON, || (hosts[1].status()["outbox_messages"] == 0).then_some(()));
    let mut gamma = hosts.remove(2);
    gamma.kill();
    said(&hosts[1].ctl(&["send", "echo@gamma", "too late", "--wait", "accepted"]));
    assert_eq!(hosts[1].status()["outbox_messages"], 1);
    gamma.start();
    let id = gamma.id.clone();
    // Asked over connections that are there: whoever starts a program for each look measures the machine.
    let mut nodes = Vec::new();
    for host in &hosts {
        nodes.push(Node::connect(Some(&host.socket())).await.expect("connected"));
    }
    // Whether it is linked by now or not.
    said(&hosts[0].ctl(&["revoke", &id, "--yes"]));
    let begun = Instant::now();
    let out_everywhere = async {
        for node in &nodes {
            while !has_nothing_to_do_with(node, &id).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    tokio::time::timeout(WITHIN, out_everywhere).await.expect("it is out everywhere, and nothing waits for it");
    println!("a node is out on all others {:.2} s after it was revoked", begun.elapsed().as_secs_f64());
    // It comes again and again.
    gamma.stop();
    gamma.start();
    std::thread::sleep(Duration::from_secs(2));
    for host in &mut hosts {
        assert!(is_out(host, &id) && !complaint(&host.ctl(&["ask", "echo@gamma", "hello"])).is_empty());
        // Also after a restart, from the first moment on, when nobody has told it anew.
        host.stop();
        host.start();
        assert!(is_out(host, &id), "{}", peers(host));
    }
    std::thread::sleep(Duration::from_secs(1));
    let status = gamma.status();
    let up = status["peers"].as_array().expect("peers").iter().filter(|peer| peer["state"] == "up").count();
    assert_eq!(up, 0, "{status}");
    let fresh = alone(folder.path(), "fresh");
    said(&fresh.ctl(&["join", &ticket(&hosts[0])]));
    assert!(is_out(&fresh, &id), "a newcomer is told who is out: {}", peers(&fresh));
}
