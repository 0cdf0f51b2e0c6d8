//! One bad byte costs at most the record it hit; it is reported; no record is ever altered.

use std::collections::BTreeMap;
use std::path::Path;

use store::record::{self, Binding, Numbers};
use store::scan;
use store::transaction::Item;
use store::{Disk, Harm, Recovery, SegmentNumber, Store, StoreError, Transaction};

use super::disk::{Chance, FakeDisk};
use super::{SEGMENT_BYTES, body, file_disk, forget, number, open, put};

const FLIPS: usize = 200;
const TRUNCATIONS: usize = 200;

/// A store over several segments, with forgets and with records that were copied. Gives what must be found.
fn fill<D: Disk>(store: &mut Store<D>) -> BTreeMap<u64, Vec<u8>> {
    let mut held = BTreeMap::new();
    for at in 1..=90 {
        let bytes = body(at, 100 + usize::try_from(at).expect("small") * 7);
        put(store, at, &bytes);
        held.insert(at, bytes);
        if at % 3 == 0 {
            store.sync().expect("it syncs");
        }
    }
    for at in (1..=40).filter(|at| at % 4 != 0) {
        forget(store, at);
        held.remove(&at);
    }
    store.tidy(2000).expect("it tidies");
    let both = Transaction::new().put(number(91), body(91, 50)).put(number(92), body(92, 50));
    store.append(both).expect("there is room");
    held.extend([(91, body(91, 50)), (92, body(92, 50))]);
    store.sync().expect("it syncs");
    held
}

/// What is there is unaltered. Gives what is lost.
fn lost<D: Disk>(store: &Store<D>, held: &BTreeMap<u64, Vec<u8>>) -> Vec<u64> {
    let mut lost = Vec::new();
    for (at, bytes) in held {
        match store.load(number(*at)) {
            Ok(found) => assert_eq!(found, bytes, "record {at} was altered"),
            Err(StoreError::Unknown { .. }) => lost.push(*at),
            Err(error) => panic!("record {at}: {error}"),
        }
    }
    lost
}

fn check_flip<D: Disk>(store: &Store<D>, recovery: &Recovery, held: &BTreeMap<u64, Vec<u8>>, place: &str) {
    let lost = lost(store, held);
    // A header or a table holds a whole transaction, and one of these has two records.
    assert!(lost.len() <= 1 || lost == [91, 92], "{place}: lost {lost:?}");
    let forgotten = recovery.records.iter().filter(|at| !held.contains_key(&at.get())).count();
    assert!(forgotten <= 1 && forgotten + lost.len() <= 2, "{place}: {forgotten} came back");
    if lost.len() + forgotten > 0 {
        assert_eq!(recovery.damaged.len(), 1, "{place}: {recovery:?}");
    }
    let named = recovery.damaged.iter().filter_map(|damage| match &damage.harm {
        Harm::Transactions { lost, .. } => Some(lost.iter().map(|number| number.get())),
        Harm::Header | Harm::Truncated => None,
    });
    for named in named.flatten() {
        assert!(lost.contains(&named) || !held.contains_key(&named) || store.load(number(named)).is_ok());
    }
}

#[test]
fn one_flipped_byte_costs_at_most_the_record_it_hit() {
    let mut chance = Chance::new(1);
    let mut losses = 0;
    for closes in [true, false] {
        let disk = FakeDisk::new();
        let (mut store, _) = open(disk.clone());
        let held = fill(&mut store);
        if closes {
            store.close().expect("it closes");
        } else {
            drop(store);
        }
        for _ in 0..FLIPS {
            let disk = disk.copy();
            let segments = disk.segments();
            let segment = segments[chance.index(segments.len())];
            let at = chance.index(SEGMENT_BYTES);
            let bit = 1 << chance.below(8);
            disk.change(segment, at, |byte| *byte ^= bit);
            let (store, recovery) = open(disk);
            check_flip(&store, &recovery, &held, &format!("segment {segment}, byte {at}"));
            losses += lost(&store, &held).len();
        }
    }
    assert!(losses > 100, "only {losses} flips hit a record");
}

#[test]
fn one_flipped_byte_in_real_files_costs_at_most_the_record_it_hit() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut store, _) = open(file_disk(folder.path()));
    let held = fill(&mut store);
    drop(store);
    let files = files(folder.path());
    let mut chance = Chance::new(2);
    for _ in 0..FLIPS {
        let (name, bytes) = &files[chance.index(files.len())];
        let at = chance.index(bytes.len());
        let mut changed = bytes.clone();
        changed[at] ^= 1 << chance.below(8);
        restore(folder.path(), &files);
        std::fs::write(folder.path().join(name), changed).expect("a file");
        let (store, recovery) = open(file_disk(folder.path()));
        check_flip(&store, &recovery, &held, &format!("{name}, byte {at}"));
    }
}

/// Whatever lies wholly before the cut, or in another segment, is there.
fn check_cut<D: Disk>(
    (store, recovery): (Store<D>, Recovery),
    whole: &[u8],
    segment: SegmentNumber,
    cut: usize,
    held: &BTreeMap<u64, Vec<u8>>,
) {
    let binding = Binding { store: store.id(), segment };
    let mut reachable = held.clone();
    for found in scan::scan(whole, &binding).into_iter().filter(|found| found.end > cut) {
        for entry in found.entries.expect("undamaged") {
            if let record::Entry::Put(at, _) = entry {
                reachable.remove(&at.get());
            }
        }
    }
    let lost = lost(&store, held);
    assert!(lost.iter().all(|at| !reachable.contains_key(at)), "segment {segment} cut at {cut}: lost {lost:?}");
    let reported = recovery.damaged.iter().any(|damage| damage.harm == Harm::Truncated && damage.segment == segment);
    assert!(reported, "segment {segment} cut at {cut}: {recovery:?}");
}

#[test]
fn a_truncated_segment_loses_what_was_cut_and_nothing_else() {
    let disk = FakeDisk::new();
    let (mut store, _) = open(disk.clone());
    let held = fill(&mut store);
    drop(store);
    let mut chance = Chance::new(3);
    for _ in 0..TRUNCATIONS {
        let disk = disk.copy();
        let segments = disk.segments();
        let segment = segments[chance.index(segments.len())];
        let whole = disk.bytes(segment);
        let cut = 64 + chance.index(SEGMENT_BYTES - 64);
        disk.truncate(segment, cut);
        check_cut(open(disk.clone()), &whole, segment, cut, &held);
        let is_newest = segments.last() == Some(&segment);
        assert!(!is_newest || disk.bytes(segment).len() == SEGMENT_BYTES, "it goes on in zeros, not behind the end");
    }
}

#[test]
fn a_truncated_file_loses_what_was_cut_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut store, _) = open(file_disk(folder.path()));
    let held = fill(&mut store);
    store.close().expect("it closes");
    let files = files(folder.path());
    let mut chance = Chance::new(4);
    for _ in 0..TRUNCATIONS {
        let (name, bytes) = &files[chance.index(files.len())];
        let number = u64::from_str_radix(&name[..16], 16).expect("a number");
        let cut = 64 + chance.index(SEGMENT_BYTES - 64);
        restore(folder.path(), &files);
        std::fs::write(folder.path().join(name), &bytes[..cut]).expect("a file");
        let opened = open(file_disk(folder.path()));
        check_cut(opened, bytes, SegmentNumber::new(number), cut, &held);
    }
}

#[test]
fn a_store_goes_on_behind_damage_and_loses_it_by_tidying() {
    let disk = FakeDisk::new();
    let (mut store, _) = open(disk.clone());
    let mut held = fill(&mut store);
    drop(store);
    let segment = disk.segments()[1];
    disk.change(segment, 4096 + 64 + 16 + 40, |byte| *byte ^= 1);
    let (mut store, recovery) = open(disk.clone());
    assert_eq!(recovery.damaged.len(), 1, "{recovery:?}");
    for at in lost(&store, &held) {
        held.remove(&at);
    }
    put(&mut store, 93, &body(93, 500));
    held.insert(93, body(93, 500));
    super::tidy_all(&mut store);
    store.close().expect("it closes");
    let (store, recovery) = open(disk);
    assert!(recovery.damaged.is_empty(), "{recovery:?}");
    assert!(lost(&store, &held).is_empty());
}

#[test]
fn damage_that_appears_while_the_store_is_open_is_never_shown_and_never_copied() {
    let disk = FakeDisk::new();
    let (mut store, _) = open(disk.clone());
    put(&mut store, 1, &body(1, 1000));
    put(&mut store, 2, &body(2, 1000));
    store.sync().expect("it syncs");
    disk.change(disk.segments()[0], 4096 + 64 + 16 + 500, |byte| *byte ^= 4);
    assert!(matches!(store.load(number(1)), Err(StoreError::Damaged { .. })));
    assert_eq!(store.load(number(2)).expect("untouched"), body(2, 1000));
    for at in 3..=16 {
        put(&mut store, at, &body(at, 1000));
        forget(&mut store, at);
    }
    let mut lost = Vec::new();
    loop {
        let tidied = store.tidy(1 << 20).expect("it tidies");
        lost.extend(tidied.lost);
        if !tidied.more {
            break;
        }
    }
    assert_eq!(lost, [number(1)]);
    assert_eq!(store.load(number(2)).expect("copied"), body(2, 1000));
    drop(store);
    let (_, recovery) = open(disk);
    assert_eq!(recovery.records, [number(2)]);
}

#[test]
fn a_record_is_good_in_its_own_place_and_nowhere_else() {
    let binding = Binding { store: [7; 16], segment: SegmentNumber::new(3) };
    let numbers = Numbers { sequence: 1, synced: 0, highest: 1 };
    let mut bytes = vec![0; 4096];
    record::encode(&mut bytes, &binding, 4096, numbers, &[Item::Put(number(1), body(1, 100).into())]);
    assert_eq!(scan::scan(&bytes, &binding).len(), 1);
    assert!(scan::scan(&bytes, &Binding { segment: SegmentNumber::new(4), ..binding }).is_empty());
    assert!(scan::scan(&bytes, &Binding { store: [8; 16], ..binding }).is_empty());
    bytes.splice(0..0, [0; 64]);
    assert!(scan::scan(&bytes, &binding).is_empty());
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_str().expect("text").to_owned();
        if name.ends_with(".segment") {
            files.push((name, std::fs::read(path).expect("a file")));
        }
    }
    files.sort();
    files
}

/// Opening may have written and tidied nothing away, so that all names are still there.
fn restore(folder: &Path, files: &[(String, Vec<u8>)]) {
    for (name, _) in self::files(folder) {
        std::fs::remove_file(folder.join(name)).expect("removed");
    }
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).expect("a file");
    }
}
