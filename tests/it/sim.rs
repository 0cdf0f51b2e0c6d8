//! The delivery contract, on the real core in a simulated world: thousands of seeded lives, and the proof that each
//! rule of the contract is watched.
//!
//! `AICP_SEEDS` says how many lives, `AICP_SEED` which one alone; `docs/SIMULATION.md` has the rest.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use mesh::Rule;
use sim::{BY_HAND, Report, Shape, Spread, Tally, hunt, live};

/// Lives by default, of some 3,000 events each.
const SEEDS: u64 = 10_000;
/// One in so many is lived twice.
const TWICE: u64 = 10;
const THREADS: u64 = 2;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn thousands_of_seeded_lives_keep_every_promise_and_repeat_exactly() {
    if let Some(seed) = number("AICP_SEED") {
        let report = live(seed, &Shape::of_seed(seed), None, true);
        assert!(report.faults.is_empty(), "{}", in_words(&report));
        return;
    }
    let seeds = number("AICP_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let tried = thread::scope(|scope| {
        let lives: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| lives(&next, seeds))).collect();
        lives.into_iter().map(|life| life.join().expect("no life panics")).collect::<Vec<_>>()
    });
    let all: Vec<Tally> = tried.into_iter().flatten().collect();
    if seeds >= SEEDS {
        assert_tried(&all);
    }
}

fn lives(next: &AtomicU64, seeds: u64) -> Vec<Tally> {
    let mut tallies = Vec::new();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= seeds {
            return tallies;
        }
        let shape = Shape::of_seed(seed);
        let report = live(seed, &shape, None, false);
        if !report.faults.is_empty() {
            next.store(seeds, Ordering::Relaxed);
            panic!("{}", in_words(&live(seed, &shape, None, true)));
        }
        if seed.is_multiple_of(TWICE) {
            let again = live(seed, &shape, None, false);
            assert_eq!(again.trace, report.trace, "seed {seed} does not repeat itself");
        }
        tallies.push(report.tally);
    }
}

/// What was broken, what happened to the message, and how to see it again.
fn in_words(report: &Report) -> String {
    let mut words = format!("seed {} ({}):\n", report.seed, report.shape);
    for line in report.history() {
        let _ = writeln!(words, "{line}");
    }
    for fault in &report.faults {
        let _ = writeln!(words, "{fault}");
    }
    let _ = write!(words, "again: AICP_SEED={} cargo test -p aicp-tests --test it seeded_lives", report.seed);
    words
}

/// A test that tries nothing finds nothing.
fn assert_tried(all: &[Tally]) {
    let sum = |of: fn(&Tally) -> u64| all.iter().map(of).sum::<u64>();
    let counts = [
        ("accepted", sum(|t| t.accepted), 250_000),
        ("handled", sum(|t| t.handled), 250_000),
        ("ended", sum(|t| t.ended), 100_000),
        ("marked", sum(|t| t.marked), 20_000),
        ("renumbered", sum(|t| t.renumbered), 400),
        ("once", sum(|t| t.once), 20_000),
        ("declined", sum(|t| t.declined), 200),
        ("unfit", sum(|t| t.unfit), 1200),
        ("refused for good", sum(|t| t.refused), 4000),
        ("crashes", sum(|t| t.crashes), 8000),
        ("kills", sum(|t| t.kills), 4000),
        ("stops", sum(|t| t.stops), 4000),
        ("stores lost", sum(|t| t.stores_lost), 800),
        ("rollbacks", sum(|t| t.rollbacks), 2000),
        ("take-overs", sum(|t| t.takeovers), 4000),
        ("strangers", sum(|t| t.strangers), 800),
        ("rots", sum(|t| t.rots), 200),
        ("unreadable", sum(|t| t.unreadable), 20),
        ("cuts", sum(|t| t.cuts), 4000),
        ("old prekeys", sum(|t| t.old_prekeys), 10_000),
        ("late frames", sum(|t| t.late_frames), 8000),
        ("dead letters", sum(|t| t.dead), 5000),
        ("jumps of a clock", sum(|t| t.jumps), 2000),
        ("full disks", sum(|t| t.full), 1000),
        ("nodes that join a mesh", sum(|t| t.joins), 3000),
        ("nodes that are revoked", sum(|t| t.revoked), 300),
    ];
    for (what, count, least) in counts {
        assert!(count >= least, "{what}: {count} only, of {counts:?}");
    }
}

#[test]
fn schedules_by_hand_keep_every_promise() {
    for schedule in BY_HAND {
        for seed in 0..schedule.seeds {
            let world = schedule.run(seed, None);
            assert!(world.faults().is_empty(), "{}, seed {seed}: {:#?}", schedule.name, world.faults());
        }
    }
}

/// Whoever joins through one node is known to all in a second. Each of the others hears its record once, and once more
/// when it says whom it is linked with; nothing else goes round but what the others say of the same.
#[test]
fn a_new_node_is_known_to_all_with_a_few_messages_for_each() {
    for nodes in [2, 10, 50] {
        let spread = Spread::of(1, nodes);
        if number("AICP_SPREAD").is_some() {
            println!("{spread:?}");
        }
        let others = nodes as u64 - 1;
        let most = 1_000_000_000;
        assert!(spread.known_after < most && spread.knows_after < most, "{spread:?}");
        assert!(spread.own <= 6 * others, "{spread:?}");
        assert!(spread.all <= 6 * others * (others + 1), "{spread:?}");
    }
}

#[test]
fn a_rule_that_is_left_out_is_missed() {
    let missed = thread::scope(|scope| {
        let halves = Rule::ALL.chunks(Rule::ALL.len().div_ceil(2));
        let hunts: Vec<_> = halves.map(|rules| scope.spawn(move || not_found(rules))).collect();
        hunts.into_iter().flat_map(|hunt| hunt.join().expect("no hunt panics")).collect::<Vec<_>>()
    });
    assert!(missed.is_empty(), "nothing breaks without {missed:?}");
}

fn not_found(rules: &[Rule]) -> Vec<Rule> {
    let print = number("AICP_RULES").is_some();
    let mut missed = Vec::new();
    for rule in rules {
        match hunt(*rule, 0) {
            #[expect(clippy::print_stdout, reason = "whoever asks for it wants to read it")]
            Some(found) if print => println!("{rule:?}: {:?}: {}", found.finder, found.fault),
            Some(_) => {}
            None => missed.push(*rule),
        }
    }
    missed
}
