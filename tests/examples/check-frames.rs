//! Judges frames that another implementation made: `cargo run -p aicp-tests --example check-frames FILE`, the file in
//! the form of `proto/vectors/frames.json`.

#![expect(clippy::print_stdout, clippy::expect_used, clippy::indexing_slicing, reason = "it reports what it finds")]

use std::process::ExitCode;

use referee::judge;

fn main() -> ExitCode {
    let path = std::env::args().nth(1).expect("a file with frames");
    let text = std::fs::read_to_string(&path).expect("the file can be read");
    let (_, judge) = judge::FILES.into_iter().find(|(file, _)| *file == "frames.json").expect("a judge of frames");
    let (mut passed, mut failed, mut taken) = (0, 0, 0);
    for case in judge::cases(&text) {
        match judge::compare(&case, judge) {
            Ok(()) => {
                passed += 1;
                taken += u32::from(case.get("refused").is_none());
            }
            Err(difference) => {
                failed += 1;
                println!("{}: {difference}", case["name"]);
            }
        }
    }
    println!("{taken} frames opened, {} refused for the reason that their maker gave", passed - taken);
    println!("{passed} passed, {failed} failed");
    // Nothing to judge is a failure, not a success.
    if failed == 0 && taken > 0 && passed > taken { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
