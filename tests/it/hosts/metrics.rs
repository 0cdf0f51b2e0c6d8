//! What the operator's tools see of a daemon: metrics and health, over HTTP, on this host alone, and only if asked for.

mod text;
mod web;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::{Agent, Incoming, Stage};
use proto::control::subject;
use proto::metadata::MetadataDraft;
use proto::{AgentId, Boundary, ContentType, Draft, Header, MessageId, MessageType, Receipt, Sequence, Shape};
use referee::hosts::{Host, binary, until};
use text::Samples;
use web::Place;

const LOOPBACK: &str = "\n[metrics]\nlisten = \"127.0.0.1:0\"\n";
const PATIENCE: Duration = Duration::from_secs(20);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A host of its own with its metrics on a port that the system chose.
fn host(parent: &Path) -> (Host, Place) {
    let host = host_with(parent, |_| LOOPBACK.to_owned());
    let place = Place::of_log(&host.log());
    await_ready(&place);
    (host, place)
}

fn host_with(parent: &Path, more: impl FnOnce(&Host) -> String) -> Host {
    let mut host = Host::make(parent, "alpha");
    host.configure(&[]);
    host.configure_also(&more(&host));
    host.start();
    // The agent that is built in comes a moment after all others may.
    until("echo answers", PATIENCE, || host.ctl(&["ping", "echo@alpha"]).status.success().then_some(()));
    host
}

/// The agents' socket is there before what was kept is read; only then is the daemon ready.
fn await_ready(place: &Place) {
    until("the daemon is ready", PATIENCE, || place.try_get("/readyz").filter(|answer| answer.status == 200));
}

fn socket_of(host: &Host) -> Place {
    Place::Unix(host.config().with_file_name("metrics.sock"))
}

fn unix(host: &Host) -> String {
    let Place::Unix(path) = socket_of(host) else { unreachable!("it is a path") };
    format!("\n[metrics]\nlisten = \"unix:{}\"\n", path.display())
}

fn samples(place: &Place) -> Samples {
    let answer = place.get("/metrics");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    text::read(&answer.body)
}

/// Waits until the metrics are as they should be.
fn await_samples(what: &str, place: &Place, is_so: impl Fn(&Samples) -> bool) -> Samples {
    until(what, PATIENCE, || Some(samples(place)).filter(&is_so))
}

#[test]
fn nothing_is_listened_for_unless_it_is_configured() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    host.start();
    assert_eq!(host.status()["node_name"], "alpha");
    let plain = web::listens(host.process().expect("it runs"));
    assert_eq!(plain.tcp, BTreeSet::new(), "no TCP at all");
    assert_eq!(plain.unix, BTreeSet::from([host.socket()]), "the agents' door alone");
    host.stop();

    host.configure_also(&unix(&host));
    host.start();
    await_ready(&socket_of(&host));
    let Place::Unix(path) = socket_of(&host) else { unreachable!("it is a path") };
    let with_socket = web::listens(host.process().expect("it runs"));
    assert_eq!(with_socket.tcp, BTreeSet::new());
    assert_eq!(with_socket.unix, BTreeSet::from([host.socket(), path.clone()]));
    assert_eq!(host.stop().code(), Some(0));
    assert!(!path.exists(), "the socket goes with the daemon");

    host.configure(&[]);
    host.configure_also(LOOPBACK);
    host.start();
    let with_port = web::listens(host.process().expect("it runs"));
    let Place::Tcp(address) = Place::of_log(&host.log()) else { unreachable!("it is an address") };
    assert_eq!(with_port.tcp, BTreeSet::from([address]), "one port of the loopback");
    assert_eq!(with_port.unix, BTreeSet::from([host.socket()]));
}

#[test]
fn counters_move_with_real_messages_and_every_line_is_valid_exposition_text() {
    const MESSAGES: u64 = 20;
    let folder = tempfile::tempdir().expect("a folder");
    let (mut alpha, mut beta) = (Host::make(folder.path(), "alpha"), Host::make(folder.path(), "beta"));
    alpha.configure(&[&beta]);
    alpha.configure_also(LOOPBACK);
    beta.configure(&[&alpha]);
    beta.configure_also(&unix(&beta));
    alpha.start();
    beta.start();
    alpha.await_peer("beta");
    beta.await_peer("alpha");
    let (here, there) = (Place::of_log(&alpha.log()), socket_of(&beta));
    let (before, before_there) = (samples(&here), samples(&there));
    assert_eq!(before.get("aicp_peer_up{peer=\"beta\"}"), 1.0);
    for (name, _) in mesh::Summary::default().stats.all() {
        before.get(&format!("aicp_mesh_{name}_total"));
    }

    runtime().block_on(async {
        let reader = Agent::attach("reader").socket(beta.socket()).await.expect("attached");
        let writer = Agent::attach("writer").socket(alpha.socket()).await.expect("attached");
        await_known(&writer, "reader@beta").await;
        for i in 0..MESSAGES {
            let sent = writer.send("reader@beta", "count", i.to_string()).until(Stage::Stored).await.expect("accepted");
            sent.stored().await.expect("stored");
            let Incoming::Delivery(delivery) = reader.recv().await.expect("a message") else { panic!("no message") };
            delivery.handled().await.expect("handled");
        }
        await_samples("agents are attached", &here, |now| now.get("aicp_agents_attached") >= 1.0);
    });

    let moved = MESSAGES as f64;
    let settled = |now: &Samples| now.moved(&before, "aicp_mesh_settled_total") >= moved;
    let after = await_samples("all is settled", &here, settled);
    assert_eq!(after.moved(&before, "aicp_mesh_accepted_total"), moved);
    assert_eq!(after.moved(&before, "aicp_mesh_settled_total"), moved);
    assert!(after.moved(&before, "aicp_mesh_attempts_total") >= moved);
    for counter in ["frames", "bytes"] {
        assert!(after.moved(&before, &format!("aicp_peer_sent_{counter}_total{{peer=\"beta\"}}")) >= moved);
        assert!(after.moved(&before, &format!("aicp_peer_received_{counter}_total{{peer=\"beta\"}}")) >= moved);
    }
    let received = |now: &Samples| now.moved(&before_there, "aicp_mesh_received_total") >= moved;
    let after_there = await_samples("the other side tells the same", &there, received);
    assert_eq!(after_there.moved(&before_there, "aicp_mesh_received_total"), moved);
    assert_eq!(after_there.moved(&before_there, "aicp_mesh_deliveries_total"), moved);
    // Each message was waited for, so each had a sync of its own.
    for (before, after) in [(&before, &after), (&before_there, &after_there)] {
        assert!(after.moved(before, "aicp_journal_transactions_total") >= moved);
        assert!(after.moved(before, "aicp_journal_sync_seconds_count") >= moved);
        assert!(after.moved(before, "aicp_journal_sync_seconds_sum") > 0.0);
        assert!(after.moved(before, "aicp_journal_appended_bytes_total") > moved);
        assert!(after.get("aicp_journal_disk_bytes") >= after.get("aicp_journal_live_bytes"));
        assert!(after.get("aicp_journal_live_bytes") > 0.0);
    }
}

#[test]
fn gauges_say_what_waits_and_who_can_be_reached() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut alpha, mut beta) = (Host::make(folder.path(), "alpha"), Host::make(folder.path(), "beta"));
    alpha.configure(&[&beta]);
    alpha.configure_also(LOOPBACK);
    beta.configure(&[&alpha]);
    alpha.start();
    beta.start();
    alpha.await_peer("beta");
    let place = Place::of_log(&alpha.log());
    runtime().block_on(async {
        let writer = Agent::attach("writer").socket(alpha.socket()).await.expect("attached");
        await_known(&writer, "echo@beta").await;
        let inbox = Agent::attach("inbox").socket(alpha.socket()).await.expect("attached");
        let away = inbox.address();
        drop(inbox);
        beta.stop();
        for _ in 0..3 {
            writer.send("echo@beta", "wait", "for beta").until(Stage::Accepted).await.expect("accepted");
        }
        for _ in 0..2 {
            writer.send(&*away, "wait", "for the inbox").until(Stage::Accepted).await.expect("accepted");
        }
        let waiting = await_samples("what waits is told", &place, |now| {
            now.get("aicp_outbox_messages") == 3.0
                && now.get("aicp_mailbox_messages") == 2.0
                && now.get("aicp_peer_up{peer=\"beta\"}") == 0.0
                && now.get("aicp_sessions_open") == 2.0
        });
        assert!(waiting.get("aicp_outbox_bytes") >= 3.0 * 8.0);
        assert!(waiting.get("aicp_mailbox_bytes") >= 2.0 * 13.0);
        for age in ["aicp_outbox_oldest_age_seconds", "aicp_mailbox_oldest_age_seconds"] {
            let age = waiting.get(age);
            assert!(age > 0.0 && age < 60.0, "{age}");
        }
        for none in ["aicp_dead_letters", "aicp_disk_full", "aicp_expiry_suspended"] {
            assert_eq!(waiting.get(none), 0.0, "{none}");
        }
        assert_eq!(waiting.get("aicp_peers{state=\"up\"}"), 0.0);
        let states = ["up", "dialing", "down"].map(|state| waiting.get(&format!("aicp_peers{{state=\"{state}\"}}")));
        assert_eq!(states.iter().sum::<f64>(), 1.0, "the one peer is in one state");
        // The writer, and echo, which the daemon itself attaches.
        assert_eq!(waiting.get("aicp_agents_attached"), 2.0);
        assert_eq!(waiting.get("aicp_agents_local"), 3.0);
        assert_eq!(waiting.get("aicp_links_open"), 0.0);
    });
    // However often it is asked for, the text is made seldom: the age in it shows when.
    let ages: Vec<f64> = (0..50).map(|_| samples(&place).get("aicp_outbox_oldest_age_seconds")).collect();
    let pause = proto::limits::METRICS_PAUSE as f64 / proto::limits::SECOND as f64;
    for ages in ages.windows(2) {
        let gap = ages[1] - ages[0];
        assert!(gap == 0.0 || gap > 0.9 * pause, "made twice within {gap} s");
    }
    let text = place.get("/metrics").body;
    for name in ["writer", "inbox", "wait"] {
        assert!(!text.contains(&format!("\"{name}\"")), "no agent and no message is named");
    }
}

#[test]
fn what_the_agents_door_refuses_is_counted_by_its_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let (host, place) = host(folder.path());
    let of = |reason: &str| format!("aicp_frames_refused_total{{door=\"agents\",reason=\"{reason}\"}}");
    assert_eq!(samples(&place).get(&of("version")), 0.0);
    for _ in 0..2 {
        let mut frame = question(1, subject::STATUS);
        frame[0] = 9;
        UnixStream::connect(host.socket()).expect("the door is open").write_all(&frame).expect("written");
    }
    let mut broken = question(1, subject::STATUS);
    // No map begins with this.
    broken[98] = 0xc1;
    UnixStream::connect(host.socket()).expect("the door is open").write_all(&broken).expect("written");
    let told = await_samples("the refusals are counted", &place, |now| {
        now.get(&of("version")) == 2.0 && now.get(&of("metadata-form")) == 1.0
    });
    let all: f64 = proto::Refusal::ALL.iter().map(|refusal| told.get(&of(refusal.reason()))).sum();
    assert_eq!(all, 3.0, "and under no other reason");
}

#[test]
fn an_address_that_others_can_reach_is_refused_before_anything_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::make(folder.path(), "alpha");
    for listen in ["0.0.0.0:9177", "[::]:9177", "192.0.2.7:9177"] {
        host.configure(&[]);
        host.configure_also(&format!("\n[metrics]\nlisten = \"{listen}\"\n"));
        let (code, said) = Run::of(&host).end();
        assert_eq!(code, Some(2), "a fault of the configuration");
        for words in ["metrics.listen", listen, "aicpd.toml", "others could read", "127.0.0.1:9177"] {
            assert!(said.contains(words), "{words:?} is missing in:\n{said}");
        }
        assert!(!host.socket().exists(), "nothing was opened");
    }
}

#[test]
fn what_is_no_get_for_a_page_is_told_so_and_harms_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, port) = host(&folder.path().join("port"));
    let second = host_with(&folder.path().join("socket"), unix);
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(9000));
    let endless = "GET /".to_owned() + &"x".repeat(50_000);
    let cases = [
        ("GET /nothing HTTP/1.1\r\n\r\n", 404),
        ("GET / HTTP/1.1\r\nHost: alpha\r\n\r\n", 404),
        ("POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405),
        ("HEAD /metrics HTTP/1.1\r\n\r\n", 405),
        ("OPTIONS /healthz HTTP/1.1\r\n\r\n", 405),
        ("GET /metrics HTTP/2.0\r\n\r\n", 400),
        ("GET http://elsewhere/metrics HTTP/1.1\r\n\r\n", 400),
        ("GET  /metrics HTTP/1.1\r\n\r\n", 400),
        ("get /metrics HTTP/1.1\r\n\r\n", 400),
        ("\r\n\r\n", 400),
        ("\u{0}\u{1}\u{2}\u{fffd}\r\n\r\n", 400),
        (&*long, 431),
        (&*endless, 431),
    ];
    for (host, place) in [(&first, port), (&second, socket_of(&second))] {
        for (request, wanted) in cases {
            let mut stream = place.connect();
            stream.write_all(request.as_bytes()).expect("written");
            // Whoever reads late still reads the answer, and no reset in its place.
            std::thread::sleep(Duration::from_millis(20));
            let answer = web::hear(&mut stream);
            let shown: String = request.chars().take(60).collect();
            assert_eq!(answer.status, wanted, "{shown:?}");
            assert_eq!(answer.header("connection"), "close", "{shown:?}");
        }
        assert_eq!(place.get("/healthz").status, 200);
        assert_eq!(place.get("/healthz?probe=1").status, 200);
        samples(&place);
        assert!(host.ctl(&["ping", "echo@alpha"]).status.success(), "the daemon goes on");
    }
}

#[test]
fn a_head_that_does_not_come_is_given_up_and_others_are_answered() {
    // The bound on connections, and one more, which waits.
    const SLOW: usize = proto::limits::METRICS_CONNECTIONS_MAX + 1;
    let folder = tempfile::tempdir().expect("a folder");
    let (host, place) = host(folder.path());
    let Place::Tcp(address) = place else { unreachable!("it is an address") };
    let mut slow: Vec<_> = (0..SLOW).map(|_| TcpStream::connect(address).expect("the door is open")).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /metrics HT").expect("written");
    }
    assert!(host.ctl(&["ping", "echo@alpha"]).status.success(), "agents do not wait for it");
    assert_eq!(place.get("/healthz").status, 200, "others do not wait for ever");
    let is_over = |stream: &TcpStream| {
        stream.set_nonblocking(true).expect("a socket");
        let is_over = stream.peek(&mut [0]).is_ok();
        stream.set_nonblocking(false).expect("a socket");
        is_over
    };
    assert!(slow.iter().any(is_over), "one more was served than may be at a time");
    for stream in slow.iter_mut().take(SLOW - 1) {
        assert_eq!(web::hear(stream).status, 408);
    }
}

#[test]
fn health_and_readiness_end_with_the_node_while_the_daemon_still_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut host, place) = host(folder.path());
    assert_eq!((place.get("/healthz").status, place.get("/healthz").body.as_str()), (200, "ok\n"));
    assert_eq!((place.get("/readyz").status, place.get("/readyz").body.as_str()), (200, "ready\n"));
    // Whoever does not read what it is told holds up a stop, for a moment.
    let mut deaf = UnixStream::connect(host.socket()).expect("the door is open");
    let questions: Vec<u8> = (1..=2000).flat_map(|id| question(id, subject::STATUS)).collect();
    deaf.write_all(&questions).expect("written");
    // Only once its socket takes no more is anybody held up by it.
    let mut unread = 0;
    until("answers fill what the client does not read", Duration::from_secs(20), || {
        let before = std::mem::replace(&mut unread, rustix::io::ioctl_fionread(&deaf).expect("a socket"));
        std::thread::sleep(Duration::from_millis(200));
        (unread > 64 << 10 && unread == before).then_some(())
    });
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| host.stop());
        let until_status = |path: &str, body: &str| {
            until(body, Duration::from_secs(5), || {
                place.try_get(path).filter(|answer| answer.status == 503 && answer.body == body)
            })
        };
        until_status("/readyz", "stopping\n");
        until_status("/healthz", "the node does not answer\n");
        assert_eq!(stopping.join().expect("it ends").code(), Some(0));
    });
    assert!(place.try_get("/healthz").is_none(), "nobody is there any more");
    drop(deaf);
}

#[test]
fn a_daemon_is_not_ready_before_its_doors_are_open() {
    const STARTS: usize = 20;
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    host.configure_also(&unix(&host));
    let place = socket_of(&host);
    // A start takes milliseconds: how often the probe comes in between is chance, that it does is not.
    for _ in 0..STARTS {
        let is_over = AtomicBool::new(false);
        let seen = std::thread::scope(|scope| {
            let probe = scope.spawn(|| {
                let mut seen = Vec::new();
                while seen.last().is_none_or(|(status, _)| *status != 200) && !is_over.load(Ordering::Relaxed) {
                    seen.extend(place.try_get("/readyz").map(|answer| (answer.status, answer.body)));
                }
                seen
            });
            host.start();
            await_ready(&place);
            is_over.store(true, Ordering::Relaxed);
            probe.join().expect("it probes")
        });
        host.stop();
        if let Some(first) = seen.first().filter(|(status, _)| *status != 200) {
            assert_eq!(first, &(503, "starting\n".to_owned()));
            return;
        }
    }
    panic!("{STARTS} starts, and ready from the first moment on");
}

/// A daemon that should not come up. Ended with the test if it does.
struct Run(Child);

impl Run {
    fn of(host: &Host) -> Self {
        let mut run = Command::new(binary("aicpd"));
        run.arg("run").arg("--config").arg(host.config()).env_clear().stderr(Stdio::piped());
        Self(run.spawn().expect("aicpd starts"))
    }

    /// Its exit code, and what it said.
    fn end(mut self) -> (Option<i32>, String) {
        let status = until("it ends by itself", PATIENCE, || self.0.try_wait().expect("a child"));
        let mut said = String::new();
        self.0.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
        (status.code(), said)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// A question to the node, as a client that never attached asks it.
fn question(id: u64, subject: &str) -> Vec<u8> {
    let draft = Draft {
        message_type: MessageType::Request,
        shape: Shape::Once,
        id: MessageId::new(id),
        timestamp: 0,
        source: AgentId::ZERO,
        destination: AgentId::ZERO,
        content_type: ContentType::Json,
        hops: 0,
        sequence: Sequence::NONE,
        told: Receipt::None,
        last: false,
    };
    let mut plain = bytes::BytesMut::new();
    MetadataDraft { subject: Some(subject), ..MetadataDraft::default() }.write(&mut plain);
    let header = Header::make(&draft, Boundary::Up, plain.len()).expect("a header");
    [&header.to_bytes()[..], &plain].concat()
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
