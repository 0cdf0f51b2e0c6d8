//! The disk fails, fills up, or changes what lies on it. Nothing that was accepted is lost without a word, nothing that
//! failed was accepted, and no message comes altered.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use client::{Agent, ClientError, ErrorCode, Incoming, Stage};
use referee::fuse::{Chance, Fault, Image, can_mount};
use referee::hosts::{env_number, until};
use store::SegmentNumber;
use store::record::Binding;

use super::machine::Machine;
use super::traffic::Traffic;

const WAITING: u64 = 200;

fn seeded() -> Chance {
    let seed = env_number("AICP_SEED", u64::from(std::process::id()));
    #[expect(clippy::print_stdout, reason = "whoever runs it again wants the seed")]
    let () = println!("seed {seed}");
    Chance::new(seed)
}

fn body(number: u64) -> String {
    let length = 20 + usize::try_from(number % 37).expect("small") * 40;
    format!("{number} ").chars().chain("the words of one message ".chars().cycle().take(length)).collect()
}

/// Lets one agent write to another that is away.
fn leave_messages(machine: &Machine) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let attach = |name: &str| Agent::attach(name).socket(machine.host.socket());
        attach("sleeper").await.expect("attached").detach().await.expect("detached");
        let me = attach("writer").await.expect("attached");
        for number in 0..WAITING {
            let sent = me.send("sleeper@alpha", "note", body(number)).until(Stage::Accepted).await;
            sent.expect("accepted");
        }
    });
}

/// Takes what waits. Each body must be exactly what was written; gives how often each number came, and whether one was
/// not marked.
fn take_messages(machine: &Machine) -> (BTreeMap<u64, u32>, bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let me = Agent::attach("sleeper").socket(machine.host.socket()).await.expect("attached");
        let (mut came, mut is_unmarked) = (BTreeMap::new(), false);
        // Nothing is acknowledged, so what came is counted as waiting too.
        while came.len() < usize::try_from(machine.waiting("sleeper")).expect("small") {
            while let Ok(incoming) = tokio::time::timeout(Duration::from_millis(50), me.recv()).await {
                let Incoming::Delivery(delivery) = incoming.expect("connected") else { continue };
                let text = delivery.text().expect("text").to_owned();
                let number = text.split(' ').next().expect("a word").parse().expect("a number");
                assert_eq!(text, body(number), "a message was altered");
                *came.entry(number).or_default() += 1;
                is_unmarked |= !delivery.is_marked();
            }
        }
        (came, is_unmarked)
    })
}

/// The only segment of a journal, and up to where there is something in it.
fn segment_of(image: &Image) -> (String, usize) {
    let mut files = image.files("store");
    files.retain(|(name, _)| name.ends_with(".segment"));
    let [(name, _)] = &files[..] else { panic!("one segment was expected: {files:?}") };
    let used = image.bytes(name).iter().rposition(|byte| *byte != 0).expect("it is not empty") + 1;
    (name.clone(), used)
}

/// Starts over a damaged copy of a journal, and takes what is left. Gives the messages that are missing.
fn lost_of(machine: &mut Machine, image: Image, chance: &mut Chance) -> Vec<u64> {
    machine.insert(image, chance);
    let said_before = machine.host.log().len();
    machine.host.start();
    let (came, is_unmarked) = take_messages(machine);
    machine.host.kill();
    drop(machine.eject());
    assert!(came.values().all(|times| *times == 1), "it came more than once: {came:?}");
    let lost: Vec<u64> = (0..WAITING).filter(|number| !came.contains_key(number)).collect();
    let log = machine.host.log();
    let is_reported = log[said_before..].contains("the journal was damaged") || log[said_before..].contains("is lost");
    assert!(lost.is_empty() || is_reported, "{lost:?} are lost, and the log does not say so");
    assert!(lost.is_empty() || !is_unmarked, "{lost:?} are lost, and what is left is not marked");
    lost
}

fn filled(chance: &mut Chance) -> (tempfile::TempDir, Machine, Image) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut machine = Machine::make(folder.path(), "alpha", chance);
    machine.host.configure(&[]);
    machine.host.start();
    leave_messages(&machine);
    assert!(machine.host.stop().success());
    let image = machine.eject();
    (folder, machine, image)
}

#[test]
fn one_flipped_byte_costs_at_most_one_message_and_alters_none() {
    if !can_mount() {
        return;
    }
    let mut chance = seeded();
    let (_folder, mut machine, image) = filled(&mut chance);
    let (name, used) = segment_of(&image);
    let flips = env_number("AICP_FLIPS", 5);
    let mut costs = 0;
    for _ in 0..flips {
        let mut hurt = image.clone();
        let (at, bit) = (chance.index(used), 1 << chance.below(8));
        hurt.rot(&name, |bytes| bytes[at] ^= bit);
        let lost = lost_of(&mut machine, hurt, &mut chance);
        assert!(lost.len() <= 1, "byte {at}: {lost:?} are lost");
        costs += lost.len() as u64;
    }
    // Nine bytes in ten lie in a message.
    assert!(costs > flips / 2, "only {costs} of {flips} flips hit a message");
    println!("{flips} flips, {costs} messages lost and reported, none altered");
}

#[test]
fn a_truncated_journal_loses_what_was_cut_off_and_alters_nothing() {
    if !can_mount() {
        return;
    }
    let mut chance = seeded();
    let (_folder, mut machine, image) = filled(&mut chance);
    let (name, used) = segment_of(&image);
    let whole = image.bytes(&name).to_vec();
    let store::segment::HeaderFound::Good { header, .. } = store::segment::decode(&whole, SegmentNumber::new(1)) else {
        panic!("the first segment has a header")
    };
    let records = store::scan::scan(&whole, &Binding { store: header.store, segment: header.segment });
    let cuts = env_number("AICP_TRUNCATIONS", 5);
    let mut costs = 0;
    for _ in 0..cuts {
        let cut = 64 + chance.index(used - 64);
        let mut hurt = image.clone();
        hurt.rot(&name, |bytes| bytes.truncate(cut));
        let lost = lost_of(&mut machine, hurt, &mut chance);
        let behind = records.iter().filter(|record| record.end > cut).count();
        assert!(lost.len() <= behind, "cut at {cut}: {} are lost, with {behind} records behind it", lost.len());
        let is_the_end = lost.first().is_none_or(|first| lost.len() as u64 == WAITING - first);
        assert!(is_the_end, "cut at {cut}: {lost:?} are lost, and not only what was written last");
        costs += lost.len();
    }
    assert!(costs > 0, "no cut hit a message");
    println!("{cuts} truncations, {costs} messages lost and reported, none altered");
}

#[test]
fn a_failed_sync_or_write_ends_the_daemon_and_costs_nothing_that_was_accepted() {
    if !can_mount() {
        return;
    }
    let mut chance = seeded();
    let folder = tempfile::tempdir().expect("a folder");
    let (mut alpha, mut beta) = Machine::two(folder.path(), &mut chance);
    let traffic = Traffic::start(&[(&alpha.host, &beta.host), (&beta.host, &alpha.host)], 3, 500);
    let mut fired = 0;
    for _ in 0..env_number("AICP_FAULTS", 1) {
        for (fault, percent) in
            [Fault::Sync, Fault::Write].into_iter().flat_map(|fault| [1, 10, 100].map(|p| (fault, p)))
        {
            traffic.await_accepted(20);
            let machine = if chance.below(2) == 0 { &mut alpha } else { &mut beta };
            let said_before = machine.host.log().len();
            machine.disk().fail(fault, percent);
            let status = machine.host.ended();
            assert!(!status.success(), "{fault:?} {percent} %: it ended as if all were well");
            // The door opens a moment before the journal does, so that may be what fails.
            let log = machine.host.log();
            let says_why = ["aicpd: the journal cannot go on", "aicpd: the journal in"];
            let is_said = says_why.iter().any(|why| log[said_before..].contains(why));
            assert!(is_said, "{fault:?} {percent} %: it does not say why");
            fired += machine.disk().fired(fault);
            // What the failed sync did not write is gone.
            machine.cut(&mut chance);
            machine.host.start();
        }
    }
    let ledger = traffic.finish(&[&alpha.host, &beta.host]);
    let repeats = ledger.judge();
    assert!(fired >= 6, "only {fired} faults");
    println!("{fired} faults, {} messages accepted, {repeats} came again, none lost", ledger.accepted.len());
}

#[test]
fn an_agent_whose_key_could_not_be_kept_is_not_attached_and_one_that_was_keeps_its_key() {
    if !can_mount() {
        return;
    }
    let mut chance = seeded();
    let folder = tempfile::tempdir().expect("a folder");
    let mut machine = Machine::make(folder.path(), "alpha", &mut chance);
    machine.host.configure(&[]);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (mut fired, mut attached) = (0, BTreeMap::new());
    let id_of = |socket: std::path::PathBuf, name: &str| {
        let attaching = Agent::attach(name).socket(socket);
        runtime.block_on(async { attaching.await.map(|agent| agent.id()) })
    };
    for percent in [1, 10, 100] {
        machine.host.start();
        machine.disk().fail(Fault::Rename, percent);
        for at in 0..env_number("AICP_KEYS", 10) {
            let name = format!("agent-{percent}-{at}");
            if let Ok(id) = id_of(machine.host.socket(), &name) {
                attached.insert(name, id);
            }
        }
        fired += machine.disk().fired(Fault::Rename);
        machine.cut(&mut chance);
    }
    assert!(fired > 0 && !attached.is_empty(), "{fired} faults, {} attached", attached.len());
    machine.host.start();
    for (name, id) in &attached {
        let now = id_of(machine.host.socket(), name).expect("attached");
        assert_eq!(now, *id, "{name} is another agent now");
    }
    println!("{fired} keys were not kept and their agents told so; {} were, and are there", attached.len());
}

#[test]
fn a_full_disk_refuses_what_is_new_ends_what_was_begun_and_goes_on_when_there_is_room() {
    if !can_mount() {
        return;
    }
    let mut chance = seeded();
    let folder = tempfile::tempdir().expect("a folder");
    let (alpha, beta) = Machine::two(folder.path(), &mut chance);
    // Large enough that a segment is full within a moment.
    let traffic = Traffic::start(&[(&alpha.host, &beta.host), (&beta.host, &alpha.host)], 2, 100_000);
    traffic.await_accepted(20);
    alpha.disk().fill(true);
    let full_since = Instant::now();
    until("something new is refused", Duration::from_secs(30), || (!traffic.ledger().refused.is_empty()).then_some(()));
    assert!(alpha.disk().was_full() > 0, "the disk was not asked for room");
    let is_said_full = || alpha.host.status()["disk_full"].as_bool() == Some(true);
    assert!(is_said_full(), "status does not say so");
    // What was accepted before arrives all the same, and nothing more is accepted.
    let accepted: Vec<_> = {
        let ledger = traffic.ledger();
        ledger.accepted.iter().filter(|(writer, _)| writer.starts_with("writer-alpha")).cloned().collect()
    };
    until("what was accepted before has come", Duration::from_secs(30), || {
        let ledger = traffic.ledger();
        let came: std::collections::BTreeSet<_> = ledger.deliveries.iter().map(|(item, _)| item).collect();
        accepted.iter().all(|item| came.contains(item)).then_some(())
    });
    let long = Duration::from_secs(env_number("AICP_FULL_SECONDS", 3));
    std::thread::sleep(long.saturating_sub(full_since.elapsed()));
    assert!(alpha.host.process().is_some() && alpha.host.ctl(&["status"]).status.success(), "the daemon has ended");
    for (item, error) in &traffic.ledger().refused {
        // Those of beta hear it when beta keeps as much for alpha as one agent may have.
        let ClientError::Refused { code, retry_after_ms, .. } = error else { panic!("{item:?}: {error}") };
        assert!(*code == ErrorCode::FULL && *retry_after_ms > 0, "{item:?}: {error}, again in {retry_after_ms} ms");
    }
    let before = traffic.ledger().accepted.len();
    let refused = traffic.ledger().refused.len();
    alpha.disk().fill(false);
    let mended = Instant::now();
    until("new messages are taken again", Duration::from_secs(10), || {
        let ledger = traffic.ledger();
        ledger.accepted.iter().any(|item| item.0.starts_with("writer-alpha") && !accepted.contains(item)).then_some(())
    });
    let recovered = mended.elapsed();
    let ledger = traffic.finish(&[&alpha.host, &beta.host]);
    ledger.judge();
    assert!(!is_said_full(), "the disk has room, and status says otherwise");
    println!("full for {long:?}: {before} accepted before, {refused} refused, taken again after {recovered:?}");
}
