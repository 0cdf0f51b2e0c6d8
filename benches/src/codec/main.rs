//! What a frame costs beside the bare primitives in it: `cargo run --release -p aicp-benches --bin bench-codec`.
//!
//! Ours and the bare thing take turns in short batches, and the ratio is taken pair by pair, so that a machine that
//! others use too slows both alike. Medians are printed; a ratio is the figure to quote.

#![expect(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a bench prints and stops at the first fault"
)]

mod bare;
mod ours;
mod pairs;

use pairs::{Row, compare, time};

const SIZES: [usize; 3] = [64, 1024, 65_536];

fn main() {
    println!("median ns an operation; ratio = ours / bare, pair by pair (median, quartiles)");
    println!("{:>6}  {:<34}{:>10}{:>10}{:>8}  quartiles", "body", "operation", "ours", "bare", "ratio");
    for size in SIZES {
        let world = ours::World::new(size);
        let bare = bare::Bare::new(size);
        let rows = [
            ("encode (no cipher)", time(|| world.encode())),
            ("decode (no cipher)", time(|| world.decode())),
            ("sign: digest + Ed25519", compare(|| world.sign(), || bare.sign())),
            ("verify: digest + strict Ed25519", compare(|| world.verify(), || bare.verify())),
            ("seal + sign, nonce drawn", compare(|| world.seal(), || bare.seal_and_sign())),
            // Both are bare: the first column is aws-lc-rs, the second aes-gcm.
            ("AES-256-GCM: aws-lc-rs, aes-gcm", compare(|| bare.cipher(true), || bare.cipher(false))),
        ];
        for (name, row) in rows {
            print(size, name, &row);
        }
        // Opening consumes the frame, so each batch is prepared before its clock starts.
        let row = pairs::compare_prepared(
            || world.sealed(),
            |frame| world.open(frame),
            || bare.sealed(),
            |sealed| bare.verify_and_open(sealed),
        );
        print(size, "verify + open", &row);
    }
}

fn print(size: usize, name: &str, row: &Row) {
    let beside = row.bare.map_or_else(String::new, |(bare, ratio, low, high)| {
        format!("{bare:>10.0}{ratio:>8.3}  {low:.3} to {high:.3}")
    });
    println!("{size:>6}  {name:<34}{:>10.0}{beside}", row.ours);
}
