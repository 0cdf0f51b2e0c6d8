//! All members know each other, without anybody telling them; who leaves, is taken down or is blocked is out of reach.
//!
//! `AICP_SPREAD=1` counts what a new member costs, in a network namespace of its own.

use std::time::{Duration, Instant};

use client::Node;
use referee::hosts::{Host, env_number, until};
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

#[tokio::test(flavor = "multi_thread")]
async fn in_a_mesh_of_five_all_know_a_new_member_within_seconds() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hosts = mesh(folder.path(), &["n1", "n2", "n3", "n4"]);
    all_are_linked(&hosts);
    let fifth = alone(folder.path(), "n5");
    let ticket = ticket(&hosts[0]);
    let wire = Loopback::open().await;
    let begun = Instant::now();
    let mut looking = tokio::task::JoinSet::new();
    for host in &hosts {
        let node = Node::connect(Some(&host.socket())).await.expect("connected");
        looking.spawn(async move {
            while !node.peers().await.expect("told").peers.iter().any(|peer| peer.name == "n5") {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            begun.elapsed()
        });
    }
    let joining = tokio::task::spawn_blocking(move || {
        said(&fifth.ctl(&["join", &ticket]));
        (fifth, begun.elapsed())
    });
    let known = tokio::time::timeout(SOON, looking.join_all()).await.expect("all know the fifth");
    let (fifth, joined) = joining.await.expect("it joined");
    let (first, last) = (known.iter().min().expect("four"), known.iter().max().expect("four"));
    hosts.push(fifth);
    all_are_linked(&hosts);
    println!(
        "a fifth node: first message {:.2} s, linked with all {:.2} s after join began; the first of the others knew it \
         after {:.3} s, and the last {:.0} ms later",
        joined.as_secs_f64(),
        begun.elapsed().as_secs_f64(),
        first.as_secs_f64(),
        (*last - *first).as_secs_f64() * 1e3
    );
    if let Some((bytes, idle)) = wire.cost().await {
        println!("{:.1} kB over the loopback for it, beside {idle:.0} B/s of links that idle", bytes / 1e3);
    }
    // A node in the middle asks one at the edge, neither of which ever heard of the other by name.
    echo_answers(&hosts[4], "echo@n2");
    echo_answers(&hosts[1], "echo@n5");
}

/// What goes over the loopback of a network namespace that nobody else uses: counted where `AICP_SPREAD` is 1.
struct Loopback {
    /// Before it began, in bytes; and what goes over it in a second if nothing happens.
    before: Option<(u64, f64)>,
    since: Instant,
}

/// Long enough for all that follows from a join.
const SETTLED: Duration = Duration::from_secs(10);

#[expect(clippy::cast_precision_loss, reason = "kilobytes for people")]
impl Loopback {
    async fn open() -> Self {
        let is_wanted = env_number("AICP_SPREAD", 0) == 1;
        let mut idle = 0.0;
        if is_wanted {
            tokio::time::sleep(SETTLED).await;
            let before = Self::bytes();
            tokio::time::sleep(SETTLED).await;
            idle = (Self::bytes() - before) as f64 / SETTLED.as_secs_f64();
        }
        Self { before: is_wanted.then(|| (Self::bytes(), idle)), since: Instant::now() }
    }

    fn bytes() -> u64 {
        let interfaces = std::fs::read_to_string("/proc/net/dev").expect("the interfaces");
        let lo = interfaces.lines().find_map(|line| line.trim().strip_prefix("lo:")).expect("a loopback");
        lo.split_whitespace().next().expect("bytes that were received").parse().expect("a number")
    }

    /// Bytes since it began beyond what goes over it in any case, and how much that is in a second.
    async fn cost(self) -> Option<(f64, f64)> {
        let (before, idle) = self.before?;
        tokio::time::sleep(SETTLED).await;
        let (all, kept) = ((Self::bytes() - before) as f64, idle * self.since.elapsed().as_secs_f64());
        Some((all - kept, idle))
    }
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
