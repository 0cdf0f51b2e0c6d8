//! Small rooms on real daemons: what finds no room waits where it comes from, in order, and harms nobody else.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::metadata::MetadataDraft;
use proto::{AgentId, MessageId, Receipt};
use referee::door::{DURABLE, Door};
use referee::hosts::{Host, until};

/// Full is told again after a pause that grows while the agent is away.
const PATIENCE: Duration = Duration::from_secs(60);

/// Hosts that all know the last one, whose rooms are small. They run, and are linked to it.
fn hosts<const COUNT: usize>(parent: &Path, names: [&str; COUNT], limits: &str) -> [Host; COUNT] {
    let mut hosts = names.map(|name| Host::make(parent, name));
    for (at, host) in hosts.iter().enumerate() {
        let peers: Vec<&Host> =
            hosts.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, host)| host).collect();
        host.configure(&peers);
        host.configure_also(&format!("\n[metrics]\nlisten = \"unix:{}\"\n", metrics_of(host).display()));
    }
    hosts[COUNT - 1].configure_also(&format!("\n[limits]\n{limits}"));
    hosts.iter_mut().for_each(Host::start);
    hosts[..COUNT - 1].iter().for_each(|host| host.await_peer(names[COUNT - 1]));
    hosts
}

fn metrics_of(host: &Host) -> PathBuf {
    host.socket().with_file_name("metrics.sock")
}

/// A counter of the core, as an operator reads it.
fn counted(host: &Host, name: &str) -> u64 {
    let mut socket = UnixStream::connect(metrics_of(host)).expect("the metrics' door");
    socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("asked");
    let mut text = String::new();
    socket.read_to_string(&mut text).expect("told");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("aicp_mesh_{name}_total ")));
    line.expect("it is counted").trim().parse().expect("a number")
}

fn waits(host: &Host, field: &str, wanted: u64) {
    until(field, PATIENCE, || (host.status()[field].as_u64() == Some(wanted)).then_some(()));
}

/// Makes an agent known that is away.
fn away(host: &Host, name: &str) {
    Door::attached(&host.socket(), name).leave();
}

fn send(door: &mut Door, to: AgentId, count: u8) -> Vec<MessageId> {
    let ids: Vec<_> = (0..count).map(|at| door.request(to, DURABLE, &MetadataDraft::default(), &[at])).collect();
    ids.iter().for_each(|id| door.told(*id, Receipt::Accepted));
    ids
}

/// Handles what comes, which must be numbered from zero and delivered for the first time.
fn handle(door: &mut Door, count: u8) {
    for wanted in 0..count {
        let delivery = door.delivery();
        assert_eq!(delivery.body.as_ref(), [wanted], "in order, and each once");
        assert!(!delivery.metadata.has(proto::metadata::Key::Marked), "nobody had it before");
        door.handled(&delivery);
    }
}

#[test]
fn what_finds_the_mailbox_full_waits_at_its_source_and_arrives_in_order_when_the_agent_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let [alpha, beta] = hosts(folder.path(), ["alpha", "beta"], "mailbox_messages = 4\npair_messages = 4\n");
    away(&beta, "reader");
    let mut writer = Door::attached(&alpha.socket(), "writer");
    let reader = writer.find("reader@beta");
    let ids = send(&mut writer, reader, 10);
    waits(&alpha, "outbox_messages", 6);
    waits(&beta, "mailbox_messages", 4);
    until("the source is told that there is no room", PATIENCE, || (counted(&alpha, "heard_full") > 0).then_some(()));
    assert!(counted(&beta, "said_full") > 0);
    let shown = alpha.ctl(&["status"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("outbox 6"), "an operator sees it");
    let mut reader = Door::attached(&beta.socket(), "reader");
    handle(&mut reader, 10);
    for id in ids {
        writer.told(id, Receipt::Stored);
        assert_eq!(writer.about(id).header.receipt(), Receipt::Handled);
    }
    waits(&alpha, "outbox_messages", 0);
}

#[test]
fn a_stuck_agent_harms_nobody_else_on_its_host() {
    let folder = tempfile::tempdir().expect("a folder");
    let [alpha, beta] = hosts(folder.path(), ["alpha", "beta"], "mailbox_messages = 4\npair_messages = 4\n");
    let mut stuck = Door::attached(&beta.socket(), "stuck");
    let mut brisk = Door::attached(&beta.socket(), "brisk");
    let mut writer = Door::attached(&alpha.socket(), "writer");
    let (to_stuck, to_brisk) = (writer.find("stuck@beta"), writer.find("brisk@beta"));
    send(&mut writer, to_stuck, 10);
    // It has four, and does nothing about them.
    waits(&alpha, "outbox_messages", 6);
    (0..4).for_each(|_| drop(stuck.delivery()));
    for round in 0..5 {
        let ids = send(&mut writer, to_brisk, 4);
        handle(&mut brisk, 4);
        for id in ids {
            assert_eq!(writer.about(id).header.receipt(), Receipt::Handled, "round {round}");
        }
    }
    waits(&alpha, "outbox_messages", 6);
}

#[test]
fn what_the_agents_of_one_peer_leave_waiting_takes_nothing_from_another_peer() {
    let folder = tempfile::tempdir().expect("a folder");
    let [alpha, gamma, beta] = hosts(folder.path(), ["alpha", "gamma", "beta"], "peer_messages = 6\n");
    away(&beta, "first");
    away(&beta, "second");
    let mut greedy = Door::attached(&alpha.socket(), "greedy");
    let (first, second) = (greedy.find("first@beta"), greedy.find("second@beta"));
    send(&mut greedy, first, 5);
    send(&mut greedy, second, 5);
    waits(&alpha, "outbox_messages", 4);
    let mut modest = Door::attached(&gamma.socket(), "modest");
    let (first, second) = (modest.find("first@beta"), modest.find("second@beta"));
    for id in send(&mut modest, first, 3).into_iter().chain(send(&mut modest, second, 3)) {
        modest.told(id, Receipt::Stored);
    }
    waits(&gamma, "outbox_messages", 0);
    waits(&beta, "mailbox_messages", 12);
    waits(&alpha, "outbox_messages", 4);
}
