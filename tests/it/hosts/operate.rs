//! What operators see and do: what waits, what failed and why, the story of one message, and what goes by. Envelopes
//! alone, and only an administrator changes anything.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use client::{Agent, ClientError, ErrorCode, Incoming, Stage};
use proto::limits::SECOND;
use proto::metadata::MetadataDraft;
use proto::{AgentId, ContentType, Draft, FlowKind, MessageType, Shape};
use referee::hosts::{Host, binary, until};
use serde_json::Value;

use super::errors::{Door, frame};

/// What no operator's command may ever show.
const SUBJECT: &str = "a-subject-of-theirs";
const BODY: &str = "a-body-of-theirs";

const SOON: Duration = Duration::from_secs(15);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Runs a command that must succeed, and shows neither subject nor body.
fn ctl(host: &Host, arguments: &[&str]) -> String {
    let output = host.ctl(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    told(arguments, &output)
}

fn told(arguments: &[&str], output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for secret in [SUBJECT, BODY] {
        assert!(!text.contains(secret), "{arguments:?} shows what a message says:\n{text}");
    }
    text
}

fn json(host: &Host, arguments: &[&str]) -> Value {
    let text = ctl(host, &[arguments, &["--json"]].concat());
    serde_json::from_str(&text).expect("JSON")
}

fn exit(host: &Host, arguments: &[&str]) -> Option<i32> {
    let output = host.ctl(arguments);
    told(arguments, &output);
    output.status.code()
}

pub(super) async fn await_known(agent: &Agent, address: &str) {
    for _ in 0..1000 {
        if agent.resolve(address).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{address} does not become known");
}

/// A daemon that takes nothing from its sockets until it is let go on.
struct Paused(u32);

impl Paused {
    fn new(host: &Host) -> Self {
        let process = host.process().expect("it runs");
        signal("-STOP", process);
        Self(process)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        signal("-CONT", self.0);
    }
}

fn signal(name: &str, process: u32) {
    let sent = Command::new("kill").args([name, &process.to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

#[test]
fn what_waits_is_listed_with_its_reason_and_sent_again_when_the_operator_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alpha, beta) = Host::two(folder.path());
    runtime().block_on(async {
        let writer = Agent::attach("writer").socket(alpha.socket()).await.expect("attached");
        await_known(&writer, "echo@beta").await;
        let paused = Paused::new(&beta);
        let sent = writer.send("echo@beta", SUBJECT, BODY).until(Stage::Stored).await.expect("accepted");
        let id = sent.id().to_string();
        let shown = until("an attempt leaves", SOON, || {
            let outbox = json(&alpha, &["outbox", "ls"]);
            (outbox["messages"][0]["state"] == "sent").then_some(outbox)
        });
        assert_eq!((&shown["schema"], &shown["total"]), (&"aicp.outbox/1".into(), &1.into()));
        let message = &shown["messages"][0];
        assert_eq!(message["message_id"], *id);
        assert_eq!((&message["source_name"], &message["destination_name"]), (&"writer".into(), &"echo".into()));
        assert_eq!((&message["node_name"], &message["attempts"]), (&"beta".into(), &1.into()));
        assert!(message["why"].as_str().expect("a reason").contains("beta"), "{message}");
        let text = ctl(&alpha, &["outbox", "show", &id]);
        assert!(text.contains("echo@beta") && text.contains("has not said that it is stored"), "{text}");
        let status = alpha.status();
        assert_eq!((&status["outbox_messages"], status["outbox_bytes"].as_u64() > Some(0)), (&1.into(), true));

        // Each choice is one: nothing is touched that was not named.
        assert_eq!(json(&alpha, &["outbox", "ls", "--node", "alpha"])["total"], 0);
        assert_eq!(json(&alpha, &["outbox", "ls", "--agent", "writer@alpha"])["total"], 1);
        assert_eq!(exit(&alpha, &["outbox", "show", "0000000000000000"]), Some(4));
        assert_eq!(exit(&alpha, &["outbox", "ls", "--agent", "nobody@alpha"]), Some(4));
        assert_eq!(exit(&alpha, &["outbox", "retry"]), Some(2));
        assert_eq!(exit(&alpha, &["outbox", "show", "no-id"]), Some(2));

        // Left alone, the next attempt comes in five seconds or later.
        assert_eq!(json(&alpha, &["outbox", "retry", &id])["count"], 1);
        assert_eq!(json(&alpha, &["outbox", "ls"])["messages"][0]["attempts"], 2);
        drop(paused);
        tokio::time::timeout(SOON, sent.stored()).await.expect("in time").expect("stored");
        assert_eq!(json(&alpha, &["outbox", "ls"])["total"], 0);
    });
}

#[test]
fn what_an_operator_drops_is_told_to_its_sender_with_whether_it_may_have_arrived() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alpha, mut beta) = Host::two(folder.path());
    runtime().block_on(async {
        let writer = Agent::attach("writer").socket(alpha.socket()).await.expect("attached");
        await_known(&writer, "echo@beta").await;
        let paused = Paused::new(&beta);
        let sent = writer.send("echo@beta", SUBJECT, BODY).until(Stage::Handled).await.expect("accepted");
        until("an attempt leaves", SOON, || {
            (json(&alpha, &["outbox", "ls"])["messages"][0]["state"] == "sent").then_some(())
        });
        let id = sent.id().to_string();
        assert_eq!(exit(&alpha, &["outbox", "drop", &id]), Some(2), "nobody is there to be asked");
        assert_eq!(json(&alpha, &["outbox", "ls"])["total"], 1);
        assert_eq!(json(&alpha, &["outbox", "drop", &id, "--yes"])["count"], 1);
        assert_eq!(code(sent.handled().await), Some(ErrorCode::TIMEOUT), "an attempt had left");
        drop(paused);

        assert_eq!(beta.stop().code(), Some(0));
        until("alpha knows that beta is down", SOON, || (alpha.status()["peers"][0]["state"] != "up").then_some(()));
        let sent = writer.send("echo@beta", SUBJECT, BODY).until(Stage::Handled).await.expect("accepted");
        let why = json(&alpha, &["outbox", "ls"])["messages"][0]["why"].clone();
        assert!(why.as_str().expect("a reason").contains("node beta"), "{why}");
        assert_eq!(json(&alpha, &["outbox", "drop", "--node", "beta", "--yes"])["count"], 1);
        assert_eq!(code(sent.handled().await), Some(ErrorCode::POLICY), "no attempt had left");
        assert_eq!(json(&alpha, &["outbox", "ls"])["total"], 0);
    });
}

fn code<T>(end: Result<T, ClientError>) -> Option<ErrorCode> {
    end.err().and_then(|error| error.code())
}

#[test]
fn a_dead_letter_is_seen_with_its_reason_put_back_marked_or_forgotten_for_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    host.start();
    let mut announcer = Announcer::new(&host);
    runtime().block_on(async {
        let reader = Agent::attach("reader").socket(host.socket()).await.expect("attached");
        let to = reader.id();
        reader.detach().await.expect("it leaves");
        let id = announcer.says_what_dies(&host, to);
        let dead = json(&host, &["dlq", "ls"]);
        assert_eq!(dead["schema"], "aicp.dead/1");
        let letter = &dead["letters"][0];
        assert_eq!((&letter["message_id"], &letter["code"]), (&id.as_str().into(), &4012.into()));
        assert_eq!((&letter["destination_name"], &letter["requeues"]), (&"reader".into(), &true.into()));
        assert!(ctl(&host, &["dlq", "show", &id]).contains("expired, and was never delivered"));
        let status = ctl(&host, &["status"]);
        assert!(status.contains("dead 1 (") && status.contains("aicpctl dlq ls"), "{status}");

        assert_eq!(json(&host, &["dlq", "requeue", &id])["count"], 1);
        assert_eq!(json(&host, &["dlq", "ls"])["total"], 0);
        let reader = Agent::attach("reader").socket(host.socket()).await.expect("attached");
        let Incoming::Delivery(delivery) =
            tokio::time::timeout(SOON, reader.recv()).await.expect("in time").expect("mail")
        else {
            panic!("the reader sent nothing")
        };
        assert_eq!((delivery.id().to_string(), delivery.text().expect("text")), (id, BODY));
        assert!(delivery.is_marked(), "it may have been here before");
        delivery.handled().await.expect("handled");
        drop(reader);

        let id = announcer.says_what_dies(&host, to);
        assert_eq!(exit(&host, &["dlq", "purge", &id]), Some(2), "nobody is there to be asked");
        assert_eq!(exit(&host, &["dlq", "purge", "0000000000000000", "--yes"]), Some(4));
        assert_eq!(json(&host, &["dlq", "purge", "--all", "--yes"])["count"], 1);
    });
    host.kill();
    host.start();
    assert_eq!(json(&host, &["dlq", "ls"])["total"], 0, "what was confirmed as forgotten stays so after a crash");
}

/// An agent that sends what nobody has to hear the end of.
pub(super) struct Announcer {
    door: Door,
    me: AgentId,
}

impl Announcer {
    pub(super) fn new(host: &Host) -> Self {
        let mut door = Door::open(&host.socket());
        let me = door.attach("announcer");
        Self { door, me }
    }

    /// It expires in the mailbox of a reader who is away.
    pub(super) fn says_what_dies(&mut self, host: &Host, to: AgentId) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_nanos();
        let expiry = u64::try_from(now).expect("a time") + SECOND;
        let metadata = MetadataDraft {
            subject: Some(SUBJECT),
            topic: Some("news"),
            expiry: Some(expiry),
            ..MetadataDraft::default()
        };
        let draft = self.door.draft(MessageType::Broadcast, Shape::Durable(FlowKind::Messages), self.me, to);
        let draft = Draft { content_type: ContentType::Text, ..draft };
        self.door.say(&frame(&draft, &metadata, BODY.as_bytes()));
        until("it is a dead letter", SOON, || (json(host, &["dlq", "ls"])["total"] == 1).then_some(()));
        draft.id.to_string()
    }
}

#[test]
fn the_story_of_a_message_is_told_from_both_ends_and_to_nobody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut alpha = Host::make(folder.path(), "alpha");
    let mut beta = Host::make(folder.path(), "beta");
    let mut gamma = Host::make(folder.path(), "gamma");
    alpha.configure(&[&beta, &gamma]);
    beta.configure(&[&alpha, &gamma]);
    gamma.configure(&[&alpha, &beta]);
    for host in [&mut alpha, &mut beta, &mut gamma] {
        host.start();
    }
    for (host, peer) in [(&alpha, "beta"), (&alpha, "gamma"), (&beta, "alpha"), (&gamma, "alpha"), (&gamma, "beta")] {
        host.await_peer(peer);
    }
    let id = runtime().block_on(async {
        let reader = Agent::attach("reader").socket(beta.socket()).await.expect("attached");
        let writer = Agent::attach("writer").socket(alpha.socket()).await.expect("attached");
        await_known(&writer, "reader@beta").await;
        let sent = writer.send("reader@beta", SUBJECT, BODY).until(Stage::Handled).await.expect("accepted");
        let Incoming::Delivery(delivery) = reader.recv().await.expect("mail") else { panic!("no message") };
        let id = sent.id().to_string();
        let story = json(&alpha, &["explain", &id]);
        let now = story["now"].to_string();
        assert!(now.contains("beta: the message lies with reader") && now.contains("alpha: writer waits"), "{now}");
        delivery.handled().await.expect("handled");
        sent.handled().await.expect("handled");
        id
    });
    for host in [&alpha, &beta] {
        let story = json(host, &["explain", &id]);
        assert_eq!((&story["schema"], &story["silent"]), (&"aicp.story/1".into(), &Value::Array(vec![])));
        let moments: Vec<(&str, &str, &str)> = story["moments"]
            .as_array()
            .expect("moments")
            .iter()
            .map(|moment| ["node_name", "what", "message_type"].map(|key| moment[key].as_str().expect("text")).into())
            .collect();
        let wanted = [
            ("alpha", "accepted", "request"),
            ("alpha", "sent", "request"),
            ("alpha", "stored", "request"),
            ("beta", "received", "request"),
            ("beta", "delivered", "request"),
            ("beta", "handled", "request"),
            ("beta", "sent", "ack"),
        ];
        for moment in wanted {
            assert!(moments.contains(&moment), "{moment:?} is missing: {moments:?}");
        }
    }
    let text = ctl(&alpha, &["explain", &id]);
    assert!(text.lines().next().is_some_and(|line| line.contains("nothing of it waits here")), "{text}");
    assert_eq!(exit(&gamma, &["explain", &id]), Some(4), "a node that is at neither end learns nothing");
    assert_eq!(exit(&alpha, &["explain", "0000000000000000"]), Some(4));

    // What is remembered lies in memory; a node that is away is named.
    assert_eq!(beta.stop().code(), Some(0));
    until("alpha knows that beta is down", SOON, || {
        let peers = alpha.status()["peers"].clone();
        peers.as_array()?.iter().any(|peer| peer["name"] == "beta" && peer["state"] != "up").then_some(())
    });
    let story = json(&alpha, &["explain", &id]);
    assert_eq!(story["silent"], serde_json::json!(["beta"]));
    assert!(story["moments"].as_array().is_some_and(|moments| moments.iter().all(|one| one["node_name"] == "alpha")));
}

#[test]
fn a_tap_sees_messages_go_by_and_nothing_of_what_they_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    host.start();
    let (id, output) = runtime().block_on(async {
        let writer = Agent::attach("writer").socket(host.socket()).await.expect("attached");
        let mut tap = Command::new(binary("aicpctl"));
        tap.arg("--socket").arg(host.socket()).args(["tap", "--json", "--agent", "writer", "--count", "3"]).env_clear();
        let mut tap = tap.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("aicpctl runs");
        let mut begun = String::new();
        BufReader::new(tap.stderr.as_mut().expect("piped")).read_line(&mut begun).expect("a line");
        assert!(begun.contains("tapping"), "{begun}");
        let sent = writer.send("echo", SUBJECT, BODY).until(Stage::Handled).await.expect("accepted");
        sent.handled().await.expect("handled");
        (sent.id().to_string(), tap.wait_with_output().expect("it ends"))
    });
    let text = told(&["tap"], &output);
    let moments: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(moments.len(), 3, "{text}");
    for moment in &moments {
        assert_eq!((&moment["schema"], &moment["message_id"]), (&"aicp.moment/1".into(), &id.as_str().into()));
    }
    assert_eq!(moments[0]["what"], "accepted");
}
