//! The daemons of a mesh are stopped and started one after the other, as an upgrade does it, while agents on all of them
//! write to each other.

use std::time::{Duration, Instant};

use referee::hosts::env_number;
use referee::members::{all_are_linked, mesh};

use super::kill3::{judge, populate, settle};

const NAMES: [&str; 5] = ["alpha", "beta", "gamma", "delta", "epsilon"];
/// Messages that all agents together submit in a second.
const RATE: u64 = 100;
/// For which agents write between two restarts.
const BETWEEN: Duration = Duration::from_millis(700);

#[test]
#[expect(clippy::disallowed_methods, reason = "a stop is timed by a real clock")]
fn five_nodes_are_restarted_one_after_the_other_and_nothing_is_lost() {
    let rounds = env_number("AICP_ROUNDS", 1);
    let folder = tempfile::tempdir().expect("a folder");
    let hosts = mesh(folder.path(), &NAMES);
    all_are_linked(&hosts);
    let mut sites = populate(folder.path(), hosts, RATE);
    let mut longest = Duration::ZERO;
    for _ in 0..rounds {
        for site in &mut sites {
            std::thread::sleep(BETWEEN);
            let begun = Instant::now();
            // Ten seconds at most, of the thirty that are promised.
            let ended = site.host.stop();
            longest = longest.max(begun.elapsed());
            assert!(ended.success(), "{} ended with {ended}", site.host.name);
            site.host.start();
        }
    }
    let books = settle(&mut sites);
    let count: usize = books.iter().map(|book| book.sent.len()).sum();
    let repeats = judge(&NAMES, &books);
    println!(
        "{} restarts, {count} messages, {repeats} deliveries again, all marked; the longest stop took {longest:?}",
        rounds * NAMES.len() as u64
    );
}
