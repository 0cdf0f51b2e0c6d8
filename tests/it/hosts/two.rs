//! Two daemons on this host, linked by their pins: what an operator and an agent see of them.

use std::time::Duration;

use client::{Agent, ClientError, ErrorCode, Message, Refuse, Stage};
use referee::hosts::{Host, until};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn an_ask_from_the_shell_is_answered_by_the_agent_on_the_other_host() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alpha, beta) = Host::two(folder.path());
    until("echo@beta is known", Duration::from_secs(10), || {
        alpha.ctl(&["ping", "echo@beta"]).status.success().then_some(())
    });
    let output = alpha.ctl(&["ask", "echo@beta", "hello"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "hello");
    let output = alpha.ctl(&["ask", "--durable", "echo@beta", "kept"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "kept");
    let status = beta.status();
    assert_eq!(status["schema"], "aicp.status/1");
    assert_eq!(status["node_name"], "beta");
    assert_eq!(status["peers"][0]["name"], "alpha");
}

#[test]
fn whoever_asks_once_hears_at_once_that_its_question_was_refused_or_failed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alpha, beta) = Host::two(folder.path());
    runtime().block_on(async {
        for (socket, address) in [(alpha.socket(), "critic"), (beta.socket(), "critic@beta")] {
            let critic = Agent::attach("critic").socket(socket).await.expect("attached");
            critic.on("deny", async |_| Err::<(), _>(Refuse::new("you may not").code(ErrorCode::POLICY)));
            critic.on("fail", async |_| Err::<(), _>(Refuse::new("a secret").retry_after_ms(1500)));
            critic.on("break", async |message: Message| -> Result<(), Refuse> { panic!("{}", message.id()) });
            let asker = Agent::attach("asker").socket(alpha.socket()).await.expect("attached");
            await_known(&asker, address).await;
            let hears = async |subject: &str| {
                let asked = asker.ask(address, subject, "hello").timeout(Duration::from_secs(20)).await;
                let Err(ClientError::Refused { code, message, .. }) = asked else { panic!("{subject}: {asked:?}") };
                (code, message)
            };
            let said = async {
                assert_eq!(hears("deny").await, (ErrorCode::POLICY, "its agent refused it: you may not".into()));
                let (code, words) = hears("unknown").await;
                assert_eq!(
                    (code, &*words),
                    (ErrorCode::MALFORMED, "its agent refused it: nobody handles this subject")
                );
                for subject in ["fail", "break"] {
                    assert_eq!(hears(subject).await, (ErrorCode::SERVER, "its agent could not handle it".into()));
                }
            };
            tokio::select! {
                ended = critic.serve() => panic!("{ended:?}"),
                () = said => {}
            }
        }
    });
}

#[test]
fn a_stop_by_signal_drains_and_ends_with_zero_and_nothing_is_marked_after_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut alpha, mut beta) = Host::two(folder.path());
    runtime().block_on(async {
        let reader = Agent::attach("reader").socket(beta.socket()).await.expect("attached");
        let writer = Agent::attach("writer").socket(alpha.socket()).await.expect("attached");
        await_known(&writer, "reader@beta").await;
        let address = reader.address();
        drop(reader);
        // The reader is away: all of this waits for it, on beta's disk.
        for i in 0..20 {
            let sent = writer.send(&*address, "count", i.to_string()).until(Stage::Stored).await.expect("accepted");
            sent.stored().await.expect("stored");
        }
    });
    assert_eq!(alpha.stop().code(), Some(0));
    assert_eq!(beta.stop().code(), Some(0));
    alpha.start();
    beta.start();
    runtime().block_on(async {
        let reader = Agent::attach("reader").socket(beta.socket()).await.expect("attached again");
        for i in 0..20 {
            let client::Incoming::Delivery(delivery) = reader.recv().await.expect("a message") else {
                panic!("the reader sent nothing")
            };
            assert_eq!(delivery.text().expect("text"), i.to_string(), "in order");
            assert!(!delivery.is_marked(), "nobody had seen it");
            delivery.handled().await.expect("handled");
        }
    });
}

#[test]
fn what_an_agent_had_and_did_not_acknowledge_comes_again_marked_after_a_clean_stop() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    host.start();
    runtime().block_on(async {
        let writer = Agent::attach("writer").socket(host.socket()).await.expect("attached");
        let reader = Agent::attach("reader").socket(host.socket()).await.expect("attached");
        writer.send("reader", "once", "seen").await.expect("accepted");
        let client::Incoming::Delivery(delivery) = reader.recv().await.expect("a message") else {
            panic!("no message")
        };
        assert!(!delivery.is_marked());
    });
    assert_eq!(host.stop().code(), Some(0));
    host.start();
    runtime().block_on(async {
        let reader = Agent::attach("reader").socket(host.socket()).await.expect("attached");
        let client::Incoming::Delivery(delivery) = reader.recv().await.expect("a message") else {
            panic!("no message")
        };
        assert!(delivery.is_marked(), "the reader had it before the stop");
        delivery.handled().await.expect("handled");
    });
}

#[test]
fn what_is_known_of_the_other_host_survives_a_restart_without_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut alpha, mut beta) = Host::two(folder.path());
    runtime().block_on(async {
        let writer = Agent::attach("writer").socket(alpha.socket()).await.expect("attached");
        await_known(&writer, "echo@beta").await;
        // What is accepted is synced, and all that came before it too.
        writer.send("echo@alpha", "sync", "").await.expect("accepted");
    });
    beta.kill();
    alpha.kill();
    alpha.start();
    runtime().block_on(async {
        let writer = Agent::attach("writer").socket(alpha.socket()).await.expect("attached");
        // Beta is down: it is accepted all the same, and waits.
        let sent = writer.send("echo@beta", "wait", "for me").until(Stage::Handled).await.expect("accepted");
        beta.start();
        let answer = tokio::time::timeout(Duration::from_secs(30), sent.handled()).await.expect("in time");
        assert_eq!(answer.expect("an end").expect("an answer").text().expect("text"), "for me");
    });
}

#[test]
fn a_host_that_comes_while_it_is_being_dialed_is_linked_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut alpha, mut beta) = (Host::make(folder.path(), "alpha"), Host::make(folder.path(), "beta"));
    alpha.configure(&[&beta]);
    beta.configure(&[&alpha]);
    alpha.start();
    // Nobody answers the first packet of this dial. It goes out again after a second.
    std::thread::sleep(Duration::from_millis(100));
    beta.start();
    alpha.await_peer("beta");
    std::thread::sleep(Duration::from_millis(1500));
    for host in [&alpha, &beta] {
        assert_eq!(host.log().matches("a link is up").count(), 1, "links of {}", host.name);
    }
}

async fn await_known(agent: &Agent, address: &str) {
    for _ in 0..500 {
        if agent.resolve(address).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{address} does not become known");
}

#[test]
fn a_second_client_of_the_same_user_takes_a_name_over_and_the_first_one_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    host.start();
    runtime().block_on(async {
        let first = Agent::attach("reader").socket(host.socket()).await.expect("attached");
        let second = Agent::attach("reader").socket(host.socket()).await.expect("attached");
        let told = tokio::time::timeout(Duration::from_secs(5), first.recv()).await.expect("in time");
        assert!(matches!(told, Err(client::ClientError::TakenOver)), "{told:?}");
        let writer = Agent::attach("writer").socket(host.socket()).await.expect("attached");
        writer.send("reader", "hello", "there").await.expect("accepted");
        let got = tokio::time::timeout(Duration::from_secs(5), second.recv()).await.expect("in time");
        assert!(matches!(got, Ok(client::Incoming::Delivery(_))), "{got:?}");
    });
}
