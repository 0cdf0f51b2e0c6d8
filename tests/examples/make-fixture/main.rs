//! Makes a fixture of today's format: `cargo run -p aicp-tests --example make-fixture -- state state-2`, or `entries`.
//! See `tests/fixtures/README.md`. A fixture that is there is never changed: this program refuses.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a maker of test data stops at the first fault"
)]

mod entries;
mod state;

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let folder = referee::root().join("tests/fixtures");
    match *words {
        ["state", name] => state::make(&folder.join(name)),
        ["entries"] => entries::make(&folder.join("entries.json")),
        _ => panic!("state NAME, or entries"),
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file");
    println!("{}: {} bytes", path.display(), text.len());
}
