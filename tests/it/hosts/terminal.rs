//! What comes from elsewhere never reaches a terminal raw: not through the commands, whatever a daemon tells them, and
//! not through the daemon's log. And who may give orders at all.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use bytes::BytesMut;
use proto::control::{
    AgentStatus, AttachReply, ControlBody, DeadLetter, DeadLetters, DirectoryAgent, Done, ErrorBody, Moment,
    NodeAgents, NodeStatus, Outbox, OutboxMessage, PeerStatus, Story, TapReply, subject,
};
use proto::metadata::MetadataDraft;
use proto::{
    AgentId, Boundary, Content, ContentType, Draft, ErrorCode, Frame, Header, MessageType, Receipt, Sequence, Shape,
};
use referee::hosts::{Host, binary, until};
use serde_json::Value;

/// Clears a screen, in two ways; begins a line; turns the direction of text; deletes.
const EVIL: &str = "evil\u{1b}[2J\u{9b}2J\r\n\u{202e}\u{2066}\u{7f}\u{7}end";

/// A daemon that puts as much harm as it can into every text that it tells.
struct Liar(tempfile::TempDir);

impl Liar {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join("agent.sock")).expect("a socket");
        // Ends with the test's process.
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                std::thread::spawn(move || serve(connection));
            }
        });
        Self(folder)
    }

    fn ctl(&self, arguments: &[&str]) -> Output {
        let socket = self.0.path().join("agent.sock");
        let mut command = Command::new(binary("aicpctl"));
        command.arg("--socket").arg(socket).args(arguments).env_clear().stdin(Stdio::null());
        command.output().expect("aicpctl runs")
    }
}

fn serve(mut connection: UnixStream) {
    let mut arrived = BytesMut::new();
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = connection.read(&mut bytes) {
        arrived.extend_from_slice(&bytes[..length]);
        while let Ok(frame) = Frame::take(&mut arrived, Boundary::Up) {
            let (header, plain) = frame.into_plain().expect("nothing is sealed at the door");
            let content = Content::read(&header, plain).expect("what a client may say");
            if connection.write_all(&answer(&content)).is_err() {
                return;
            }
        }
    }
}

fn answer(asked: &Content) -> Vec<u8> {
    const JSON: ContentType = ContentType::Json;
    let node = AgentId::new([7; 32]).to_string();
    let body = match asked.metadata.subject().unwrap_or_default() {
        subject::ATTACH => {
            let reply = AttachReply { agent_id: node.clone(), node_id: node, ..AttachReply::default() };
            Some(AttachReply { node_name: EVIL.into(), lease_ms: 30_000, message_bytes_max: 1000, ..reply }.write(JSON))
        }
        subject::STATUS => Some(evil(NodeStatus {
            peers: vec![PeerStatus::default()],
            agents: vec![AgentStatus::default()],
            listen: vec![String::new()],
            warnings: vec![String::new()],
            dead_messages: 1,
            disk_full: true,
            expiry_suspended: true,
            ..NodeStatus::default()
        })),
        subject::AGENTS => {
            let texts = vec![String::new()];
            let agent = DirectoryAgent { capabilities: texts.clone(), topics: texts, ..DirectoryAgent::default() };
            Some(evil(NodeAgents { agents: vec![agent], ..NodeAgents::default() }))
        }
        subject::OUTBOX => {
            let messages = vec![OutboxMessage::default()];
            Some(evil(Outbox { total: 2, messages, ..Outbox::default() }))
        }
        subject::DEAD => {
            let letters = vec![DeadLetter::default()];
            Some(evil(DeadLetters { total: 2, letters, ..DeadLetters::default() }))
        }
        subject::EXPLAIN => {
            let moments = vec![Moment::default()];
            let texts = vec![String::new()];
            Some(evil(Story { moments, now: texts.clone(), silent: texts, ..Story::default() }))
        }
        subject::TAP => Some(evil(TapReply { missed: 1, moments: vec![Moment::default()], ..TapReply::default() })),
        subject::TRUST_CLOCK => Some(evil(Done::default())),
        _ => None,
    };
    let (message_type, shape, body) = match body {
        Some(body) => (MessageType::Response, Shape::Once, body),
        None => {
            let original = asked.header.id();
            let error = ErrorBody { code: ErrorCode::POLICY, message: EVIL.into(), original, retry_after_ms: 0 };
            (MessageType::Error, Shape::Notice, error.write(JSON))
        }
    };
    let draft = Draft {
        message_type,
        shape,
        id: asked.header.id(),
        timestamp: 1,
        source: AgentId::new([7; 32]),
        destination: asked.header.source(),
        content_type: JSON,
        hops: 0,
        sequence: Sequence::NONE,
        told: Receipt::None,
        last: false,
    };
    let mut plain = BytesMut::new();
    MetadataDraft::default().write(&mut plain);
    plain.extend_from_slice(&body);
    let header = Header::make(&draft, Boundary::Down, plain.len()).expect("a header");
    [&header.to_bytes()[..], &plain].concat()
}

/// The body with harm in every text of it.
fn evil<B: ControlBody>(body: B) -> bytes::Bytes {
    fn poison(value: &mut Value) {
        match value {
            Value::String(text) => *text = EVIL.into(),
            Value::Array(all) => all.iter_mut().for_each(poison),
            Value::Object(fields) => fields.values_mut().for_each(poison),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut value = serde_json::to_value(&body).expect("JSON");
    poison(&mut value);
    serde_json::to_vec(&value).expect("JSON").into()
}

/// Text that does nothing to a terminal but to be shown, line by line.
fn assert_harmless(what: &str, bytes: &[u8]) -> String {
    let text = String::from_utf8(bytes.to_vec()).expect("text");
    for c in text.chars().filter(|c| *c != '\n') {
        assert!(!c.is_control(), "{what} shows {c:?} raw:\n{text:?}");
        assert!(!('\u{2028}'..='\u{202e}').contains(&c) && !('\u{2066}'..='\u{2069}').contains(&c), "{what}: {c:?}");
    }
    text
}

#[test]
fn no_command_lets_a_control_character_of_somebody_else_reach_the_terminal() {
    let liar = Liar::new();
    let id = "0123456789abcdef";
    let commands: [&[&str]; 42] = [
        &["status"],
        &["status", "--check"],
        &["agents"],
        &["agent", "show", "x"],
        &["whois", EVIL],
        &["check"],
        &["doctor"],
        &["bugreport", "-"],
        &["cert"],
        &["up"],
        &["join", "x"],
        &["invite"],
        &["down"],
        &["leave", "--yes"],
        &["peers"],
        &["peer", "show", "x"],
        &["peer", "block", "x"],
        &["revoke", "x", "--yes"],
        &["authority", "share", "x", "--yes"],
        &["config", "show"],
        &["config", "reload"],
        &["allow", "ls"],
        &["allow", "test", "x", "y"],
        &["complete-names", "ask"],
        &["version"],
        &["outbox", "ls"],
        &["outbox", "show", id],
        &["outbox", "retry", "--all"],
        &["outbox", "drop", "--all", "--yes"],
        &["outbox", "ls", "--agent", "x"],
        &["dlq", "ls"],
        &["dlq", "show", id],
        &["dlq", "requeue", "--all"],
        &["dlq", "purge", id, "--yes"],
        &["explain", id],
        &["tap", "--count", "1"],
        &["clock", "trust"],
        &["ask", "x", "hi"],
        &["ask", "x", "hi", "--durable"],
        &["send", "x", "hi"],
        &["ping", "x"],
        &["recv", "--as", "x", "--count", "0"],
    ];
    for command in commands {
        for shape in [&[][..], &["--json"], &["-o", "wide"], &["-o", "yaml"], &["-o", "id"], &["-o", "jsonl"]] {
            // What comes behind it belongs to it.
            let arguments =
                if command[0] == "complete-names" { [shape, command].concat() } else { [command, shape].concat() };
            let output = liar.ctl(&arguments);
            let (shown, talk) = (
                assert_harmless(&format!("{arguments:?}"), &output.stdout),
                assert_harmless(&format!("{arguments:?}"), &output.stderr),
            );
            // What is told of it has a number, and no text; or names alone, and these are none; or no id, being none.
            let has_nothing = command == ["clock", "trust"] || command[0] == "complete-names" || shape == ["-o", "id"];
            assert!(has_nothing || (shown + &talk).contains("evil"), "{arguments:?} showed nothing of it");
        }
    }
}

#[test]
fn no_line_of_the_daemons_log_does_anything_to_a_terminal() {
    for format in ["text", "json"] {
        let folder = tempfile::tempdir().expect("a folder");
        // The log names the folder, and JSON leaves these as they are.
        let inner = folder.path().join("a\u{9b}2J\u{202e}b");
        let mut host = Host::make(&inner, "alpha");
        host.configure(&[]);
        let config = std::fs::read_to_string(host.config()).expect("its configuration");
        let config = config.replace("\\u{9b}", "\\u009b").replace("\\u{202e}", "\\u202e");
        std::fs::write(host.config(), format!("{config}format = \"{format}\"\n")).expect("a file");
        host.start();
        let log = until("it says that it runs", std::time::Duration::from_secs(10), || {
            Some(host.log()).filter(|log| log.contains("aicpd is running"))
        });
        assert_harmless(format, log.as_bytes());
        assert!(log.contains("2J"), "the log does not name the folder");
    }
}

#[test]
fn only_an_administrator_gives_orders_and_everybody_else_is_told_who_may() {
    // SAFETY of the test: another user is needed, and only root may become one.
    if !is_root() {
        assert!(std::env::var_os("AICP_NEED_ROOT").is_none(), "this needs root");
        return skip();
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    let program = folder.path().join("aicpctl");
    std::fs::copy(binary("aicpctl"), &program).expect("a program that others may run");
    open_to_all(folder.path());
    open_to_all(host.config().parent().expect("its folder"));
    let config = std::fs::read_to_string(host.config()).expect("its configuration");
    let with = |lines: &str| config.replace("[socket]\n", &format!("[socket]\nmode = \"0666\"\n{lines}"));
    std::fs::write(host.config(), with("")).expect("a file");
    host.start();
    let id = "0123456789abcdef";
    let as_other = |host: &Host, group: u32, arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.arg("--socket").arg(host.socket()).args(arguments).env_clear().uid(65_534).gid(group);
        command.stdin(Stdio::null()).output().expect("aicpctl runs")
    };
    for question in [&["status"][..], &["agents"], &["outbox", "ls"], &["dlq", "ls"]] {
        let output = as_other(&host, 65_534, question);
        assert!(output.status.success(), "{question:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(as_other(&host, 65_534, &["explain", id]).status.code(), Some(4), "nothing is known, and that is said");
    let orders: [&[&str]; 6] = [
        &["outbox", "retry", "--all"],
        &["outbox", "drop", "--all", "--yes"],
        &["dlq", "requeue", "--all"],
        &["dlq", "purge", "--all", "--yes"],
        &["clock", "trust"],
        &["tap", "--count", "0"],
    ];
    for order in orders {
        let output = as_other(&host, 65_534, order);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(5), "{order:?}: {told}");
        assert!(told.contains("AICP-4008") && told.contains("admin_group"), "{told}");
        let output = host.ctl(order);
        assert!(output.status.success(), "{order:?} as root: {}", String::from_utf8_lossy(&output.stderr));
    }

    // A member of the group that the configuration names may, and nobody else.
    let (group, number) = a_group();
    assert_eq!(host.stop().code(), Some(0));
    std::fs::write(host.config(), with(&format!("admin_group = \"{group}\"\n"))).expect("a file");
    host.start();
    for order in orders {
        let output = as_other(&host, number, order);
        assert!(output.status.success(), "{order:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(as_other(&host, 64_001, order).status.code(), Some(5), "{order:?}: another group");
    }

    // The socket can be its group's alone.
    assert_eq!(host.stop().code(), Some(0));
    let only = config.replace("[socket]\n", &format!("[socket]\ngroup = \"{group}\"\n"));
    std::fs::write(host.config(), only).expect("a file");
    host.start();
    assert!(as_other(&host, number, &["status"]).status.success(), "a member of the socket's group");
    assert_eq!(as_other(&host, 64_001, &["status"]).status.code(), Some(5), "no member of it");

    assert_eq!(host.stop().code(), Some(0));
    std::fs::write(host.config(), with("admin_group = \"no-such-group-here\"\n")).expect("a file");
    let run = Command::new(binary("aicpd")).arg("run").arg("--config").arg(host.config()).env_clear().output();
    let run = run.expect("aicpd runs");
    let told = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(!run.status.success() && told.contains("no-such-group-here") && told.contains("fix"), "{told}");
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) == 0)
}

#[expect(clippy::print_stderr, reason = "whoever reads the results wants to know what was not tried")]
fn skip() {
    eprintln!("skipped: needs root");
}

fn open_to_all(folder: &Path) {
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).expect("the folder is ours");
}

/// A group of this host whose members do not stand in its line, and which is not root's.
fn a_group() -> (String, u32) {
    let groups = std::fs::read_to_string("/etc/group").expect("groups");
    let mut found = groups.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let number = fields.get(2)?.parse().ok().filter(|number| *number > 0)?;
        Some((fields[0].to_owned(), number)).filter(|_| fields.get(3).is_none_or(|members| members.is_empty()))
    });
    found.next().expect("a group")
}
