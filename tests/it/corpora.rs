//! What fuzzers found before, and mutants of it, replayed on the stable toolchain.

use referee::{root, targets};

/// A life of the core, or a whole segment, takes as long as thousands of small things.
fn neighbours(target: &str) -> usize {
    match target {
        "node" => 1,
        "scan" => 10,
        _ => 300,
    }
}

#[test]
fn every_corpus_replays_without_a_crash() {
    for (name, target) in targets::ALL {
        let folder = root().join("fuzz/corpus").join(name);
        let mut replayed = 0;
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
            target(&bytes);
            // Each as it is, cut short, and with one bit changed: cheap neighbours of what was interesting.
            for cut in 0..bytes.len().min(neighbours(name)) {
                target(&bytes[..cut]);
                let mut changed = bytes.clone();
                changed[cut] ^= 1 << (cut % 8);
                target(&changed);
            }
            replayed += 1;
        }
        assert!(replayed >= 20, "{name}: only {replayed} inputs");
    }
}
