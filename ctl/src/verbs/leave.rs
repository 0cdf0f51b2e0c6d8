//! `aicpctl down` and `aicpctl leave`: out of the mesh for now, and for good.

use std::io::{BufRead, IsTerminal};

use super::{join, node, start};
use crate::args::Common;
use crate::args::membership::Sure;
use crate::failure::{Exit, Failure};
use crate::render::{GREEN, Out};

pub(crate) async fn down(common: &Common, out: Out) -> Result<(), Failure> {
    let done = node(common).await?.down().await.map_err(join::refused)?;
    start::settled(common, "the node is down", |status| !status.is_up).await?;
    out.object("done", done);
    out.line(format_args!(
        "{GREEN}✓{GREEN:#} down: nothing listens, nobody is dialed; agents here still reach each other"
    ));
    out.talk("what goes to other nodes waits until `aicpctl up`");
    Ok(())
}

pub(crate) async fn run(common: &Common, asked: &Sure, out: Out) -> Result<(), Failure> {
    let status = node(common).await?.status().await?;
    let waits = match status.outbox_messages {
        0 => String::new(),
        count => format!("; {count} messages to other nodes wait and will not get there"),
    };
    let last =
        if status.is_holder { "; this node keeps the key of the mesh's authority, which goes with it" } else { "" };
    sure(asked, &format!("leave mesh {} for good{waits}{last}", status.mesh_name), out)?;
    let done = node(common).await?.leave().await.map_err(join::refused)?;
    start::settled(common, "the node has left", |status| status.mesh_id.is_empty()).await?;
    out.object("done", done);
    out.line(format_args!("{GREEN}✓{GREEN:#} left; to come back it takes a new ticket"));
    Ok(())
}

/// Asks whoever sits at the terminal, unless they said that they are sure.
pub(super) fn sure(asked: &Sure, what: &str, out: Out) -> Result<(), Failure> {
    if asked.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Usage, format!("this would {what}, and nobody is there to be asked"))
            .now("nothing was changed")
            .fix("add --yes"));
    }
    out.talk(format_args!("{}? [y/N]", crate::render::escape(what)));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::new(Exit::Interrupted, "not confirmed").now("nothing was changed"))
}
