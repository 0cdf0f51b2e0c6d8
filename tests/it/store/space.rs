//! Room is bounded, comes back, and a full store can always be emptied.

use store::{Store, StoreError, Transaction};

use super::disk::{Chance, FakeDisk, Fault};
use super::{body, forget, number, open, options, put, tidy_all};

/// Puts until the store says that it is full. Gives how many there are.
fn fill(store: &mut Store<FakeDisk>, length: usize) -> u64 {
    for at in 1.. {
        match store.append(Transaction::new().put(number(at), body(at, length))) {
            Ok(_) => {}
            Err(StoreError::Full { .. }) => return at - 1,
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("it has a limit")
}

/// Forgets, tidying when there is no room even for that.
fn forget_patiently(store: &mut Store<FakeDisk>, at: u64) {
    for _ in 0..100 {
        match store.append(Transaction::new().forget(number(at))) {
            Ok(_) => return,
            Err(StoreError::Full { .. }) => drop(store.tidy(4000).expect("it tidies")),
            Err(error) => panic!("{error}"),
        }
    }
    panic!("record {at} cannot be forgotten");
}

#[test]
fn a_full_store_can_be_emptied_whatever_the_records_and_the_order() {
    for segments in [4, 5, 8] {
        for length in [0, 100, 1000, 3000, 7000] {
            for order in 0..3 {
                let options = options(segments);
                let disk = FakeDisk::new();
                let (mut store, _) = Store::open(disk.clone(), &options).expect("it opens");
                let count = fill(&mut store, length);
                assert!(count > 0);
                store.sync().expect("a full store syncs");
                let mut numbers: Vec<_> = (1..=count).collect();
                match order {
                    0 => {}
                    1 => numbers.sort_by_key(|at| (at % 7, *at)),
                    _ => {
                        let mut chance = Chance::new(segments);
                        numbers.sort_by_cached_key(|_| chance.next());
                    }
                }
                for at in numbers {
                    forget_patiently(&mut store, at);
                    assert!(store.disk_bytes() <= options.limit_bytes);
                }
                tidy_all(&mut store);
                store.close().expect("it closes");
                assert!(disk.segments().len() <= 2, "{segments} {length} {order}: {:?}", disk.segments());
                let (mut store, recovery) = Store::open(disk, &options).expect("it opens");
                assert!(recovery.records.is_empty() && recovery.damaged.is_empty(), "{recovery:?}");
                let highest = store.highest().get();
                assert_eq!(highest, count, "numbers are not used twice");
                put(&mut store, highest + 1, &body(1, length));
            }
        }
    }
}

#[test]
fn a_store_says_that_it_is_nearly_full_while_there_is_room_to_end_what_was_begun() {
    for segments in [6, 16] {
        let disk = FakeDisk::new();
        let (mut store, _) = Store::open(disk, &options(segments)).expect("it opens");
        let mut count = 0;
        while store.has_room() {
            count += 1;
            put(&mut store, count, &body(count, 1000));
        }
        assert!(count > 5, "there was room for {count}");
        // Each end writes something of its own before what it ends is forgotten.
        let mut ends = 0;
        for at in 1..=count {
            let end = number(count + at);
            let both = Transaction::new().put(end, body(at, 100)).forget(number(at));
            ends += u64::from(store.append(both).is_ok());
        }
        assert_eq!(ends, count, "not all that was begun could be ended");
        for at in 1..=count {
            forget_patiently(&mut store, count + at);
        }
        tidy_all(&mut store);
        assert!(store.has_room(), "it is empty");
    }
}

#[test]
fn a_full_disk_gives_up_its_spare_segments_one_by_one_and_makes_them_anew_when_there_is_room() {
    let disk = FakeDisk::new();
    let (mut store, _) = open(disk.clone());
    store.keep_spares().expect("there is room");
    disk.fail(Fault::NoSpace);
    let mut count = 0;
    while store.append(Transaction::new().put(number(count + 1), body(count + 1, 1000))).is_ok() {
        count += 1;
        store.sync().expect("it syncs");
        assert_eq!(store.has_room(), disk.segments().len() == 1, "with the first spare in use nothing new is begun");
    }
    assert_eq!(disk.segments().len(), 1 + proto::limits::JOURNAL_SPARE_SEGMENTS);
    store.keep_spares().expect("a full disk is no failure");
    assert!(!store.has_room());
    disk.mend();
    store.keep_spares().expect("there is room");
    assert!(store.has_room());
    drop(store);
    disk.crash(5);
    let (store, recovery) = open(disk);
    assert_eq!(recovery.records.len() as u64, count, "what went into a spare segment is as durable");
    assert_eq!(store.load(number(count)).expect("it lives"), body(count, 1000));
}

#[test]
fn a_full_store_takes_more_once_something_was_forgotten_and_tidied() {
    let disk = FakeDisk::new();
    let (mut store, _) = Store::open(disk, &options(6)).expect("it opens");
    let count = fill(&mut store, 1000);
    for at in 1..=count / 2 {
        forget_patiently(&mut store, at);
    }
    tidy_all(&mut store);
    for at in 1..=count / 4 {
        put(&mut store, count + at, &body(at, 1000));
    }
    for at in count / 2 + 1..=count {
        assert_eq!(store.load(number(at)).expect("it lives"), body(at, 1000));
    }
}

#[test]
fn a_limit_that_was_lowered_still_lets_the_store_be_emptied() {
    let disk = FakeDisk::new();
    let (mut store, _) = Store::open(disk.clone(), &options(12)).expect("it opens");
    let count = fill(&mut store, 1000);
    store.close().expect("it closes");
    let (mut store, _) = Store::open(disk.clone(), &options(4)).expect("it opens");
    let put = store.append(Transaction::new().put(number(count + 1), b"more".to_vec()));
    assert!(matches!(put, Err(StoreError::Full { .. })));
    for at in 1..=count {
        forget_patiently(&mut store, at);
    }
    tidy_all(&mut store);
    assert!(disk.segments().len() <= 2);
}

#[test]
fn a_forget_outlives_every_older_copy_of_its_number() {
    let disk = FakeDisk::new();
    let (mut store, _) = open(disk.clone());
    // The first segment stays, because much of it lives; number 1 is a dead put in it.
    for at in 1..=11 {
        put(&mut store, at, &body(at, 1000));
    }
    let mut next = 12;
    let segment_of_forget = |disk: &FakeDisk| disk.segments().len();
    while segment_of_forget(&disk) == 1 {
        put(&mut store, next, &body(next, 1000));
        next += 1;
    }
    forget(&mut store, 1);
    // The forget's own segment, and others behind it, become mostly dead and are tidied away.
    for _ in 0..60 {
        put(&mut store, next, &body(next, 1000));
        forget(&mut store, next);
        next += 1;
    }
    let before = disk.segments();
    let removed = store.tidy(usize::MAX).expect("it tidies").removed;
    assert!(removed >= 4, "only {removed}");
    let after = disk.segments();
    assert!(after.contains(&before[0]), "the put of 1 still lies there");
    assert!(!after.contains(&before[1]), "the first forget of it has gone");
    drop(store);
    disk.crash(1);
    let (store, recovery) = open(disk);
    assert!(!recovery.records.contains(&number(1)), "it came back");
    assert_eq!(store.load(number(2)).expect("it lives"), body(2, 1000));
}

#[test]
fn a_segment_goes_only_after_what_replaces_it_is_durable() {
    for seed in 0..50 {
        let disk = FakeDisk::new();
        let (mut store, _) = open(disk.clone());
        for at in 1..=10 {
            put(&mut store, at, &body(at, 1000));
        }
        store.sync().expect("it syncs");
        for at in 11..=20 {
            put(&mut store, at, &body(at, 1000));
        }
        // One transaction, not synced by us: 1 to 8 go, 21 comes in their place.
        let mut replace = Transaction::new().put(number(21), body(21, 10));
        for at in 1..=8 {
            replace = replace.forget(number(at));
        }
        store.append(replace).expect("there is room");
        assert!(store.tidy(usize::MAX).expect("it tidies").removed > 0);
        drop(store);
        disk.crash(seed);
        let (store, _) = open(disk);
        for at in [9, 10, 21] {
            store.load(number(at)).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
    }
}

#[test]
fn each_call_to_tidy_does_a_bounded_piece_of_work() {
    let disk = FakeDisk::new();
    let (mut store, _) = open(disk);
    for at in 1..=100 {
        put(&mut store, at, &body(at, 200));
    }
    for at in (1..=100).filter(|at| at % 5 != 0) {
        forget(&mut store, at);
    }
    let mut calls = 0;
    loop {
        let tidied = store.tidy(700).expect("it tidies");
        assert!(tidied.copied <= 700, "{tidied:?}");
        calls += 1;
        if !tidied.more {
            break;
        }
    }
    assert!(calls > 3, "only {calls}");
    for at in (5..=100).step_by(5) {
        assert_eq!(store.load(number(at)).expect("it lives"), body(at, 200));
    }
}

#[test]
fn stale_bytes_of_an_older_segment_do_not_come_back() {
    let disk = FakeDisk::new();
    let (mut store, _) = open(disk.clone());
    for at in 1..=20 {
        put(&mut store, at, &body(at, 500));
    }
    store.sync().expect("it syncs");
    let old = disk.segments()[0];
    let stale = disk.bytes(old);
    for at in 1..=20 {
        forget(&mut store, at);
    }
    for at in 21..=30 {
        put(&mut store, at, &body(at, 500));
    }
    tidy_all(&mut store);
    assert!(!disk.segments().contains(&old));
    store.sync().expect("it syncs");
    drop(store);
    // As if the new segment had been made in the old one's place without zeroing it.
    let new = *disk.segments().last().expect("a segment");
    let tail = disk.bytes(new).iter().rposition(|byte| *byte != 0).expect("records").next_multiple_of(64);
    for (at, stale) in stale.iter().enumerate().skip(tail) {
        disk.change(new, at, |byte| *byte = *stale);
    }
    let (store, recovery) = open(disk.clone());
    let living: Vec<_> = (21..=30).map(number).collect();
    assert_eq!(recovery.records, living);
    assert!(recovery.damaged.is_empty(), "{recovery:?}");
    drop(store);
    assert!(disk.bytes(new)[tail + 64..].iter().all(|byte| *byte == 0), "they are wiped");
}
