//! An agent belongs to its user, and to the one session that attached last: nobody else speaks, acknowledges or reads
//! for it.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use client::{Incoming, Stage};
use proto::metadata::{Key, MetadataDraft};
use proto::{AgentId, Content, Draft, ErrorCode, FlowKind, MessageType, Shape};
use referee::hostile::{RawDoor, frame};
use referee::hosts::Host;

use super::{alone, attached, many, runtime, say};

/// A user that has nothing here.
const NOBODY: u32 = 65_534;

#[test]
fn another_user_cannot_attach_acknowledge_or_read_for_an_agent_of_mine() {
    if !can_be_another("another user's process") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    let text = std::fs::read_to_string(host.config()).expect("a file");
    // The door is open to all users; what is shown is what stands behind it.
    std::fs::write(host.config(), text.replace("[socket]\n", "[socket]\nmode = \"0666\"\n")).expect("a file");
    host.start();
    for open in [folder.path(), host.socket().parent().expect("a folder")] {
        std::fs::set_permissions(open, PermissionsExt::from_mode(0o755)).expect("a mode");
    }
    let runtime = runtime();
    runtime.block_on(async {
        let mine = attached("mine", &host).await;
        let writer = attached("writer", &host).await;
        let sent = writer.send("mine", "secret", "for my eyes").until(Stage::Handled).await.expect("accepted");
        let Ok(Incoming::Delivery(held)) = mine.recv().await else { panic!("no delivery") };
        let number = held.delivery_number().expect("a delivery has one").to_string();
        let tries = many(1000, 1000).to_string();
        let [source, id] = [writer.id().to_string(), held.id().to_string()];
        let words = [&tries, "mine", &mine.id().to_string(), &source, &number, &id];
        let stranger = stranger(folder.path(), &host.socket(), &words);
        let output = tokio::task::spawn_blocking(move || stranger_runs(stranger)).await.expect("it ran");
        say(&output);
        assert!(output.ends_with("0 succeeded"), "{output}");
        // The message still lies with its agent alone: its sender has heard nothing, and hears of it now.
        let early = tokio::time::timeout(Duration::from_millis(100), sent.handled()).await;
        assert!(early.is_err(), "somebody acknowledged it: {early:?}");
        held.handled().await.expect("it is still ours");
        tokio::time::timeout(Duration::from_secs(10), sent.handled()).await.expect("in time").expect("handled");
        let more = tokio::time::timeout(Duration::from_millis(100), mine.recv()).await;
        assert!(more.is_err(), "nobody else's doing made it come again: {more:?}");
    });
}

/// The example `stranger`, put where every user can run it.
fn stranger(folder: &Path, socket: &Path, words: &[&str]) -> Command {
    let test = std::env::current_exe().expect("a path");
    let built: PathBuf = test.parent().and_then(Path::parent).expect("a folder").join("examples/stranger");
    let program = folder.join("stranger");
    std::fs::copy(built, &program).expect("examples are built with the tests");
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("a mode");
    let mut command = Command::new(program);
    command.arg(socket).args(words).env_clear().uid(NOBODY).gid(NOBODY);
    command
}

fn stranger_runs(mut stranger: Command) -> String {
    let output = stranger.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// Only root can become somebody else. Where the right is wanted and missing, that is a failure.
fn can_be_another(what: &str) -> bool {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|us| std::os::unix::fs::MetadataExt::uid(&us) == 0);
    assert!(is_root || std::env::var_os("AICP_NEED_ROOT").is_none(), "{what} needs root");
    if !is_root {
        say("skipped: needs root");
    }
    is_root
}

#[test]
fn after_a_take_over_nothing_that_the_older_session_says_about_its_deliveries_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = alone(&folder);
    let runtime = runtime();
    let writer = runtime.block_on(attached("writer", &host));
    let mut older = RawDoor::open(&host.socket()).expect("open");
    // As somebody else it stays connected after the take-over.
    let other = older.attach("other").expect("answered").expect("attached");
    let reader = older.attach("reader").expect("answered").expect("attached");
    let sent = runtime.block_on(async {
        let sent = writer.send("reader", "once", "only").until(Stage::Handled).await.expect("accepted");
        sent.stored().await.expect("stored");
        sent
    });
    let held = heard_delivery(&mut older);
    let mut newer = RawDoor::open(&host.socket()).expect("open");
    newer.attach("reader").expect("answered").expect("the same user takes over");
    let again = heard_delivery(&mut newer);
    assert_ne!(number(&held), number(&again), "each delivery has a number of its own");
    for whose in [number(&held), number(&again)] {
        for source in [reader, other] {
            for bytes in about(&mut older, &held, source, whose) {
                older.say(&bytes).expect("open");
            }
        }
    }
    // What is asked afterwards is answered afterwards. Until then nothing but refusals came.
    let ping = older.draft(MessageType::Ping, Shape::Ping, other, AgentId::ZERO);
    older.say(&frame(&ping, &MetadataDraft::default(), b"")).expect("open");
    let mut refused = 0;
    loop {
        let heard = older.hear().expect("an answer");
        if heard.header.shape() == Shape::Pong {
            break;
        }
        let error = heard.error().expect("nothing but refusals");
        let codes = [ErrorCode::UNAUTHENTICATED, ErrorCode::TIMEOUT, ErrorCode::POLICY];
        assert!(codes.contains(&error.code), "{error:?}");
        refused += 1;
    }
    // As the reader all four are refused, for either number; as the other agent, those that are answered at all.
    assert!(refused > 8, "{refused} refusals");
    runtime.block_on(async {
        let early = tokio::time::timeout(Duration::from_millis(200), sent.handled()).await;
        assert!(early.is_err(), "the older session acknowledged it: {early:?}");
    });
    let handled = handled(&mut newer, &again, reader, number(&again));
    newer.say(&handled).expect("open");
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(10), sent.handled()).await.expect("in time").expect("handled");
    });
}

fn heard_delivery(door: &mut RawDoor) -> Content {
    loop {
        let heard = door.hear().expect("a delivery");
        if heard.metadata.has(Key::DeliveryNumber) {
            return heard;
        }
    }
}

fn number(delivery: &Content) -> u64 {
    delivery.metadata.number(Key::DeliveryNumber).expect("a delivery has one")
}

/// HANDLED, refused, still at it, and an answer: all that can be said about a delivery.
fn about(door: &mut RawDoor, held: &Content, source: AgentId, number: u64) -> [Vec<u8>; 4] {
    let to = held.header.source();
    let metadata = MetadataDraft { delivery_number: Some(number), ..MetadataDraft::default() };
    let refusal = proto::control::RawErrorBody {
        error_code: 4008,
        original_message_id: held.header.id().to_string(),
        ..Default::default()
    };
    let body = proto::control::ControlBody::write(&refusal, proto::ContentType::MessagePack);
    let refuse = door.draft(MessageType::Error, Shape::Notice, source, to);
    let refuse = Draft { id: held.header.id(), content_type: proto::ContentType::MessagePack, ..refuse };
    let working = door.draft(MessageType::Request, Shape::Once, source, AgentId::ZERO);
    let respond = door.draft(MessageType::Response, Shape::Durable(FlowKind::Answers), source, to);
    let respond = Draft { id: held.header.id(), ..respond };
    [
        handled(door, held, source, number),
        frame(&refuse, &metadata, &body),
        frame(&working, &MetadataDraft { subject: Some("agent.working"), ..metadata.clone() }, b""),
        frame(&respond, &metadata, b""),
    ]
}

fn handled(door: &mut RawDoor, held: &Content, source: AgentId, number: u64) -> Vec<u8> {
    let draft = door.draft(MessageType::Ack, Shape::Handled, source, held.header.source());
    let draft = Draft { id: held.header.id(), ..draft };
    frame(&draft, &MetadataDraft { delivery_number: Some(number), ..MetadataDraft::default() }, b"")
}
