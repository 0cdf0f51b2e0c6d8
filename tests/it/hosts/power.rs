//! The power is cut at random moments, and what was not synced is gone. What was accepted is not.

use std::time::Duration;

use client::{ClientError, ErrorCode};
use referee::fuse::{Chance, can_mount};
use referee::hosts::env_number;

use super::machine::Machine;
use super::traffic::Traffic;

#[test]
fn a_power_cut_loses_nothing_that_was_accepted_and_doubles_nothing_unmarked() {
    if !can_mount() {
        return;
    }
    let cuts = env_number("AICP_CUTS", 6);
    let seed = env_number("AICP_SEED", u64::from(std::process::id()));
    println!("seed {seed}");
    let mut chance = Chance::new(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let (mut alpha, mut beta) = Machine::two(folder.path(), &mut chance);
    let traffic = Traffic::start(&[(&alpha.host, &beta.host), (&beta.host, &alpha.host)], 4, 500);
    for _ in 0..cuts {
        // A cut of a machine at rest shows nothing.
        traffic.await_accepted(1);
        std::thread::sleep(Duration::from_millis(chance.below(500)));
        let whose = chance.below(3);
        for (at, machine) in [&mut alpha, &mut beta].into_iter().enumerate() {
            if whose != at as u64 {
                machine.cut(&mut chance);
            }
        }
        for machine in [&mut alpha, &mut beta] {
            if machine.host.process().is_none() {
                machine.host.start();
            }
        }
    }
    let ledger = traffic.finish(&[&alpha.host, &beta.host]);
    let repeats = ledger.judge();
    let has_another_cause = |error: &ClientError| !matches!(error, ClientError::Refused { code: ErrorCode::FULL, .. });
    let refused = ledger.refused.iter().find(|(_, error)| has_another_cause(error));
    assert!(refused.is_none(), "whoever is too fast may hear so, and nothing else is refused: {refused:?}");
    let at_stake = alpha.at_stake + beta.at_stake;
    assert!(at_stake as u64 >= cuts / 2, "only {at_stake} sectors and names were not synced at {cuts} cuts");
    println!("{cuts} cuts, {} messages, {repeats} came again, {at_stake} sectors at stake", ledger.accepted.len());
}
