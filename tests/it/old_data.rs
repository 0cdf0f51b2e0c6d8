//! What earlier versions left on a disk opens today: each fixture is looked at, started, and found to hold exactly the
//! messages that were put into it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use client::{Agent, End, Incoming};
use referee::hosts::{Host, until};
use referee::{clock, fixture, root};
use serde_json::Value;

const HOUR: i64 = 3600;

/// All that were ever committed.
fn fixtures() -> Vec<PathBuf> {
    let folder = std::fs::read_dir(root().join("tests/fixtures")).expect("the fixtures");
    let mut found: Vec<_> = folder.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()).collect();
    found.sort();
    assert!(!found.is_empty(), "there is a fixture");
    found
}

fn unpack(fixture: &Path, parent: &Path, name: &str) -> Host {
    let text = std::fs::read_to_string(fixture.join(format!("{name}.folder"))).expect("a packed folder");
    std::fs::create_dir(parent.join(name)).expect("a folder");
    fixture::unpack(&text, &parent.join(name).join("state"));
    Host::make(parent, name)
}

async fn attach(host: &Host, name: &str) -> Agent {
    Agent::attach(name).socket(host.socket()).await.expect("attached")
}

/// All that waits for an agent: the text of each message and whether it is marked, and of each outcome.
async fn waiting(host: &Host, name: &str, at_least: usize) -> (Vec<(String, bool)>, Vec<String>) {
    let agent = attach(host, name).await;
    let (mut messages, mut outcomes) = (Vec::new(), Vec::new());
    loop {
        // What should be there may take its time; what should not be there would have come with it.
        let is_complete = messages.len() + outcomes.len() >= at_least;
        let patience = Duration::from_secs(if is_complete { 1 } else { 20 });
        let Ok(got) = tokio::time::timeout(patience, agent.recv()).await else { break };
        match got.expect("a message") {
            Incoming::Delivery(delivery) => {
                messages.push((delivery.text().expect("text").to_owned(), delivery.is_marked()));
                delivery.handled().await.expect("handled");
            }
            Incoming::Outcome(outcome) => match outcome.end() {
                End::Answered => outcomes.push(outcome.message().text().expect("text").to_owned()),
                other @ (End::Handled | End::Failed(_)) => panic!("{name} hears {other:?}"),
            },
        }
    }
    agent.detach().await.expect("detached");
    (messages, outcomes)
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().expect("a list").iter().map(|text| text.as_str().expect("text").to_owned()).collect()
}

#[test]
fn every_state_folder_that_any_version_left_opens_with_exactly_the_messages_in_it() {
    for fixture in fixtures() {
        opens(&fixture);
    }
}

fn opens(fixture: &Path) {
    let expected = std::fs::read_to_string(fixture.join("expected.json")).expect("what it holds");
    let expected: Value = serde_json::from_str(&expected).expect("JSON");
    let folder = tempfile::tempdir().expect("a folder");
    let mut alpha = unpack(fixture, folder.path(), "alpha");
    let mut beta = unpack(fixture, folder.path(), "beta");
    assert_eq!(
        (&*alpha.id, &*beta.id),
        (expected["alpha"].as_str().expect("an id"), expected["beta"].as_str().expect("an id"))
    );
    let (code, said) = alpha.fsck();
    assert_eq!(code, 0, "{said}");
    assert_eq!(said["journal"]["entries"], expected["entries"]);

    // An hour after it was made: mail lives for days, a fixture for ever.
    let offset = expected["made"].as_i64().expect("a time") + HOUR - clock::now();
    alpha.configure(&[&beta]);
    beta.configure(&[&alpha]);
    alpha.set_clock(offset);
    beta.set_clock(offset);
    alpha.start();
    let outbox = texts(&expected["outbox"]);
    assert_eq!(alpha.status()["outbox_messages"], outbox.len());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // Before anything is handled here, which its sender would hear of too.
    for (agent, outcomes) in expected["outcomes"].as_object().expect("agents") {
        let found = runtime.block_on(waiting(&alpha, agent, texts(outcomes).len()));
        assert_eq!(found, (Vec::new(), texts(outcomes)), "what {agent} hears");
    }
    for (agent, messages) in expected["agents"].as_object().expect("agents") {
        let found = runtime.block_on(waiting(&alpha, agent, messages.as_array().expect("a list").len()));
        let found: Vec<Value> = found.0.into_iter().map(|(text, marked)| serde_json::json!([text, marked])).collect();
        assert_eq!(Value::from(found), *messages, "what waits for {agent}");
    }
    // What alpha owns reaches the other host, which is told by its key alone.
    beta.start();
    let (mut arrived, _) = runtime.block_on(waiting(&beta, "reader", outbox.len()));
    arrived.sort();
    assert_eq!(arrived.into_iter().map(|(text, _)| text).collect::<Vec<_>>(), outbox);
    until("alpha owns nothing more", Duration::from_secs(30), || {
        (alpha.status()["outbox_messages"] == 0).then_some(())
    });
}
