//! A broken disk ends promises, at once and for good; a full one does not.

use store::{Store, StoreError, Transaction};

use super::disk::{Chance, FakeDisk, Fault};
use super::model::Model;
use super::{body, number, open, options, put};

/// One synced record, one that is not, and the disk.
fn begun() -> (Store<FakeDisk>, FakeDisk) {
    let disk = FakeDisk::new();
    let (mut store, _) = open(disk.clone());
    put(&mut store, 1, &body(1, 500));
    store.sync().expect("it syncs");
    put(&mut store, 2, &body(2, 500));
    (store, disk)
}

/// Nothing is promised any more and the disk is left alone; what was synced can be read.
fn check_poisoned(mut store: Store<FakeDisk>, disk: &FakeDisk) {
    assert!(disk.fired());
    disk.mend();
    let operations = disk.operations();
    let append = store.append(Transaction::new().put(number(9), b"more".to_vec()));
    assert!(matches!(append, Err(StoreError::Poisoned)));
    assert!(matches!(store.sync(), Err(StoreError::Poisoned)));
    assert!(matches!(store.tidy(1000), Err(StoreError::Poisoned)));
    assert_eq!(store.load(number(1)).expect("it was synced"), body(1, 500));
    assert!(matches!(store.close(), Err(StoreError::Poisoned)));
    assert_eq!(disk.operations(), operations, "nothing is tried again");
    disk.crash(1);
    let (store, recovery) = open(disk.clone());
    assert!(!recovery.clean);
    assert_eq!(store.load(number(1)).expect("it was synced"), body(1, 500));
}

#[test]
fn a_failed_sync_poisons_the_store_and_is_not_retried() {
    let (mut store, disk) = begun();
    disk.fail(Fault::Sync(0));
    assert!(matches!(store.sync(), Err(StoreError::Failed { .. })));
    check_poisoned(store, &disk);
}

#[test]
fn a_failed_write_poisons_the_store() {
    let (mut store, disk) = begun();
    disk.fail(Fault::Write(0));
    assert!(matches!(store.sync(), Err(StoreError::Failed { .. })));
    check_poisoned(store, &disk);
}

#[test]
fn a_short_write_poisons_the_store() {
    let (mut store, disk) = begun();
    disk.fail(Fault::ShortWrite(0));
    assert!(matches!(store.sync(), Err(StoreError::Failed { .. })));
    check_poisoned(store, &disk);
}

#[test]
fn a_failed_sync_while_a_segment_is_begun_poisons_the_store() {
    for nth in 0..2 {
        let (mut store, disk) = begun();
        disk.fail(Fault::Sync(nth));
        let failed = (3..100).find_map(|at| store.append(Transaction::new().put(number(at), body(at, 900))).err());
        assert!(matches!(failed, Some(StoreError::Failed { .. })), "{failed:?}");
        check_poisoned(store, &disk);
    }
}

#[test]
fn a_clean_note_that_was_not_synced_is_not_believed() {
    let (store, disk) = begun();
    // The sync of the record, then that of the note.
    disk.fail(Fault::Sync(1));
    assert!(matches!(store.close(), Err(StoreError::Failed { .. })));
    assert!(disk.fired());
    // Seed by seed, the note arrived or did not; if it did, it is true.
    let arrived = (0..20).filter(|seed| {
        let disk = disk.copy();
        disk.crash(*seed);
        open(disk).1.records == [number(1), number(2)]
    });
    assert_eq!(arrived.count(), 20);
}

#[test]
fn a_disk_without_room_is_an_answer_and_goes_on_when_there_is_room() {
    let (mut store, disk) = begun();
    disk.fail(Fault::NoSpace);
    let mut at = 2;
    let error = loop {
        at += 1;
        if let Err(error) = store.append(Transaction::new().put(number(at), body(at, 900))) {
            break error;
        }
    };
    assert!(matches!(error, StoreError::NoSpace { .. }), "{error}");
    assert_eq!(disk.segments().len(), 1, "nothing was left behind");
    store.sync().expect("what was appended is still synced");
    store.append(Transaction::new().put(number(at), b"small".to_vec())).expect("a small one still fits");
    assert!(store.append(Transaction::new().put(number(at + 1), body(at, 900))).is_err());
    disk.mend();
    put(&mut store, at + 1, &body(at, 900));
    store.sync().expect("it syncs");
    drop(store);
    disk.crash(5);
    let (store, recovery) = open(disk);
    assert!(recovery.damaged.is_empty() && recovery.torn_tail.is_none(), "{recovery:?}");
    assert_eq!(recovery.records.len() as u64, at + 1);
    assert_eq!(store.load(number(at)).expect("it is there"), b"small"[..]);
}

#[test]
fn dying_at_any_operation_loses_nothing_that_was_synced() {
    let mut died = 0;
    for moment in 0..200 {
        let disk = FakeDisk::new();
        let (mut store, _) = Store::open(disk.clone(), &options(5)).expect("it opens");
        let mut model = Model::default();
        let mut chance = Chance::new(11);
        disk.fail(Fault::Death(moment));
        for step in 0..150 {
            let result = match step % 5 {
                3 => store.sync().map(|_| model.synced()),
                4 => store.tidy(3000).map(|_| ()),
                _ => model.append(&mut store, &mut chance),
            };
            if !matches!(result, Ok(()) | Err(StoreError::Full { .. })) {
                break;
            }
        }
        died += u64::from(disk.fired());
        drop(store);
        disk.crash(moment);
        let (store, recovery) = Store::open(disk, &options(5)).expect("it opens");
        model.judge(&store, &recovery);
    }
    assert!(died > 100, "only {died}");
}
