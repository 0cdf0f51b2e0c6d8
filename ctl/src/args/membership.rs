//! What can be asked for about the mesh that this node is in, and who else is.

use std::time::Duration;

use clap::{Args as Group, Subcommand};

use super::{StateOf, duration};

#[derive(Debug, Group)]
pub(crate) struct Up {
    /// Print a ticket too, with which one other host can join
    #[arg(long)]
    pub(crate) invite: bool,
    /// How long the ticket is good, at most 7d
    #[arg(long, value_parser = duration, value_name = "TIME", default_value = "15m", requires = "invite")]
    pub(crate) expires: Duration,
    /// What people are to call the mesh, if one is made
    #[arg(long, value_name = "NAME")]
    pub(crate) mesh: Option<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// How a node that takes part in a mesh is called and found.
#[derive(Debug, Group)]
pub(crate) struct Place {
    /// What this node is to be called [default: the name of this host]
    // `name` is who to be at the agents' door.
    #[arg(long = "name", value_name = "NAME")]
    pub(crate) called: Option<String>,
    /// Where to listen for other nodes: an IP address and a UDP port [default: 7727 on all addresses]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Where others can dial this node, if that is not an address of this host: HOST:PORT; once for each
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) advertise: Vec<String>,
    #[command(flatten)]
    pub(crate) state: StateOf,
}

#[derive(Debug, Group)]
pub(crate) struct Invite {
    /// How long the ticket is good, at most 7d
    #[arg(long, value_parser = duration, value_name = "TIME", default_value = "15m")]
    pub(crate) expires: Duration,
}

#[derive(Debug, Group)]
pub(crate) struct Join {
    /// What `aicpctl invite` printed on a host of the mesh
    pub(crate) ticket: String,
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Debug, Group)]
pub(crate) struct Sure {
    /// Do not ask; needed where nobody sits at a terminal
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Peer {
    /// All about one node
    Show(Who),
    /// Have no link with a node, whoever dials, until it is unblocked
    Block(Who),
    /// Link with a node again
    Unblock(Who),
    /// Forget what is known of a node, until it says it again
    Forget(Who),
}

#[derive(Debug, Group)]
pub(crate) struct Who {
    /// Its name, or its id
    pub(crate) node: String,
}

#[derive(Debug, Group)]
pub(crate) struct Revoke {
    /// Its name, or its id
    pub(crate) node: String,
    #[command(flatten)]
    pub(crate) sure: Sure,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Authority {
    /// Give another node the key of the authority too, so that certificates and tickets do not hang on this host alone
    Share(Revoke),
}
