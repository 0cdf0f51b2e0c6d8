//! A journal with a small limit, filled to it by a real agent: what is new is refused, nothing that was accepted is lost,
//! what was begun is ended, and there is room again afterwards.

use std::time::Duration;

use proto::metadata::{Key, MetadataDraft};
use proto::{ErrorCode, MessageId, Receipt};
use referee::door::{DURABLE, Door};
use referee::hosts::{Host, env_number, until};

const BODY: usize = 1 << 20;
const SOON: Duration = Duration::from_secs(60);

fn body(number: u32) -> Vec<u8> {
    number.to_be_bytes().into_iter().cycle().take(BODY).collect()
}

/// Sends until there is no room. Gives what was accepted.
fn fill(writer: &mut Door, to: proto::AgentId, next: &mut u32) -> Vec<(MessageId, u32)> {
    let mut accepted = Vec::new();
    loop {
        let id = writer.request(to, DURABLE, &MetadataDraft::default(), &body(*next));
        match writer.ends(id, Receipt::Accepted) {
            None => accepted.push((id, *next)),
            Some(code) => {
                assert_eq!(code, ErrorCode::FULL, "a full journal is told as one");
                return accepted;
            }
        }
        *next += 1;
        assert!(accepted.len() < 200, "the limit is not heeded");
    }
}

#[test]
fn a_journal_at_its_limit_refuses_what_is_new_ends_what_was_begun_and_takes_more_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = Host::make(folder.path(), "alpha");
    host.configure(&[]);
    host.configure_also("\n[store]\nlimit = \"128MiB\"\n\n[limits]\nmailbox_bytes = \"1GiB\"\n");
    host.start();
    let mut next = 0;
    for round in 0..env_number("AICP_FILLS", 1) {
        Door::attached(&host.socket(), "reader").leave();
        let mut writer = Door::attached(&host.socket(), "writer");
        let to = writer.find("reader");
        let accepted = fill(&mut writer, to, &mut next);
        assert!((16..120).contains(&accepted.len()), "round {round}: {} MiB fit into 128 MiB", accepted.len());
        assert_eq!(host.status()["disk_full"], true);
        // Somebody pulls the plug while it is full: what was accepted is there, and it is still full.
        host.kill();
        host.start();
        let mut reader = Door::attached(&host.socket(), "reader");
        for (id, number) in &accepted {
            let delivery = reader.delivery();
            assert_eq!(delivery.header.id(), *id, "in order, and each");
            assert!(delivery.body.as_ref() == body(*number), "what was said is what arrives");
            assert!(delivery.metadata.has(Key::Marked), "after a crash all is marked");
            reader.handled(&delivery);
        }
        until("there is room again", SOON, || (host.status()["disk_full"] == false).then_some(()));
        let used: u64 = std::fs::read_dir(host.state().join("store"))
            .expect("a journal")
            .filter_map(|file| Some(file.ok()?.metadata().ok()?.len()))
            .sum();
        assert!(used <= (128 << 20) + 4 * (16 << 20), "the journal takes {used} bytes");
        let mut writer = Door::attached(&host.socket(), "writer");
        let id = writer.request(to, DURABLE, &MetadataDraft::default(), b"new");
        writer.told(id, Receipt::Accepted);
        let delivery = reader.delivery();
        assert_eq!(delivery.body.as_ref(), b"new");
        reader.handled(&delivery);
        assert_eq!(writer.about(id).header.receipt(), Receipt::Handled);
    }
    assert!(host.stop().success());
    let (exit, report) = host.fsck();
    assert_eq!((exit, &report["next_start"]), (0, &"clean".into()), "{report}");
}
