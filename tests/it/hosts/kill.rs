//! Daemons and agents are killed at random moments, and nothing is lost, refused or doubled in silence.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use referee::hosts::{Host, until};

const RATE: u64 = 200;

/// An agent in a process of its own.
struct AgentProcess {
    arguments: Vec<String>,
    child: Option<Child>,
}

impl AgentProcess {
    fn start(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut agent = Self { arguments, child: None };
        agent.again();
        agent
    }

    fn again(&mut self) {
        let program = example("kill-agent");
        let child = Command::new(program).args(&self.arguments).stdin(Stdio::null()).spawn();
        self.child = Some(child.expect("the agent starts"));
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ended = child.kill();
            child.wait().expect("it ends");
        }
    }

    fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().expect("a child").is_some())
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Examples of this package are built with its tests, beside them.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    test.parent().and_then(Path::parent).expect("a folder").join("examples").join(name)
}

/// A generator for the moments of kills. The seed is printed, the world is not repeatable.
struct Moments(u64);

impl Moments {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn pause(&mut self, most: u64) {
        std::thread::sleep(Duration::from_millis(self.below(most)));
    }
}

#[test]
fn kills_of_daemons_and_agents_lose_nothing_and_double_nothing_unmarked() {
    let kills: u64 = env_number("AICP_KILLS", 30);
    let folder = tempfile::tempdir().expect("a folder");
    let (mut alpha, mut beta) = Host::two(folder.path());
    let (sent, received) = (folder.path().join("sent"), folder.path().join("received"));
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let mut receiver = AgentProcess::start(&["receive", &text(&beta.socket()), "reader", &text(&received)]);
    until("the reader is known at alpha", Duration::from_secs(15), || {
        alpha.ctl(&["agents", "--json"]).stdout.windows(8).any(|bytes| bytes == b"\"reader\"").then_some(())
    });
    // A kill takes about 600 ms; the messages last a little longer than all of them.
    let count = (kills * 6 / 10 + 3) * RATE;
    let arguments =
        ["send", &text(&alpha.socket()), "writer", &text(&sent), "reader@beta", &count.to_string(), &RATE.to_string()];
    let mut sender = AgentProcess::start(&arguments);

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
                sender.kill();
                moments.pause(100);
                sender.again();
            }
            _ => {
                receiver.kill();
                moments.pause(100);
                receiver.again();
            }
        }
    }
    until("the sender has heard the end of all it sent", Duration::from_secs(60 + count / RATE), || {
        sender.has_ended().then_some(())
    });
    for host in [&alpha, &beta] {
        until(&format!("nothing is queued at {}", host.name), Duration::from_secs(60), || {
            let status = host.status();
            let left = ["outbox_messages", "mailbox_messages", "awaiting"];
            left.iter().all(|what| status[what].as_u64() == Some(0)).then_some(())
        });
    }
    judge(
        &std::fs::read_to_string(&sent).expect("a ledger"),
        &std::fs::read_to_string(&received).expect("a ledger"),
        count,
    );
}

/// Compares what was sent with what came.
fn judge(sent: &str, received: &str, count: u64) {
    let refused: Vec<&str> = sent.lines().filter(|line| line.starts_with('R')).collect();
    assert!(refused.is_empty(), "{} refused, the first: {:?}", refused.len(), refused.first());
    let submitted = sent.lines().filter(|line| line.starts_with('S')).count() as u64;
    let heard: std::collections::BTreeSet<&str> = sent.lines().filter_map(|line| line.strip_prefix("H ")).collect();
    assert_eq!((submitted, heard.len() as u64), (count, count), "submitted and heard of");

    let mut deliveries: BTreeMap<u64, u32> = BTreeMap::new();
    let mut last_first = None;
    for line in received.lines().filter_map(|line| line.strip_prefix("D ")) {
        let (i, mark) = line.split_once(' ').expect("two words");
        let i: u64 = i.parse().expect("a number");
        let times = deliveries.entry(i).or_default();
        *times += 1;
        if mark == "first" {
            assert_eq!(*times, 1, "message {i} was delivered again and not marked");
            assert!(last_first < Some(i), "message {i} came after {last_first:?}");
            last_first = Some(i);
        }
    }
    assert_eq!(deliveries.len() as u64, count, "messages that were delivered");
    let repeats: u32 = deliveries.values().map(|times| times - 1).sum();
    #[expect(clippy::print_stdout, reason = "a figure for whoever runs the full count")]
    let () = println!("{count} messages, {repeats} of them delivered more than once, all of those marked");
}

#[test]
fn without_a_fault_no_delivery_is_marked_and_none_is_out_of_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let (alpha, beta) = Host::two(folder.path());
    let (sent, received) = (folder.path().join("sent"), folder.path().join("received"));
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let _receiver = AgentProcess::start(&["receive", &text(&beta.socket()), "reader", &text(&received)]);
    until("the reader is known at alpha", Duration::from_secs(15), || {
        alpha.ctl(&["agents", "--json"]).stdout.windows(8).any(|bytes| bytes == b"\"reader\"").then_some(())
    });
    let socket = text(&alpha.socket());
    let mut sender = AgentProcess::start(&["send", &socket, "writer", &text(&sent), "reader@beta", "1000", "500"]);
    until("the sender has heard the end of all it sent", Duration::from_secs(60), || sender.has_ended().then_some(()));
    let received = std::fs::read_to_string(&received).expect("a ledger");
    assert!(!received.contains("marked"), "a delivery was marked");
    judge(&std::fs::read_to_string(&sent).expect("a ledger"), &received, 1000);
}

#[expect(clippy::disallowed_methods, reason = "how often is asked for by whoever runs the test")]
fn env_number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}
