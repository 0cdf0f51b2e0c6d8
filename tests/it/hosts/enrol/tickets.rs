//! A ticket lets one node in, once, until it expires; whoever holds one that does not is told why.
//!
//! `AICP_NEWCOMERS=100` has so many ask at once.

use std::sync::Arc;
use std::time::Duration;

use keys::ticket::Ticket;
use proto::member::JoinAnswer;
use referee::hosts::{Host, env_number, until};
use referee::members::{Newcomer, alone, complaint, mesh, said, ticket};
use referee::moved::MovedClock;

fn read(text: &str) -> Ticket {
    text.parse().expect("a ticket")
}

fn words(answer: Option<JoinAnswer>) -> String {
    match answer {
        Some(JoinAnswer::Refused { words, .. }) => words.into(),
        Some(JoinAnswer::Joined(_)) => "joined".into(),
        None => "no answer".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_newcomers_with_one_ticket_exactly_one_gets_in() {
    let newcomers = env_number("AICP_NEWCOMERS", 40);
    let folder = tempfile::tempdir().expect("a folder");
    let alpha = mesh(folder.path(), &["alpha"]).remove(0);
    let ticket = Arc::new(read(&ticket(&alpha)));
    let mut asking = tokio::task::JoinSet::new();
    for i in 0..newcomers {
        let ticket = Arc::clone(&ticket);
        asking.spawn(async move {
            let newcomer = Newcomer::new(&format!("new-{i}"));
            // Whoever got no answer in the crowd asks again, as a node does.
            for _ in 0..3 {
                if let Some(answer) = newcomer.ask(&ticket).await {
                    return (newcomer, Some(answer));
                }
            }
            (newcomer, None)
        });
    }
    let (mut winners, mut others) = (Vec::new(), 0);
    while let Some(answered) = asking.join_next().await {
        match answered.expect("asked") {
            (newcomer, Some(JoinAnswer::Joined(_))) => winners.push(newcomer),
            (_, answer) => {
                others += 1;
                let words = words(answer);
                assert!(words.starts_with("the ticket was used already"), "{words}");
            }
        }
    }
    println!("{newcomers} newcomers with one ticket: {} got in", winners.len());
    assert_eq!((winners.len(), others), (1, newcomers - 1));
    // It may have lost its answer, and nobody else gets one by that.
    let again = winners[0].ask(&ticket).await;
    assert!(matches!(again, Some(JoinAnswer::Joined(_))), "{}", words(again));
    assert!(words(Newcomer::new("late").ask(&ticket).await).starts_with("the ticket was used already"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burnt_ticket_stays_burnt_when_the_daemon_is_killed_and_started_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut alpha = mesh(folder.path(), &["alpha"]).remove(0);
    let ticket = read(&ticket(&alpha));
    assert!(matches!(Newcomer::new("beta").ask(&ticket).await, Some(JoinAnswer::Joined(_))));
    alpha.kill();
    alpha.start();
    assert!(words(Newcomer::new("gamma").ask(&ticket).await).starts_with("the ticket was used already"));
}

#[test]
fn a_ticket_that_has_expired_or_was_damaged_says_so_and_nothing_is_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut alpha = Host::make(folder.path(), "alpha");
    let mut clock = MovedClock::give(&mut alpha, folder.path());
    alpha.configure(&[]);
    alpha.start();
    said(&alpha.ctl(&["up"]));
    let beta = alone(folder.path(), "beta");
    let good = ticket(&alpha);
    let middle = good.len() / 2;
    let other = if good.as_bytes()[middle] == b'q' { "p" } else { "q" };
    let damaged = format!("{}{other}{}", &good[..middle], &good[middle + 1..]);
    let told = complaint(&beta.ctl(&["join", &damaged]));
    assert!(told.contains("was not copied whole") && told.contains("fix: copy all"), "{told}");
    let told = complaint(&beta.ctl(&["join", "aicp1notaticket"]));
    assert!(told.contains("a ticket begins with aicp-join:1"), "{told}");
    // On the clock of the node that gave it out, a quarter of an hour and a bit: less than clocks may be apart.
    let short = said(&alpha.ctl(&["invite", "--expires", "5s", "--json"]));
    let short: serde_json::Value = serde_json::from_str(&short).expect("JSON");
    clock.pass(Duration::from_secs(6));
    let told = complaint(&beta.ctl(&["join", short["ticket"].as_str().expect("a ticket")]));
    assert!(told.contains("the ticket has expired") && told.contains("fix: aicpctl invite"), "{told}");
    assert_eq!(beta.status()["mesh"], "pinned");
    assert!(!beta.state().join("mesh/node.crt").exists());
}

#[test]
fn a_wrong_clock_is_named_and_does_not_use_the_ticket_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let alpha = mesh(folder.path(), &["alpha"]).remove(0);
    let ticket = ticket(&alpha);
    let mut beta = Host::make(folder.path(), "beta");
    beta.configure(&[]);
    beta.set_clock(-3 * 3600);
    beta.start();
    let told = complaint(&beta.ctl(&["join", &ticket]));
    assert!(told.contains("the clock of the new node is 3 hours behind that of the mesh"), "{told}");
    assert!(told.contains("set the clock right"), "{told}");
    // Somebody else can use it, so nobody has.
    let gamma = alone(folder.path(), "gamma");
    said(&gamma.ctl(&["join", &ticket]));
}

#[test]
fn a_ticket_of_a_mesh_that_is_no_more_and_one_for_a_name_that_is_taken_are_refused_with_the_fix() {
    let folder = tempfile::tempdir().expect("a folder");
    let alpha = mesh(folder.path(), &["alpha"]).remove(0);
    let old = ticket(&alpha);
    said(&alpha.ctl(&["leave", "--yes"]));
    said(&alpha.ctl(&["up"]));
    let beta = alone(folder.path(), "beta");
    let told = complaint(&beta.ctl(&["join", &old]));
    assert!(told.contains("does not know it any more") && told.contains("fix: aicpctl invite"), "{told}");
    let good = ticket(&alpha);
    let told = complaint(&beta.ctl(&["join", &good, "--name", "alpha"]));
    assert!(told.contains("the name alpha is taken") && told.contains("--name OTHER"), "{told}");
    said(&beta.ctl(&["join", &good, "--name", "second"]));
    assert_eq!(beta.status()["node_name"], "second");
    let told = complaint(&beta.ctl(&["join", &ticket(&alpha)]));
    assert!(told.contains("is in mesh mesh already"), "{told}");
}

#[test]
fn a_member_without_the_authoritys_key_invites_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let hosts = mesh(folder.path(), &["alpha", "beta"]);
    hosts[1].await_peer("alpha");
    let ticket = until("beta knows who keeps the key", Duration::from_secs(10), || {
        let told = hosts[1].ctl(&["invite", "--json"]);
        let told: serde_json::Value = serde_json::from_slice(&told.stdout).ok()?;
        told["ticket"].as_str().map(str::to_owned)
    });
    let gamma = alone(folder.path(), "gamma");
    let told = said(&gamma.ctl(&["join", &ticket]));
    assert!(told.contains("beta's key matches the ticket"), "{told}");
    assert!(told.contains("first message: echo@beta"), "{told}");
    let late = alone(folder.path(), "late");
    assert!(complaint(&late.ctl(&["join", &ticket])).contains("used already"));
}
