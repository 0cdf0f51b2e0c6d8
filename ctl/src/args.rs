//! What can be asked for on the command line. Texts and options alone; nothing is done here.

pub(crate) mod config;
mod host;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Group, Parser, Subcommand, ValueEnum};

pub(crate) mod membership;

pub(crate) use self::host::{
    AgentVerb, Agents, Bugreport, Cert, Check, Completion, Doctor, Logs, Man, Names, Shell, Status, Top, Whois,
};
use self::membership::{Authority, Invite, Join, Peer, Revoke, Sure, Up};
use crate::render::Format;

/// Talk to the agents of the mesh, and look after the daemon on this host.
#[derive(Debug, Parser)]
#[command(name = "aicpctl", disable_version_flag = true, max_term_width = 100, after_help = EXITS)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const EXITS: &str = "Exit codes: 0 ok, 1 failed, 2 usage, 3 daemon unreachable, 4 not found, 5 denied, 6 timeout, \
                     7 undeliverable, 8 degraded, 130 interrupted; those of `check` are Nagios' own";

/// What all verbs take.
#[derive(Debug, Group)]
pub(crate) struct Common {
    /// The daemon's socket [default: $AICP_SOCKET, or the first usual one that is there]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Who to be [default: cli-USER]
    #[arg(long = "as", global = true, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// How data looks
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,
    /// Data as JSON, one object a line: the same as `-o json`
    #[arg(long, global = true, conflicts_with = "output")]
    json: bool,
}

impl Common {
    pub(crate) const fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Take part in a mesh; without one, make one with this node as its first
    Up(Up),
    /// Take part in none for now: listen to nobody, dial nobody. What waits, waits
    Down,
    /// Print a ticket with which one other host can join
    Invite(Invite),
    /// Join a mesh, and exchange the first signed message
    Join(Join),
    /// Leave the mesh for good
    Leave(Sure),
    /// The other nodes of the mesh
    Peers,
    /// One other node
    #[command(subcommand)]
    Peer(Peer),
    /// Shut a node out of the mesh for good, on every node
    Revoke(Revoke),
    /// The key that makes members of nodes
    #[command(subcommand)]
    Authority(Authority),
    /// How the node on this host is: peers, agents, what waits, and what is wrong with it
    Status(Status),
    /// Who can be reached
    Agents(Agents),
    /// One agent
    #[command(subcommand)]
    Agent(AgentVerb),
    /// Who a name or an id is: a node, an agent, or both
    Whois(Whois),
    /// Send a message that is kept until its end is known
    Send(Send),
    /// Ask an agent, and print its answer
    Ask(Ask),
    /// Be an agent: print what arrives, or give it to a command
    Recv(Recv),
    /// Whether an agent is there, and how long the way is
    Ping(Ping),
    /// What this node owns until its destination has it
    #[command(subcommand)]
    Outbox(Outbox),
    /// Dead letters: what was given up, or ended and nobody could be told
    #[command(subcommand)]
    Dlq(Dlq),
    /// The whole story of one message, from both ends
    Explain(Explain),
    /// What happens to messages, as it happens: envelopes, never contents
    Tap(Tap),
    /// What is going on, the busiest first: peers and agents, with what they send and get in a second
    Top(Top),
    /// The clock of this host, as far as messages depend on it
    #[command(subcommand)]
    Clock(Clock),
    /// Measure the way to an agent and back
    #[command(subcommand)]
    Bench(Bench),
    /// Two daemons on this host, some messages and a crash; cleaned up afterwards
    Demo(Demo),
    /// The keys of this node and of its agents: show who they are, back them up, put them back
    #[command(subcommand)]
    Identity(Identity),
    /// What the daemon runs with, where that stands, and how it is changed
    #[command(subcommand)]
    Config(config::Config),
    /// Who may send what to agents of this node
    #[command(subcommand)]
    Allow(config::Allow),
    /// The certificate by which other nodes know this one, and its end
    Cert(Cert),
    /// What is wrong on this host, why, and how to mend it
    #[command(after_help = DOCTOR_EXITS)]
    Doctor(Doctor),
    /// One line for a monitoring system, as Nagios wants it
    #[command(after_help = CHECK_EXITS)]
    Check(Check),
    /// What the daemon logged
    Logs(Logs),
    /// All that helps whoever mends it, in one file: no message, no key, no address
    Bugreport(Bugreport),
    /// The completion script of a shell; it knows the names of agents and peers
    #[command(after_help = COMPLETION_HELP)]
    Completion(Completion),
    /// Write a man page for every verb into a folder
    Man(Man),
    /// The versions of this program and of the daemon
    Version,
    /// What the next word on the command line may be called. Completion scripts ask it
    #[command(hide = true)]
    CompleteNames(Names),
}

const DOCTOR_EXITS: &str = "Exit codes: 0 all is well, 8 something should be mended, 1 something must be";
const CHECK_EXITS: &str = "Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN";
const COMPLETION_HELP: &str = "\
bash:  aicpctl completion bash > ~/.local/share/bash-completion/completions/aicpctl
zsh:   aicpctl completion zsh > a folder of $fpath, as _aicpctl
fish:  aicpctl completion fish > ~/.config/fish/completions/aicpctl.fish";

#[derive(Debug, Group)]
pub(crate) struct Send {
    /// To whom: agent@node, agent, or an id
    pub(crate) agent: String,
    /// What; left out or `-` it is read from standard input
    pub(crate) body: Option<String>,
    /// What it is about
    #[arg(long, default_value = "")]
    pub(crate) subject: String,
    /// How far to wait
    #[arg(long, value_enum, default_value_t = Wait::Stored)]
    pub(crate) wait: Wait,
    /// When it stops being worth anything, at most 72h
    #[arg(long, value_parser = duration, value_name = "TIME", default_value = "24h")]
    pub(crate) expires: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Wait {
    /// It is on the disk of this host
    Accepted,
    /// It is on the disk of the agent's host
    Stored,
    /// The agent has handled it
    Handled,
}

#[derive(Debug, Group)]
pub(crate) struct Ask {
    /// Whom: agent@node, agent, or an id
    pub(crate) agent: String,
    /// What; `-` is read from standard input
    pub(crate) body: String,
    /// What it is about
    #[arg(long, default_value = "")]
    pub(crate) subject: String,
    /// How long to wait for the answer
    #[arg(long, value_parser = duration, value_name = "TIME", default_value = "5s")]
    pub(crate) timeout: Duration,
    /// Keep it on disk: it waits for an agent that is away
    #[arg(long)]
    pub(crate) durable: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Recv {
    /// Stop after so many messages
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Give the body of each to a shell command; what it prints is the answer, failing refuses the message
    #[arg(long, value_name = "CMD", conflicts_with = "respond")]
    pub(crate) exec: Option<String>,
    /// Answer each request with this
    #[arg(long, value_name = "TEXT")]
    pub(crate) respond: Option<String>,
}

#[derive(Debug, Group)]
pub(crate) struct Ping {
    /// Whom: agent@node, agent, or an id
    pub(crate) agent: String,
    /// How often
    #[arg(short, long, default_value_t = 4, value_name = "N")]
    pub(crate) count: u64,
    /// How long to wait for each answer
    #[arg(long, value_parser = duration, value_name = "TIME", default_value = "5s")]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// One ask after the other: how long each takes
    Latency(Load),
    /// Many asks at once: how many there are in a second
    Throughput(Load),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Outbox {
    /// What waits, the oldest first
    Ls(List),
    /// All about one message but what it says
    Show(One),
    /// Try again now
    Retry(Which),
    /// Give messages up; their senders are told
    Drop(Certain),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Dlq {
    /// What was given up, the oldest first
    Ls(List),
    /// All about one message but what it says
    Show(One),
    /// Put messages back where they were given up; they come marked
    Requeue(Which),
    /// Forget messages for good
    Purge(Certain),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Clock {
    /// It is right although it jumped: what expires may expire
    Trust,
}

#[derive(Debug, Group)]
pub(crate) struct List {
    /// Only what comes from or goes to this agent: agent@node, agent, or an id
    #[arg(long, value_name = "A")]
    pub(crate) agent: Option<String>,
    /// Only what goes to agents of this node
    #[arg(long, value_name = "N")]
    pub(crate) node: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) limit: u64,
}

#[derive(Debug, Group)]
pub(crate) struct One {
    /// 16 hex digits, as they stand in lists and logs
    pub(crate) id: String,
}

#[derive(Debug, Group)]
#[group(required = true, multiple = true)]
pub(crate) struct Which {
    /// One message: 16 hex digits
    #[arg(conflicts_with = "all")]
    pub(crate) id: Option<String>,
    /// What comes from or goes to this agent: agent@node, agent, or an id
    #[arg(long, value_name = "A", conflicts_with = "all")]
    pub(crate) agent: Option<String>,
    /// What goes to agents of this node
    #[arg(long, value_name = "N", conflicts_with = "all")]
    pub(crate) node: Option<String>,
    /// All of it
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Certain {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Do not ask; needed where nobody sits at a terminal
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Explain {
    /// 16 hex digits, as `send` prints them
    pub(crate) id: String,
}

#[derive(Debug, Group)]
pub(crate) struct Tap {
    /// Only what comes from or goes to this agent: agent@node, agent, or an id
    #[arg(long, value_name = "A")]
    pub(crate) agent: Option<String>,
    /// Stop after so many
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

#[derive(Debug, Group)]
pub(crate) struct Load {
    /// Whom to ask; it should answer at once with what it was told
    #[arg(default_value = "echo")]
    pub(crate) agent: String,
    /// How many asks [default: 2000 for latency]
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// How long [default for throughput: 5]
    #[arg(long, value_name = "S", conflicts_with = "count")]
    pub(crate) seconds: Option<u64>,
    /// Bytes of each body
    #[arg(long, default_value_t = 1024, value_name = "BYTES")]
    pub(crate) size: usize,
    /// How many are under way at a time [default: 1 for latency, 64 for throughput]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) in_flight: Option<u16>,
    /// Keep each on disk until its end is known
    #[arg(long)]
    pub(crate) durable: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Demo {
    /// Keep the folder with configurations, state and logs
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Identity {
    /// Who this node and its agents are, from their key files
    Show(StateOf),
    /// Write all keys into one new file, under a passphrase. Messages are not in it
    Backup(Backup),
    /// Put all keys back, into a state folder that has none
    #[command(after_help = OLD_STORE)]
    Restore(Backup),
}

pub(crate) const OLD_STORE: &str = "\
What a restored node must know:
  - Never run two nodes with one identity. Be sure that the old one will not start again.
  - Messages are not in the backup. A journal (store/) that is put beside the keys has forgotten what happened after it \
was copied: what was accepted since then is lost, and what was delivered since then may be delivered again, marked.
  - Without a journal the next start makes one, and marks what may have been delivered before.
  - If you put a state folder or a journal back by other means, run `aicpd mark-restored` before the next start.";

#[derive(Debug, Group)]
pub(crate) struct StateOf {
    /// The daemon's configuration file, which says where its state is [default: the usual one]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the daemon keeps its keys and messages [default: as the configuration says]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

#[derive(Debug, Group)]
pub(crate) struct Backup {
    /// The backup
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) state: StateOf,
    /// Take the passphrase from this file [default: asked for at the terminal]
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// A number and its unit: 250ms, 5s, 2m, 24h, 3d.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time; write 250ms, 5s, 2m, 24h or 3d");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => return Ok(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return Err(wrong()),
    };
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_has_no_contradictions() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn a_time_has_a_number_and_a_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "5", "s", "-1s", "5 s", "99999999999999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
