//! Agents in processes of their own, which write down what they do (`tests/examples/kill-agent.rs`), and the judge of
//! what they wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::hosts::{Host, until};

/// An agent in a process of its own. Killed when dropped.
#[derive(Debug)]
pub struct AgentProcess {
    program: &'static str,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl AgentProcess {
    /// Starts an example of this package with these arguments.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(program: &'static str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut agent = Self { program, arguments, child: None };
        agent.again();
        agent
    }

    /// Starts it once more.
    ///
    /// # Panics
    /// If it does not start.
    pub fn again(&mut self) {
        let child = Command::new(example(self.program)).args(&self.arguments).stdin(Stdio::null()).spawn();
        self.child = Some(child.expect("the agent starts"));
    }

    /// Kills it, if it runs.
    ///
    /// # Panics
    /// If it does not end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ended = child.kill();
            child.wait().expect("it ends");
        }
    }

    /// Starts it once more if it has ended with this code.
    ///
    /// # Panics
    /// If it has ended with another one.
    pub fn again_after(&mut self, code: i32) {
        let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("a child"));
        if let Some(status) = ended {
            assert_eq!(status.code(), Some(code), "the agent gave up");
            self.again();
        }
    }

    /// Whether it has ended by itself.
    ///
    /// # Panics
    /// If that cannot be told.
    pub fn has_ended(&mut self) -> bool {
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

/// A steady load of durable messages from one host to another, whose outcomes are awaited.
#[derive(Debug)]
pub struct Load {
    /// The agent that sends.
    pub sender: AgentProcess,
    /// The agent that handles what comes.
    pub receiver: AgentProcess,
    count: usize,
    sent: PathBuf,
    received: PathBuf,
}

impl Load {
    /// Starts both agents: `count` messages, `rate` of them in a second, as far as outcomes come.
    ///
    /// # Panics
    /// If the receiver does not become known at the sender's host.
    #[must_use]
    pub fn start(folder: &Path, from: &Host, to: &Host, count: usize, rate: usize) -> Self {
        let (sent, received) =
            (folder.join(format!("sent-{}", from.name)), folder.join(format!("received-{}", to.name)));
        let text = |path: &Path| path.to_str().expect("text").to_owned();
        let receiver = AgentProcess::start("kill-agent", &["receive", &text(&to.socket()), "reader", &text(&received)]);
        let address = format!("reader@{}", to.name);
        until("the reader is known at the sender's host", Duration::from_secs(15), || {
            let known: serde_json::Value = serde_json::from_slice(&from.ctl(&["agents", "--json"]).stdout).ok()?;
            let agents = known["agents"].as_array()?;
            agents.iter().any(|agent| agent["name"] == "reader" && agent["node_name"] == to.name).then_some(())
        });
        let (socket, ledger) = (text(&from.socket()), text(&sent));
        let arguments = ["send", &socket, "writer", &ledger, &address, &count.to_string(), &rate.to_string()];
        let sender = AgentProcess::start("kill-agent", &arguments);
        Self { sender, receiver, count, sent, received }
    }

    /// Waits until the sender has heard the end of all it sent.
    ///
    /// # Panics
    /// If it does not within `most`.
    pub fn finish(&mut self, most: Duration) {
        until("the sender has heard the end of all it sent", most, || self.sender.has_ended().then_some(()));
    }

    /// Messages that will be submitted.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Messages that were submitted so far.
    #[must_use]
    pub fn submitted(&self) -> usize {
        fs::read_to_string(&self.sent).unwrap_or_default().lines().filter(|line| line.starts_with('S')).count()
    }

    /// Whether the sender has heard the end of so many messages, counted from the first.
    #[must_use]
    pub fn has_heard(&self, first: usize) -> bool {
        let sent = fs::read_to_string(&self.sent).unwrap_or_default();
        let ends = sent.lines().filter_map(|line| line.strip_prefix("H ").or(line.strip_prefix("R ")));
        let numbers = ends.filter_map(|end| end.split(' ').next()?.parse::<usize>().ok());
        numbers.filter(|number| *number < first).collect::<BTreeSet<_>>().len() == first
    }

    /// Compares what was sent with what came.
    ///
    /// # Panics
    /// If one message was lost, refused, out of order, or doubled in silence.
    #[must_use]
    pub fn judge(&self) -> Judged {
        let read = |path| fs::read_to_string(path).expect("a ledger");
        judge(&read(&self.sent), &read(&self.received), self.count)
    }
}

/// What may happen to messages, and is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Judged {
    /// Deliveries beyond the first of each message.
    pub repeats: u64,
    /// Deliveries that were marked.
    pub marked: u64,
}

/// Waits until no message is left at any of the hosts.
///
/// # Panics
/// If one is still there after `most`.
pub fn drained(hosts: &[&Host], most: Duration) {
    for host in hosts {
        until(&format!("nothing is queued at {}", host.name), most, || {
            let status = host.status();
            let left = ["outbox_messages", "mailbox_messages", "awaiting"];
            left.iter().all(|what| status[what].as_u64() == Some(0)).then_some(())
        });
    }
}

fn judge(sent: &str, received: &str, count: usize) -> Judged {
    let refused: Vec<&str> = sent.lines().filter(|line| line.starts_with('R')).collect();
    assert!(refused.is_empty(), "{} refused, the first: {:?}", refused.len(), refused.first());
    let submitted = sent.lines().filter(|line| line.starts_with('S')).count();
    let heard: BTreeSet<&str> = sent.lines().filter_map(|line| line.strip_prefix("H ")).collect();
    assert_eq!((submitted, heard.len()), (count, count), "submitted and heard of");

    let mut deliveries: BTreeMap<u64, u64> = BTreeMap::new();
    let mut last_first = None;
    let mut marked = 0;
    for line in received.lines().filter_map(|line| line.strip_prefix("D ")) {
        let (i, mark) = line.split_once(' ').expect("two words");
        let i: u64 = i.parse().expect("a number");
        let times = deliveries.entry(i).or_default();
        *times += 1;
        if mark == "first" {
            assert_eq!(*times, 1, "message {i} was delivered again and not marked");
            assert!(last_first < Some(i), "message {i} came after {last_first:?}");
            last_first = Some(i);
        } else {
            marked += 1;
        }
    }
    assert_eq!(deliveries.len(), count, "messages that were delivered");
    Judged { repeats: deliveries.values().map(|times| times - 1).sum(), marked }
}
