//! What can be asked of the verbs that look after this host and at its mesh.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Group, Subcommand, ValueEnum};

use super::{StateOf, duration};

#[derive(Debug, Group)]
pub(crate) struct Status {
    /// Look again every two seconds, and say how much goes over each link
    #[arg(long)]
    pub(crate) watch: bool,
    /// End with 8 if there is anything to mend
    #[arg(long, conflicts_with = "watch")]
    pub(crate) check: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Top {
    /// How often it looks; 200ms at least
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
    pub(crate) every: Duration,
}

#[derive(Debug, Group)]
pub(crate) struct Agents {
    /// Only those that can do this
    #[arg(long, value_name = "C")]
    pub(crate) capability: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentVerb {
    /// All that this node knows of it
    Show(Show),
}

#[derive(Debug, Group)]
pub(crate) struct Show {
    /// Which: agent@node, agent, or an id
    pub(crate) agent: String,
}

#[derive(Debug, Group)]
pub(crate) struct Whois {
    /// A node, an agent, agent@node, or an id, also a short one
    #[arg(value_name = "NAME|ID")]
    pub(crate) who: String,
}

#[derive(Debug, Group)]
pub(crate) struct Cert {
    #[command(flatten)]
    pub(crate) state: StateOf,
}

#[derive(Debug, Group)]
pub(crate) struct Doctor {
    /// Mend what can be mended from here: buffers of the kernel, owners and modes of files
    #[arg(long)]
    pub(crate) fix: bool,
    #[command(flatten)]
    pub(crate) state: StateOf,
}

#[derive(Debug, Group)]
pub(crate) struct Check {
    /// WARNING from so many dead letters on
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) dead_warn: u64,
    /// CRITICAL from so many on
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) dead_crit: u64,
    /// WARNING if the oldest message that waits to leave is older
    #[arg(long, value_parser = duration, value_name = "TIME", default_value = "15m")]
    pub(crate) age_warn: Duration,
    /// CRITICAL if it is older
    #[arg(long, value_parser = duration, value_name = "TIME", default_value = "12h")]
    pub(crate) age_crit: Duration,
    /// WARNING from so many peers that are not linked on
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) peers_warn: u64,
    /// CRITICAL from so many on [default: all of them]
    #[arg(long, value_name = "N")]
    pub(crate) peers_crit: Option<u64>,
    /// WARNING if this node's certificate ends sooner
    #[arg(long, value_parser = duration, value_name = "TIME", default_value = "7d")]
    pub(crate) cert_warn: Duration,
    /// CRITICAL if it ends sooner
    #[arg(long, value_parser = duration, value_name = "TIME", default_value = "1d")]
    pub(crate) cert_crit: Duration,
    /// How long the daemon may take to answer
    #[arg(long, value_parser = duration, value_name = "TIME", default_value = "10s")]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Group)]
pub(crate) struct Logs {
    /// Go on with what is logged from now on
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// So many of the latest lines
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(crate) lines: u32,
    #[command(flatten)]
    pub(crate) state: StateOf,
}

#[derive(Debug, Group)]
pub(crate) struct Bugreport {
    /// Where to; `-` is standard output [default: aicp-bugreport-NODE.txt]
    pub(crate) file: Option<PathBuf>,
    /// Leave network addresses as they are
    #[arg(long)]
    pub(crate) with_addresses: bool,
    #[command(flatten)]
    pub(crate) state: StateOf,
}

#[derive(Debug, Group)]
pub(crate) struct Completion {
    /// Whose script
    pub(crate) shell: Shell,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Group)]
pub(crate) struct Man {
    /// Made if it is not there; pages of the same names are written over
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Group)]
pub(crate) struct Names {
    /// The words before it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
}
