//! A state folder that was copied, run on, and put back: what it has forgotten comes again marked, and nothing else
//! goes wrong by it.

use std::collections::BTreeMap;
use std::time::Duration;

use client::{Agent, Incoming, Stage};
use referee::hosts::{Host, copy_folder, until};

const COUNT: usize = 20;
/// Longer than the longest pause between two repeats. It takes that long only when an answer is lost with its link.
const PATIENCE: Duration = Duration::from_secs(100);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// What each agent was given, in order: the text, and whether it was marked.
#[derive(Default)]
struct Ledger(BTreeMap<&'static str, Vec<(String, bool)>>);

impl Ledger {
    fn note(&mut self, at: &'static str, delivery: &client::Delivery) {
        let text = delivery.text().expect("text").to_owned();
        self.0.entry(at).or_default().push((text, delivery.is_marked()));
    }

    fn deliveries(&self, at: &str, text: &str) -> Vec<bool> {
        let all = self.0.get(at).into_iter().flatten();
        all.filter(|(given, _)| given == text).map(|(_, marked)| *marked).collect()
    }

    fn judge(&self) {
        for (at, given) in &self.0 {
            let mut seen = BTreeMap::new();
            for (text, marked) in given {
                let times: &mut u32 = seen.entry(text).or_default();
                *times += 1;
                assert!(*times == 1 || *marked, "{text} came again to {at} and was not marked");
            }
        }
    }
}

async fn attach(host: &Host, name: &str) -> Agent {
    Agent::attach(name).socket(host.socket()).await.expect("attached")
}

async fn known(agent: &Agent, address: &str) {
    for _ in 0..500 {
        if agent.resolve(address).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{address} does not become known");
}

/// Takes all that comes until nothing has come for a while, and handles it.
async fn drain(host: &Host, name: &'static str, ledger: &mut Ledger) {
    let agent = attach(host, name).await;
    while let Ok(got) = tokio::time::timeout(Duration::from_millis(1500), agent.recv()).await {
        let Incoming::Delivery(delivery) = got.expect("a message") else { panic!("{name} sent nothing") };
        ledger.note(name, &delivery);
        delivery.handled().await.expect("handled");
    }
    agent.detach().await.expect("detached");
}

/// Sends `COUNT` messages, and waits until each is as far as `stage`. They are called `what-0` and so on.
async fn send(host: &Host, from: &str, to: &str, what: &str, stage: Stage) {
    let writer = attach(host, from).await;
    known(&writer, to).await;
    for i in 0..COUNT {
        let sent = writer.send(to, "count", format!("{what}-{i}")).until(stage).await.expect("accepted");
        if stage == Stage::Stored {
            let stored = tokio::time::timeout(PATIENCE, sent.stored()).await;
            stored.unwrap_or_else(|_| panic!("{what}-{i} gets no answer")).expect("stored");
        }
    }
    writer.detach().await.expect("detached");
}

fn settled(host: &Host) {
    until(&format!("{} owns nothing", host.name), PATIENCE, || {
        (host.status()["outbox_messages"].as_u64() == Some(0)).then_some(())
    });
}

fn stop(hosts: &mut [&mut Host]) {
    for host in hosts {
        assert_eq!(host.stop().code(), Some(0));
    }
}

fn start(alpha: &mut Host, beta: &mut Host) {
    alpha.start();
    beta.start();
    alpha.await_peer("beta");
    beta.await_peer("alpha");
}

#[test]
fn a_state_folder_that_was_put_back_doubles_nothing_unmarked_and_new_mail_flows_both_ways() {
    let rounds = std::env::var("AICP_RESTORES").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    for round in 0..rounds {
        one_round(round);
    }
}

fn one_round(round: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut alpha, mut beta) = Host::two(folder.path());
    let mut ledger = Ledger::default();
    let rt = runtime();
    rt.block_on(async {
        drain(&alpha, "alphas", &mut ledger).await;
        drain(&beta, "betas", &mut ledger).await;
        // These lie in beta's mailbox when the copy is made.
        send(&alpha, "writer", "betas@beta", "before", Stage::Stored).await;
    });
    // And these in its outbox.
    stop(&mut [&mut alpha]);
    rt.block_on(send(&beta, "author", "alphas@alpha", "owned", Stage::Accepted));
    stop(&mut [&mut beta]);
    let copy = folder.path().join("copy");
    copy_folder(&beta.state(), &copy);

    // Life goes on: all of it is delivered and handled, and more, in flows that the copy does not know.
    start(&mut alpha, &mut beta);
    rt.block_on(async {
        drain(&beta, "betas", &mut ledger).await;
        drain(&alpha, "alphas", &mut ledger).await;
        send(&alpha, "writer", "betas@beta", "since", Stage::Stored).await;
        send(&beta, "author", "alphas@alpha", "later", Stage::Stored).await;
    });
    settled(&beta);
    rt.block_on(async {
        // Half of what is in the mailbox now is handled, half is lost with the disk.
        drain(&alpha, "alphas", &mut ledger).await;
        drain(&beta, "betas", &mut ledger).await;
        send(&alpha, "writer", "betas@beta", "lost", Stage::Stored).await;
    });
    if round.is_multiple_of(2) {
        stop(&mut [&mut beta])
    } else {
        beta.kill()
    }

    copy_folder(&copy, &beta.state());
    assert!(beta.aicpd(&["mark-restored"]).status.success());
    assert_eq!(beta.fsck().1["next_start"], "born");
    beta.start();
    alpha.await_peer("beta");
    beta.await_peer("alpha");
    until("the note is gone once the journal says it itself", Duration::from_secs(5), || {
        (!beta.state().join("restored").exists()).then_some(())
    });
    rt.block_on(async {
        send(&alpha, "writer", "betas@beta", "new", Stage::Stored).await;
        send(&beta, "author", "alphas@alpha", "fresh", Stage::Stored).await;
    });
    settled(&alpha);
    settled(&beta);
    rt.block_on(async {
        drain(&beta, "betas", &mut ledger).await;
        drain(&alpha, "alphas", &mut ledger).await;
    });

    ledger.judge();
    for i in 0..COUNT {
        let came = |at: &str, what: &str| ledger.deliveries(at, &format!("{what}-{i}"));
        assert_eq!(came("betas", "before"), [false, true], "in the copy's mailbox: again, and marked");
        assert!(!came("alphas", "owned")[0], "it came first in a life that went on");
        for (at, what) in [("betas", "since"), ("alphas", "later")] {
            assert_eq!(came(at, what), [false], "{what}-{i} was settled in the life that is forgotten");
        }
        assert!(came("betas", "lost").is_empty(), "accepted after the copy, and lost with it");
        for (at, what) in [("betas", "new"), ("alphas", "fresh")] {
            assert_eq!(came(at, what).len(), 1, "{what}-{i} is new: a place that was used twice would swallow it");
        }
    }
    stop(&mut [&mut beta]);
    let (code, said) = beta.fsck();
    assert!(code == 0 && said["journal"]["birth"].is_string(), "{said}");
}
