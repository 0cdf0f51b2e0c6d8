//! What `config` and `allow` take.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand};

/// `aicpctl config`.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Every key and its value: those that the daemon runs with, or would
    Show(Show),
    /// The value of one key
    Get(Get),
    /// Set a key, in a drop-in of its own; comments and other files stay as they are
    Set(Set),
    /// Leave a key that was set so to the other files, or to its default
    Unset(Get),
    /// Whether a configuration can be used: that of the daemon, or of a file
    Validate(Validate),
    /// Have the daemon read its configuration again: what can change at once does, and the rest is named
    Reload(Reload),
}

/// `aicpctl allow`.
#[derive(Debug, Subcommand)]
pub(crate) enum Allow {
    /// All rules, and where they stand
    Ls(Which),
    /// Add a rule, and have the daemon read it at once
    Add(Add),
    /// Take a rule away that was added so
    Rm(Rm),
    /// What the rules would say of a message; nothing is sent
    Test(Test),
}

#[derive(Debug, Group)]
pub(crate) struct Which {
    /// The configuration file [default: that of the daemon, or the usual one]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Group)]
pub(crate) struct Show {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Where each value stands: a file, AICP_…, a flag, or default
    #[arg(long)]
    pub(crate) origin: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Get {
    /// A key with its section: log.level
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Debug, Group)]
pub(crate) struct Set {
    /// A key with its section: log.level
    pub(crate) key: String,
    /// Its value; a list has commas between its elements
    pub(crate) value: String,
    /// Have the daemon read it at once
    #[arg(long)]
    pub(crate) reload: bool,
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Debug, Group)]
pub(crate) struct Validate {
    /// Another file, with the drop-ins beside it
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Group)]
pub(crate) struct Reload {
    /// Where something needs a restart: restart in place, now
    #[arg(long)]
    pub(crate) restart: bool,
}

#[derive(Debug, Group)]
pub(crate) struct Add {
    /// The agents of this node that it is for: a name, with * for any characters
    #[arg(long, value_name = "AGENT")]
    pub(crate) to: String,
    /// Who may send to them: agent@node, agent, or an id; names with *
    #[arg(long, value_name = "WHO")]
    pub(crate) from: Option<String>,
    /// The nodes that they are on: a name with *, or an id
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Option<String>,
    /// The capability that a message asks for, with *
    #[arg(long, value_name = "TEXT")]
    pub(crate) capability: Option<String>,
    /// What it is about, with *
    #[arg(long, value_name = "TEXT")]
    pub(crate) subject: Option<String>,
    /// What the rule is called [default: allow-1 and so on]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The daemon reads it when it next reads its configuration
    #[arg(long)]
    pub(crate) no_reload: bool,
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Debug, Group)]
pub(crate) struct Rm {
    /// The rule's name
    pub(crate) name: String,
    /// The daemon reads it when it next reads its configuration
    #[arg(long)]
    pub(crate) no_reload: bool,
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Debug, Group)]
pub(crate) struct Test {
    /// Who would send: agent@node, agent of this node, or an id
    pub(crate) from: String,
    /// To which agent of this node
    pub(crate) to: String,
    /// The capability that it would ask for
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) capability: String,
    /// What it would be about
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) subject: String,
}
