//! Journals that no daemon leaves behind, unless something went wrong with it.

use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use keys::store_key::StoreKey;
use mesh::Wall;
use proto::entry::{Entry, Letter, Parts, Place};
use proto::limits::HOUR;
use proto::{AgentId, ContentType, FlowId, MessageId, MessageType};
use store::{RecordNumber, Store, Transaction};

use super::{NextStart, Report, run};
use crate::StateDir;
use crate::journal::Days;
use crate::vault::store_options;

const WALL: Wall = Wall(20_000 * 24 * HOUR);

/// A node whose journal holds these bytes, each sealed for the number beside it.
fn node_with(root: &Path, entries: &[(u64, Bytes)]) -> StateDir {
    StateDir::init(root, None).expect("an identity");
    let state = StateDir::open(root).expect("a folder");
    let (identity, disk) = state.open_identity().expect("keys");
    let (mut store, _) = Store::open(disk, &store_options(proto::limits::JOURNAL_LIMIT_BYTES).expect("random bytes"))
        .expect("a journal");
    let mut days = Days::open(state.clone(), identity.credential).expect("keys of days");
    for (at, (number, plain)) in (1..).zip(entries) {
        let sealed = days.seal(*number, plain, WALL).expect("sealed");
        store.append(Transaction::new().put(RecordNumber::new(at), sealed)).expect("room");
    }
    store.close().expect("closed");
    state
}

fn owned(id: u64, sequence: u32) -> Bytes {
    let letter = Letter {
        source: AgentId::new([1; 32]),
        destination: AgentId::new([2; 32]),
        id: MessageId::new(id),
        message_type: MessageType::Broadcast,
        content_type: ContentType::None,
        timestamp: WALL.0,
        expiry: WALL.0 + HOUR,
        handled_wanted: false,
        again: false,
    };
    let place = Place { flow: FlowId::new(2).expect("in range"), sequence };
    Entry::Owned { letter, place, parts: Parts::default() }.write()
}

fn look(root: &Path) -> Report {
    run(root).expect("nobody runs on it")
}

#[test]
fn two_messages_in_one_place_of_a_flow_are_a_contradiction_and_the_daemon_would_not_start() {
    let folder = tempfile::tempdir().expect("a folder");
    node_with(folder.path(), &[(1, owned(1, 1)), (2, owned(2, 2))]);
    let report = look(folder.path());
    assert!(report.is_sound(), "{:?}", report.faults);
    let other = tempfile::tempdir().expect("a folder");
    node_with(other.path(), &[(1, owned(1, 1)), (2, owned(2, 1))]);
    let report = look(other.path());
    assert_eq!(report.next, NextStart::Refuses);
    assert!(report.faults[0].what.contains("contradicts itself"), "{:?}", report.faults);
}

#[test]
fn entries_that_do_not_open_or_are_none_are_counted_by_why_and_the_next_start_marks() {
    let folder = tempfile::tempdir().expect("a folder");
    let none = Bytes::from_static(b"\xff\x01no entry");
    node_with(folder.path(), &[(1, owned(1, 1)), (9, owned(2, 2)), (3, none)]);
    let report = look(folder.path());
    let journal = report.journal.expect("a journal");
    assert_eq!(journal.kinds, [("owned", 1)]);
    let lost: Vec<&str> = journal.lost.iter().map(|(why, _)| why.as_str()).collect();
    assert!(lost.len() == 2 && lost[0].contains("kind") && lost[1].contains("seal"), "{lost:?}");
    assert_eq!((report.faults.len(), report.next), (2, NextStart::Born));
}

#[test]
fn a_torn_tail_and_a_key_that_nobody_needs_are_no_damage() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = node_with(folder.path(), &[(1, owned(1, 1))]);
    let (identity, disk) = state.open_identity().expect("keys");
    drop(disk);
    let key = StoreKey::make().expect("random bytes");
    state.save_day_key(19_000, &key, &identity.credential).expect("kept");
    let segment = state.store().join("0000000000000001.segment");
    let segment = std::fs::OpenOptions::new().write(true).open(segment).expect("a segment");
    segment.write_all_at(b"half a record", 1 << 20).expect("written");
    let report = look(folder.path());
    assert!(report.is_sound(), "{:?}", report.faults);
    assert_eq!(report.next, NextStart::Unclean);
    let needed: Vec<_> = report.days.iter().map(|seen| (seen.day, seen.entries)).collect();
    assert_eq!(needed, [(19_000, Some(0)), (20_000, Some(1))]);
    assert!(report.journal.expect("a journal").torn.is_some());
    assert!(report.notes.iter().any(|note| note.contains("tore")), "{:?}", report.notes);
}
