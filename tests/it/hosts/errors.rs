//! What a newcomer gets wrong, and what they read then: what happened, why, and how to fix it.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use proto::control::{Attach, AttachReply, ControlBody};
use proto::metadata::MetadataDraft;
use proto::{
    AgentId, Boundary, Content, ContentType, Draft, ErrorCode, FlowKind, Frame, Header, MessageId, MessageType,
    Receipt, Sequence, Shape,
};
use referee::hosts::{Host, binary};

fn ctl(socket: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary("aicpctl"));
    command.arg("--socket").arg(socket).args(arguments).env_clear().env("NO_COLOR", "1");
    command.output().expect("aicpctl runs")
}

/// What went to standard error, which must hold all of `words`.
fn said(output: &Output, words: &[&str]) -> String {
    let text = String::from_utf8(output.stderr.clone()).expect("text");
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in:\n{text}");
    }
    text
}

#[test]
fn without_a_daemon_the_error_names_the_socket_and_how_to_start_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("agent.sock");
    let output = ctl(&socket, &["status"]);
    assert_eq!(output.status.code(), Some(3));
    said(&output, &["error", socket.to_str().expect("text"), "fix", "aicpd run"]);
}

#[test]
fn without_a_daemon_and_without_a_path_the_error_names_all_places_that_were_looked_at() {
    let home = tempfile::tempdir().expect("a folder");
    let output = Command::new(binary("aicpctl"))
        .arg("status")
        .env_clear()
        .env("NO_COLOR", "1")
        .env("HOME", home.path())
        .env("XDG_RUNTIME_DIR", home.path().join("run"))
        .output()
        .expect("aicpctl runs");
    assert_eq!(output.status.code(), Some(3));
    said(&output, &["run/aicp/agent.sock", ".local/state/aicp/agent.sock", "/run/aicp/agent.sock", "aicpd run"]);
}

#[test]
fn a_path_that_is_no_socket_is_called_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a-file");
    std::fs::write(&file, "not a socket").expect("a file");
    let output = ctl(&file, &["status"]);
    assert_eq!(output.status.code(), Some(3));
    said(&output, &["a-file", "socket", "fix"]);
}

#[test]
fn a_key_file_that_others_can_read_stops_the_daemon_with_the_command_that_mends_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    let key = host.state().join("identity/node.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let output = run(&host);
    assert!(!output.status.success());
    said(&output, &["node.key", "chmod"]);
}

#[test]
fn an_unknown_key_in_the_configuration_is_named_with_the_one_that_was_meant() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = Host::make(folder.path(), "alpha");
    std::fs::write(host.config(), "[mesh]\nlissten = \"127.0.0.1:7727\"\n").expect("a file");
    let output = run(&host);
    assert!(!output.status.success());
    said(&output, &["lissten", "listen", "aicpd.toml"]);
}

#[test]
fn a_second_daemon_on_the_same_state_says_that_there_is_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    host.start();
    let output = run(&host);
    assert!(!output.status.success());
    said(&output, &["another"]);
    assert!(host.ctl(&["status"]).status.success(), "the first one goes on");
}

#[test]
fn an_unknown_agent_is_not_found_and_an_oversized_message_is_refused_before_it_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    host.start();
    let output = host.ctl(&["ask", "nobody@alpha", "hi"]);
    assert_eq!(output.status.code(), Some(4));
    said(&output, &["AICP-4001", "nobody@alpha", "fix"]);
    let output = host.ctl(&["send", "nobody@alpha", "hi"]);
    assert_eq!(output.status.code(), Some(4), "nothing is accepted for an agent that nobody knows");

    let body = folder.path().join("large");
    std::fs::write(&body, vec![b'x'; (10 << 20) + 1]).expect("a file");
    let output = Command::new(binary("aicpctl"))
        .arg("--socket")
        .arg(host.socket())
        .args(["send", "echo@alpha", "-"])
        .stdin(std::fs::File::open(&body).expect("the file"))
        .env_clear()
        .output()
        .expect("aicpctl runs");
    assert!(!output.status.success());
    said(&output, &["AICP-4003", "10485760"]);
}

#[test]
fn a_client_that_says_what_only_a_daemon_may_say_is_told_so_and_harms_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    host.start();
    let mut door = Door::open(&host.socket());
    let me = door.attach("liar");

    // Content that is refused closes nothing: a floor is the daemon's to say.
    let draft = door.draft(MessageType::Request, Shape::Durable(FlowKind::Messages), me, me);
    let metadata = MetadataDraft { floor: Some(1), ..MetadataDraft::default() };
    door.say(&frame(&draft, &metadata, b""));
    assert_eq!(door.hear().error().expect("an error").code, ErrorCode::MALFORMED);

    // A source that is not attached here.
    let stranger = AgentId::new([7; 32]);
    let draft = door.draft(MessageType::Request, Shape::Once, stranger, me);
    door.say(&frame(&draft, &MetadataDraft::default(), b""));
    assert_eq!(door.hear().error().expect("an error").code, ErrorCode::UNAUTHENTICATED);

    // STORED is a daemon's word, and its header has no shape up: an error, and then the connection ends.
    let draft = door.draft(MessageType::Request, Shape::Once, me, me);
    let mut stored = frame(&draft, &MetadataDraft::default(), b"");
    stored[1] = MessageType::Ack as u8;
    stored[91] = Receipt::Stored as u8;
    door.say(&stored);
    let error = door.hear().error().expect("an error");
    assert_eq!(error.code, ErrorCode::MALFORMED);
    assert!(!error.message.is_empty(), "it says why");
    assert!(door.has_ended(), "what follows such a header cannot be told apart");

    assert!(host.ctl(&["ping", "echo@alpha"]).status.success(), "the daemon goes on");
}

fn run(host: &Host) -> Output {
    let mut command = Command::new(binary("aicpd"));
    command.arg("run").arg("--config").arg(host.config()).env_clear();
    command.env("HOME", host.state()).output().expect("aicpd runs")
}

pub(super) fn frame(draft: &Draft, metadata: &MetadataDraft<'_>, body: &[u8]) -> Vec<u8> {
    let mut plain = bytes::BytesMut::new();
    metadata.write(&mut plain);
    plain.extend_from_slice(body);
    let header = Header::make(draft, Boundary::Up, plain.len()).expect("a header");
    let mut bytes = header.to_bytes().to_vec();
    bytes.extend_from_slice(&plain);
    bytes
}

/// The agents' door, frame by frame.
pub(super) struct Door {
    socket: UnixStream,
    arrived: bytes::BytesMut,
    next: u64,
}

impl Door {
    pub(super) fn open(path: &Path) -> Self {
        let socket = UnixStream::connect(path).expect("the door is open");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        Self { socket, arrived: bytes::BytesMut::new(), next: 1 }
    }

    pub(super) fn draft(
        &mut self,
        message_type: MessageType,
        shape: Shape,
        source: AgentId,
        destination: AgentId,
    ) -> Draft {
        self.next += 1;
        Draft {
            message_type,
            shape,
            id: MessageId::new(self.next),
            timestamp: 0,
            source,
            destination,
            content_type: ContentType::None,
            hops: 0,
            sequence: Sequence::NONE,
            told: Receipt::None,
            last: false,
        }
    }

    pub(super) fn attach(&mut self, name: &str) -> AgentId {
        let draft = self.draft(MessageType::Request, Shape::Once, AgentId::ZERO, AgentId::ZERO);
        let draft = Draft { content_type: ContentType::Json, ..draft };
        let metadata = MetadataDraft { subject: Some("agent.attach"), ..MetadataDraft::default() };
        let attach = Attach { name: name.into(), ..Attach::default() };
        self.say(&frame(&draft, &metadata, &attach.write(ContentType::Json)));
        let answer = self.hear();
        let reply = AttachReply::read(answer.header.content_type(), &answer.body).expect("a reply");
        reply.agent_id.parse().expect("an id")
    }

    pub(super) fn say(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).expect("the door takes it");
    }

    fn hear(&mut self) -> Content {
        loop {
            if let Ok(frame) = Frame::take(&mut self.arrived, Boundary::Down) {
                let (header, plain) = frame.into_plain().expect("nothing is sealed at the door");
                return Content::read(&header, plain).expect("a daemon says what it may");
            }
            let mut bytes = [0; 4096];
            let length = self.socket.read(&mut bytes).expect("an answer in time");
            assert!(length > 0, "the door was closed");
            self.arrived.extend_from_slice(&bytes[..length]);
        }
    }

    fn has_ended(&mut self) -> bool {
        let mut bytes = [0; 64];
        matches!(self.socket.read(&mut bytes), Ok(0) | Err(_))
    }
}
