//! The command line: what can be asked of `aicpd`, in words. It reads no file and no environment.

use std::fmt::Write;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use config::{Config, Flags};

/// The AICP daemon: carries signed messages between agents on this host and on others.
#[derive(Parser, Debug)]
#[command(name = "aicpd", version, arg_required_else_help = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Be the daemon, in the foreground, until SIGTERM or SIGINT.
    Run(RunFlags),
    /// Make this node's identity if there is none, and print its node id.
    Init(InitFlags),
    /// Look through the state of a stopped daemon, and say what is damaged and what that costs. Nothing is changed.
    #[command(after_help = FSCK_EXITS)]
    Fsck(FsckFlags),
    /// Say that the state folder, or its journal, was put back from a copy: mail that may have been delivered since the
    /// copy was made is marked from the next start on.
    MarkRestored(StateFlags),
    /// Say what the configuration comes to, or what is wrong with it. Nothing is started.
    CheckConfig(RunFlags),
    /// Print the commented sample of the configuration.
    DefaultConfig,
    /// Write the manual pages, one for each verb.
    Man(ManFlags),
    /// Print the version.
    Version,
}

const FSCK_EXITS: &str = "Exit codes: 0 sound, 1 damage found, 2 usage, 3 cannot be read (a daemon runs on it, or \
                          nothing is there)";

/// What `run` can be told beside its configuration. Each counts before the environment and the file.
#[derive(Args, Debug, Default)]
pub struct RunFlags {
    /// The configuration file; without it, the usual one if it is there.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where keys and messages are kept.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Where agents on this host connect.
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// What this node is called.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where other nodes are listened for, like `[::]:7727`.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// A node that may link with this one: NAME=NODE-ID@HOST:PORT, or NAME=NODE-ID for one that dials us.
    #[arg(long = "peer", value_name = "PEER")]
    pub peers: Vec<String>,
    /// What is logged: off, error, warn, info, debug, trace.
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
}

/// What `init` can be told.
#[derive(Args, Debug, Default)]
pub struct InitFlags {
    /// The configuration file; without it, the usual one if it is there.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where keys and messages are kept.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// What this node is called. It is remembered beside the identity.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

/// Whose state is meant.
#[derive(Args, Debug, Default)]
pub struct StateFlags {
    /// The configuration file; without it, the usual one if it is there.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where keys and messages are kept.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// What `fsck` can be told.
#[derive(Args, Debug, Default)]
pub struct FsckFlags {
    /// Whose state is meant.
    #[command(flatten)]
    pub state: StateFlags,
    /// As one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What `man` is told.
#[derive(Args, Debug, Default)]
pub struct ManFlags {
    /// Where to. It is made if it is not there.
    pub folder: PathBuf,
}

impl StateFlags {
    /// As the configuration takes them.
    #[must_use]
    pub fn flags(&self) -> Flags {
        Flags { config: self.config.clone(), state_dir: self.state_dir.clone(), ..Flags::default() }
    }
}

impl RunFlags {
    /// As the configuration takes them.
    #[must_use]
    pub fn flags(&self) -> Flags {
        Flags {
            config: self.config.clone(),
            state_dir: self.state_dir.clone(),
            socket: self.socket.clone(),
            name: self.name.clone(),
            listen: self.listen.clone(),
            peers: self.peers.clone(),
            log: self.log.clone(),
        }
    }
}

impl InitFlags {
    /// As the configuration takes them.
    #[must_use]
    pub fn flags(&self) -> Flags {
        Flags {
            config: self.config.clone(),
            state_dir: self.state_dir.clone(),
            name: self.name.clone(),
            ..Flags::default()
        }
    }
}

/// What a configuration comes to, a line each.
#[must_use]
pub fn describe(config: &Config) -> String {
    let mut out = String::new();
    let listen = config.mesh.listen.map_or("nothing".into(), |listen| listen.to_string());
    // Writing into a string cannot fail.
    let _ = writeln!(out, "node       {}", config.node_name);
    let _ = writeln!(out, "state      {}", config.state_dir.display());
    let _ = writeln!(out, "socket     {} (mode {:04o})", config.socket.path.display(), config.socket.mode);
    let _ = writeln!(out, "listen     {listen}");
    for peer in &config.mesh.peers {
        let address = peer.address.as_deref().unwrap_or("(dials us)");
        let _ = writeln!(out, "peer       {} {} {address}", peer.name, peer.node);
    }
    for address in &config.mesh.advertise {
        let _ = writeln!(out, "advertise  {address}");
    }
    let _ = writeln!(out, "hops       {}", config.mesh.hops);
    let metrics = config.metrics.as_ref().map_or("nowhere".into(), ToString::to_string);
    let _ = writeln!(out, "journal    {}", config.value("store.limit"));
    let _ = writeln!(out, "log        {}", config.log.level);
    let _ = writeln!(out, "metrics    {metrics}");
    for rule in &config.allow {
        let from = rule.from.as_deref().unwrap_or("*");
        let _ = writeln!(out, "allow      {} to {} from {from} ({})", rule.name, rule.to, rule.origin);
    }
    for shown in config.values().filter(|shown| shown.origin != config::Origin::Default) {
        let _ = writeln!(out, "set        {} = {} ({})", shown.key.name, shown.value, shown.origin);
    }
    out
}
