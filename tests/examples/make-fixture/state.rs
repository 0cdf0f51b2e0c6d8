//! Two real daemons live through a week in half a minute, and leave behind entries of every kind that a daemon writes
//! today.

use std::path::Path;
use std::time::Duration;

use client::{Agent, Incoming, Stage};
use referee::hosts::{Host, copy_folder, until};
use referee::{clock, fixture};
use serde_json::json;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// What fills a mailbox.
const FILL: usize = 10_000;
const FILL_AT_ONCE: usize = 500;

pub(crate) fn make(folder: &Path) {
    std::fs::create_dir(folder).expect("a fixture is never changed, only followed by another one");
    let parent = tempfile::tempdir().expect("a folder");
    let mut alpha = Host::make(parent.path(), "alpha");
    let mut beta = Host::make(parent.path(), "beta");
    alpha.configure(&[&beta]);
    beta.configure(&[&alpha]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let made = clock::now();

    // A week ago: a mark that alpha drops later.
    start(&mut alpha, &mut beta, -6 * DAY);
    runtime.block_on(async {
        for name in ["inbox", "watcher", "writer"] {
            attach(&alpha, name).await.detach().await.expect("detached");
        }
        attach(&beta, "reader").await.detach().await.expect("detached");
        send(&beta, "author", "inbox@alpha", &["long-ago"]).await;
        drain(&alpha, "inbox").await;
    });
    stop(&mut [&mut alpha, &mut beta]);

    // Two hours ago: a copy of alpha is put back, and finds its places taken and the mailbox full.
    start(&mut alpha, &mut beta, -2 * HOUR);
    stop(&mut [&mut beta]);
    runtime.block_on(send(&alpha, "writer", "reader@beta", &["moved-0", "moved-1", "moved-2"]));
    stop(&mut [&mut alpha]);
    let copy = parent.path().join("copy");
    copy_folder(&alpha.state(), &copy);
    start(&mut alpha, &mut beta, -2 * HOUR);
    runtime.block_on(drain(&beta, "reader"));
    stop(&mut [&mut alpha]);
    start_one(&mut alpha, -2 * HOUR);
    alpha.await_peer("beta");
    runtime.block_on(async {
        send(&alpha, "writer", "reader@beta", &["between"]).await;
        drain(&beta, "reader").await;
        fill(&beta, "reader").await;
    });
    stop(&mut [&mut alpha]);
    copy_folder(&copy, &alpha.state());
    assert!(alpha.aicpd(&["mark-restored"]).status.success());
    start_one(&mut alpha, -HOUR);
    alpha.await_peer("beta");
    std::thread::sleep(Duration::from_secs(3));
    stop(&mut [&mut alpha, &mut beta]);

    // Now: what lies there when the fixture is made.
    start(&mut alpha, &mut beta, 0);
    runtime.block_on(async {
        send(&beta, "author", "inbox@alpha", &["remote-0", "remote-1"]).await;
        let writer = attach(&alpha, "writer").await;
        known(&writer, "echo@beta").await;
        writer.send("echo@beta", "what", "echoed").until(Stage::Handled).await.expect("accepted");
        // Whoever asked is away when the answer comes.
        writer.detach().await.expect("detached");
    });
    std::thread::sleep(Duration::from_secs(2));
    stop(&mut [&mut beta]);
    runtime.block_on(async {
        send(&alpha, "writer", "reader@beta", &["owned-0", "owned-1"]).await;
        send(&alpha, "writer", "inbox", &["local-0"]).await;
        send(&alpha, "writer", "watcher", &["seen-0"]).await;
        let watcher = attach(&alpha, "watcher").await;
        let got = watcher.recv().await.expect("a message");
        assert!(matches!(got, Incoming::Delivery(_)), "seen, and not acknowledged");
    });
    stop(&mut [&mut alpha]);

    let (code, said) = alpha.fsck();
    assert_eq!(code, 0, "{said}");
    let entries = &said["journal"]["entries"];
    for kind in ["owned", "moved", "received", "stub", "mark", "record", "birth", "marks dropped", "delivered"] {
        assert!(entries[kind].as_u64().is_some_and(|count| count > 0), "no entry is {kind}: {entries}");
    }
    let expected = json!({
        "made": made,
        "alpha": alpha.id,
        "beta": beta.id,
        "entries": entries,
        "agents": { "inbox": [["remote-0", false], ["remote-1", false], ["local-0", false]], "watcher": [["seen-0", true]] },
        "outcomes": { "writer": ["echoed"] },
        "outbox": ["moved-0", "moved-1", "moved-2", "owned-0", "owned-1"],
    });
    crate::write(&folder.join("expected.json"), &format!("{expected:#}\n"));
    crate::write(&folder.join("alpha.folder"), &fixture::pack(&alpha.state()));
    // Of beta only who it is: what waits for it lies with alpha.
    for other in ["store", "store-keys"] {
        std::fs::remove_dir_all(beta.state().join(other)).expect("removed");
    }
    crate::write(&folder.join("beta.folder"), &fixture::pack(&beta.state()));
}

fn start_one(host: &mut Host, offset: i64) {
    host.set_clock(offset);
    host.start();
}

fn start(alpha: &mut Host, beta: &mut Host, offset: i64) {
    start_one(alpha, offset);
    start_one(beta, offset);
    alpha.await_peer("beta");
    beta.await_peer("alpha");
}

fn stop(hosts: &mut [&mut Host]) {
    for host in hosts {
        assert_eq!(host.stop().code(), Some(0));
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

/// Accepted, and stored where the other host is there.
async fn send(host: &Host, from: &str, to: &str, texts: &[&str]) {
    let writer = attach(host, from).await;
    known(&writer, to).await;
    for text in texts {
        let sent = writer.send(to, "fixture", *text).session("a session").entry("about", "old data");
        sent.until(Stage::Accepted).await.expect("accepted");
    }
    writer.detach().await.expect("detached");
    let is_linked = host.status()["peers"][0]["state"] == "up";
    if is_linked && to.contains('@') {
        until("all is stored", Duration::from_secs(20), || (host.status()["outbox_messages"] == 0).then_some(()));
    }
}

async fn drain(host: &Host, name: &str) {
    let agent = attach(host, name).await;
    while let Ok(got) = tokio::time::timeout(Duration::from_secs(2), agent.recv()).await {
        let Incoming::Delivery(delivery) = got.expect("a message") else { panic!("{name} sent nothing") };
        delivery.handled().await.expect("handled");
    }
    agent.detach().await.expect("detached");
}

/// An agent may await 1,024 ends, so many fill the mailbox together.
async fn fill(host: &Host, name: &str) {
    for part in 0..FILL / FILL_AT_ONCE {
        let filler = attach(host, &format!("filler-{part}")).await;
        let mut under_way = tokio::task::JoinSet::new();
        for i in 0..FILL_AT_ONCE {
            let (filler, name) = (filler.clone(), name.to_owned());
            under_way.spawn(async move {
                filler.send(name, "fill", i.to_string()).until(Stage::Accepted).await.expect("accepted");
            });
        }
        while let Some(sent) = under_way.join_next().await {
            sent.expect("sent");
        }
        drop(under_way);
        filler.detach().await.expect("detached");
    }
}
