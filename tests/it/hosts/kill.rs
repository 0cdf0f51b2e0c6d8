//! Daemons and agents are killed at random moments, and nothing is lost, refused or doubled in silence.

use std::time::Duration;

use referee::agents::{Load, drained};
use referee::hosts::{Host, env_number};

const RATE: usize = 200;

/// A generator for the moments of kills. The seed is printed, the world is not repeatable.
pub(super) struct Moments(pub(super) u64);

impl Moments {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    pub(super) fn pause(&mut self, most: u64) {
        std::thread::sleep(Duration::from_millis(self.below(most)));
    }
}

#[test]
fn kills_of_daemons_and_agents_lose_nothing_and_double_nothing_unmarked() {
    let kills: u64 = env_number("AICP_KILLS", 30);
    let folder = tempfile::tempdir().expect("a folder");
    let (mut alpha, mut beta) = Host::two(folder.path());
    // A kill takes about 600 ms; the messages last a little longer than all of them.
    let seconds = kills * 6 / 10 + 3;
    let count = usize::try_from(seconds).expect("a number") * RATE;
    let mut load = Load::start(folder.path(), &alpha, &beta, count, RATE);

    let mut moments = Moments(0x9E37_79B9 + u64::from(std::process::id()));
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(100));
        moments.pause(800);
        match moments.below(4) {
            0 => {
                alpha.kill();
                moments.pause(300);
                alpha.start();
            }
            1 => {
                beta.kill();
                moments.pause(300);
                beta.start();
            }
            2 => {
                load.sender.kill();
                moments.pause(100);
                load.sender.again();
            }
            _ => {
                load.receiver.kill();
                moments.pause(100);
                load.receiver.again();
            }
        }
    }
    load.finish(Duration::from_secs(60 + seconds));
    drained(&[&alpha, &beta], Duration::from_secs(60));
    let repeats = load.judge().repeats;
    println!("{count} messages, {repeats} of them delivered more than once, all of those marked");
}

#[test]
fn without_a_fault_no_delivery_is_marked_and_none_is_out_of_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alpha, beta) = Host::two(folder.path());
    let mut load = Load::start(folder.path(), &alpha, &beta, 1000, 500);
    load.finish(Duration::from_secs(60));
    assert_eq!(load.judge().marked, 0, "deliveries that were marked");
}
