//! Kept messages between two agents over a path that loses one packet in a hundred, beside the same path that loses
//! none; rounds take turns. It runs in a network of its own, so that nobody else's packets are lost.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use benches::hosts::two;
use benches::load::{STAGES, is_known, send_many};
use benches::roles::{self, Role};
use benches::times::Times;
use client::Agent;

const TO: &str = "handle@beta";
/// In flight, and messages of a round.
const LOADS: [(usize, usize); 2] = [(1, 400), (64, 4_096)];
const ROUNDS: usize = 5;
const NOTHING_LOST: &str = "";
/// Each way, for both daemons' packets arrive on the one interface there is.
const ONE_IN_A_HUNDRED: &str = "add rule inet bench in meta l4proto udp numgen random mod 100 < 1 drop";

pub(crate) async fn run(folder: &Path) {
    assert!(is_alone(), "loses packets: run it as root in a network of its own, with `unshare --net`");
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success(), "no loopback");
    arriving(NOTHING_LOST);
    let (alpha, beta) = two(folder).await;
    let _other = Role::start(roles::HANDLE, &beta.socket());
    let me = Agent::attach("sender").socket(alpha.socket()).await.unwrap();
    is_known(&me, TO).await;
    send_many(&me, TO, 64, 2048).await;
    for (in_flight, count) in LOADS {
        let mut settings = [("nothing lost", NOTHING_LOST), ("1 % lost", ONE_IN_A_HUNDRED)]
            .map(|(name, rule)| (name, rule, <[Times; 3]>::default(), Times::default()));
        for _ in 0..ROUNDS {
            for (_, rule, stages, rates) in &mut settings {
                arriving(rule);
                let (some, took) = send_many(&me, TO, in_flight, count).await;
                stages.iter_mut().zip(&some).for_each(|(all, one)| all.join(one));
                rates.note(count as f64 * 1e6 / took);
            }
        }
        for (name, _, stages, rates) in &settings {
            print!("{name}; {in_flight} in flight: handled/s {}", rates.quartiles());
            for (name, times) in STAGES.iter().zip(stages) {
                print!("; {name} {:.0} / {:.0}", times.median(), times.quantile(0.99));
            }
            println!();
        }
    }
}

/// Whether this network has nothing but a loopback of its own.
fn is_alone() -> bool {
    let devices = fs::read_to_string("/proc/self/net/dev").unwrap();
    let mut names = devices.lines().skip(2).filter_map(|line| line.split(':').next());
    names.all(|name| name.trim() == "lo")
}

/// What arrives is judged by this rule alone.
fn arriving(rule: &str) {
    let text = format!(
        "table inet bench {{ chain in {{ type filter hook input priority 0; }}; }}\nflush chain inet bench in\n{rule}\n"
    );
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "nft refused: {text}");
}
