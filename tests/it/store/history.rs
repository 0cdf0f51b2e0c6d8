//! Random lives of a store, judged by the model. A failing seed is printed.

use std::panic::AssertUnwindSafe;

use store::{Options, Recovery, Store, StoreError};

use super::disk::{Chance, FakeDisk, Fault};
use super::model::Model;
use super::options;

const HISTORIES: u64 = 3000;
const STEPS: u64 = 120;

#[test]
fn a_store_holds_what_was_synced_and_a_first_part_of_the_rest_through_any_crash() {
    let mut lives = Lives::default();
    for seed in 0..HISTORIES {
        let lived = std::panic::catch_unwind(AssertUnwindSafe(|| live(seed, &mut lives)));
        assert!(lived.is_ok(), "the seed was {seed}");
    }
    assert!(
        lives.crashes > 1000
            && lives.deaths > 500
            && lives.deaths_in_recovery > 500
            && lives.removed > 1000
            && lives.full > 100,
        "{lives:?}"
    );
    assert!(lives.torn > 500 && lives.dropped > 50, "{lives:?}");
}

/// That what should be tried was tried.
#[derive(Default, Debug)]
struct Lives {
    crashes: u64,
    kills: u64,
    closes: u64,
    deaths: u64,
    deaths_in_recovery: u64,
    removed: usize,
    full: u64,
    torn: u64,
    dropped: u64,
}

fn live(seed: u64, lives: &mut Lives) {
    let mut chance = Chance::new(seed);
    let disk = FakeDisk::new();
    let options = options(4 + chance.below(5));
    let mut model = Model { hoards: chance.below(2) == 0, ..Model::default() };
    let (mut store, _) = Store::open(disk.clone(), &options).expect("it is made");
    for _ in 0..STEPS {
        let result = match chance.below(40) {
            0..=25 => model.append(&mut store, &mut chance),
            26..=31 => store.sync().map(|_| model.synced()),
            32..=35 => store.tidy(chance.index(8000)).map(|tidied| {
                assert!(tidied.lost.is_empty(), "{tidied:?}");
                lives.removed += tidied.removed;
            }),
            36 if !disk.fired() => {
                disk.fail(Fault::Death(chance.below(12)));
                Ok(())
            }
            _ => {
                let clean = stop(store, &disk, &mut model, &mut chance, lives);
                let (recovery, is_first);
                (store, recovery, is_first) = reopen(&disk, &options, &mut chance, lives);
                lives.torn += u64::from(recovery.torn_tail.is_some());
                lives.dropped += recovery.torn_tail.map_or(0, |torn| torn.dropped);
                assert!(recovery.clean == clean || !is_first && !recovery.clean);
                assert!(!recovery.clean || recovery.torn_tail.is_none());
                model.judge(&store, &recovery);
                Ok(())
            }
        };
        match result {
            Ok(()) => {}
            Err(StoreError::Full { .. }) => {
                lives.full += 1;
                let _ = store.tidy(usize::MAX);
            }
            Err(StoreError::Failed { .. } | StoreError::Poisoned) => assert!(disk.fired()),
            Err(error) => panic!("{error}"),
        }
        assert!(store.disk_bytes() <= options.limit_bytes);
    }
}

/// Whether the stop was clean.
fn stop(store: Store<FakeDisk>, disk: &FakeDisk, model: &mut Model, chance: &mut Chance, lives: &mut Lives) -> bool {
    let dead = disk.fired();
    lives.deaths += u64::from(dead);
    match chance.below(4) {
        0 if !dead => {
            disk.mend();
            store.close().expect("it closes");
            model.synced();
            lives.closes += 1;
            if chance.below(2) == 0 {
                disk.crash(chance.next());
            }
            true
        }
        // The process goes, the machine stays.
        1 => {
            drop(store);
            disk.mend();
            lives.kills += 1;
            false
        }
        _ => {
            drop(store);
            disk.crash(chance.next());
            lives.crashes += 1;
            false
        }
    }
}

/// Recovery, too, may be cut short, and begun again. The last says whether it was not.
fn reopen(
    disk: &FakeDisk,
    options: &Options,
    chance: &mut Chance,
    lives: &mut Lives,
) -> (Store<FakeDisk>, Recovery, bool) {
    let mut is_first = true;
    while chance.below(3) == 0 {
        disk.fail(Fault::Death(chance.below(8)));
        let opened = Store::open(disk.clone(), options);
        lives.deaths_in_recovery += u64::from(opened.is_err());
        is_first = false;
        drop(opened);
        disk.crash(chance.next());
    }
    disk.mend();
    let (store, recovery) = Store::open(disk.clone(), options).expect("it opens");
    (store, recovery, is_first)
}
