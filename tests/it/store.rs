//! The journal: what was synced is there after any crash, what was forgotten stays away, damage costs what it hit.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use referee::hosts::until;
use store::{Disk, FileDisk, Options, RecordNumber, Recovery, SegmentNumber, Store, StoreError, Transaction};

use disk::FakeDisk;

mod damage;
mod disk;
mod faults;
mod history;
mod model;
mod space;

const SEGMENT_BYTES: usize = 16 << 10;

fn options(segments: u64) -> Options {
    Options { new_id: [7; 16], segment_bytes: SEGMENT_BYTES, limit_bytes: segments * SEGMENT_BYTES as u64 }
}

fn open<D: Disk>(disk: D) -> (Store<D>, Recovery) {
    Store::open(disk, &options(16)).expect("the store opens")
}

/// Other tests of this process start daemons meanwhile; a child holds all our locks between its fork and its exec.
fn file_disk(folder: &Path) -> FileDisk {
    until("the lock is free", Duration::from_secs(10), || match FileDisk::open(folder) {
        Err(StoreError::Locked) => None,
        opened => Some(opened.expect("a disk")),
    })
}

fn number(number: u64) -> RecordNumber {
    RecordNumber::new(number)
}

fn put<D: Disk>(store: &mut Store<D>, at: u64, body: &[u8]) {
    store.append(Transaction::new().put(number(at), body.to_vec())).expect("there is room");
}

fn forget<D: Disk>(store: &mut Store<D>, at: u64) {
    store.append(Transaction::new().forget(number(at))).expect("there is room");
}

/// Tells a record from every other.
fn body(at: u64, length: usize) -> Vec<u8> {
    at.to_be_bytes().into_iter().cycle().take(length).collect()
}

fn tidy_all<D: Disk>(store: &mut Store<D>) {
    while store.tidy(usize::MAX).expect("it tidies").more {}
}

fn expect_error<D: std::fmt::Debug>(result: Result<(Store<D>, Recovery), StoreError>) -> StoreError {
    result.map(|_| ()).expect_err("it must be refused")
}

#[test]
fn what_was_synced_survives_a_reopen_of_real_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal");
    let open = || open(file_disk(&path));
    let (mut store, recovery) = open();
    assert!(recovery.born && recovery.clean && recovery.records.is_empty());
    for at in 1..=100 {
        put(&mut store, at, &body(at, 700));
    }
    forget(&mut store, 50);
    let last = store.sync().expect("it syncs");
    assert_eq!(last.get(), 101, "a hundred puts and a forget");
    drop(store);

    let (store, recovery) = open();
    assert!(!recovery.born && !recovery.clean, "nobody closed it");
    assert_eq!((recovery.damaged.len(), recovery.torn_tail), (0, None));
    assert_eq!(recovery.records.len(), 99);
    for at in (1..=100).filter(|at| *at != 50) {
        assert_eq!(store.load(number(at)).expect("it is there"), body(at, 700));
    }
    assert!(matches!(store.load(number(50)), Err(StoreError::Unknown { .. })));
    assert_eq!(store.highest(), number(100));
    store.close().expect("it closes");

    let (_, recovery) = open();
    assert!(recovery.clean, "it was closed");
    assert_eq!(recovery.records.len(), 99);
}

#[test]
fn its_folder_and_files_are_open_to_their_owner_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal");
    std::fs::create_dir(&path).expect("made by someone careless");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a mode");
    let (store, _) = open(file_disk(&path));
    let mode = |path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o7777;
    assert_eq!(mode(path.clone()), 0o700);
    let mut files = 0;
    for entry in std::fs::read_dir(&path).expect("a folder") {
        assert_eq!(mode(entry.expect("an entry").path()), 0o600);
        files += 1;
    }
    assert_eq!(files, 2, "the lock and one segment");
    drop(store);
}

#[test]
fn a_store_opens_once_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = file_disk(folder.path());
    assert!(matches!(FileDisk::open(folder.path()), Err(StoreError::Locked)));
    drop(first);
    file_disk(folder.path());
}

#[test]
fn a_stop_is_clean_only_if_nothing_was_opened_since() {
    let disk = FakeDisk::new();
    let (mut store, _) = open(disk.clone());
    put(&mut store, 1, b"one");
    store.close().expect("it closes");
    let (store, recovery) = open(disk.clone());
    assert!(recovery.clean);
    // Not even the note's taking back may be left to chance.
    drop(store);
    disk.crash(3);
    let (store, recovery) = open(disk.clone());
    assert!(!recovery.clean, "it was opened and not closed");
    store.close().expect("it closes");
    assert!(open(disk).1.clean);
}

#[test]
fn a_newer_format_is_refused_and_nothing_is_touched() {
    let disk = FakeDisk::new();
    let (mut store, _) = open(disk.clone());
    put(&mut store, 1, b"one");
    store.close().expect("it closes");
    let segment = disk.segments()[0];
    for copy in [0, 2048] {
        disk.change(segment, copy + 11, |version| *version = 9);
    }
    let before = disk.everything();
    let operations = disk.operations();
    let error = expect_error(Store::open(disk.clone(), &options(16)));
    assert!(matches!(error, StoreError::NewerFormat { found: 9, known: 1, .. }), "{error}");
    assert_eq!((disk.everything(), disk.operations()), (before, operations));
}

#[test]
fn a_segment_of_another_store_is_refused_and_nothing_is_touched() {
    let disk = FakeDisk::new();
    let (store, _) = open(disk.clone());
    store.close().expect("it closes");
    let other = FakeDisk::new();
    let (mut store, _) = Store::open(other.clone(), &Options { new_id: [8; 16], ..options(16) }).expect("it opens");
    for at in 1..=30 {
        put(&mut store, at, &body(at, 1000));
    }
    store.close().expect("it closes");
    disk.take_segment(&other, SegmentNumber::new(2));
    let before = disk.everything();
    let error = expect_error(Store::open(disk.clone(), &options(16)));
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    assert_eq!(disk.everything(), before);
}

#[test]
fn numbers_grow_and_limits_are_named() {
    let (mut store, _) = open(FakeDisk::new());
    put(&mut store, 5, b"five");
    let again = store.append(Transaction::new().put(number(5), b"other".to_vec()));
    assert!(matches!(again, Err(StoreError::NotGrowing { .. })));
    let large = store.append(Transaction::new().put(number(6), vec![1; SEGMENT_BYTES]));
    assert!(matches!(large, Err(StoreError::TooLarge { .. })));
    put(&mut store, 6, b"six");
    let both = Transaction::new().put(number(7), b"seven".to_vec()).forget(number(7)).forget(number(99));
    store.append(both).expect("in order");
    assert!(matches!(store.load(number(7)), Err(StoreError::Unknown { .. })));
    assert_eq!(store.load(number(5)).expect("not replaced"), b"five"[..]);
    let error = expect_error(Store::open(FakeDisk::new(), &options(3)));
    assert!(matches!(error, StoreError::LimitTooSmall { .. }), "{error}");
}

#[test]
fn a_record_can_be_loaded_before_it_is_synced() {
    let (mut store, _) = open(FakeDisk::new());
    put(&mut store, 1, &body(1, 3000));
    assert_eq!(store.load(number(1)).expect("it is there"), body(1, 3000));
    store.sync().expect("it syncs");
    assert_eq!(store.load(number(1)).expect("it is there"), body(1, 3000));
}
