//! `aicpctl status`: one screen about the node on this host, once or again and again.

mod rates;
pub(super) mod screen;
pub(super) mod warnings;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use client::Node;
use proto::control::NodeStatus;
use tokio::time::Instant;

use super::node;
use crate::args::{Common, Status};
use crate::failure::{Exit, Failure};
use crate::render::Out;

pub(super) use rates::{Rate, Rates};
pub(super) use screen::{certificate_left_ms, show};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// The terminal is empty, and the next line is its first.
const CLEAR: &[u8] = b"\x1b[2J\x1b[H";

pub(crate) async fn run(common: &Common, asked: &Status, out: Out) -> Result<ExitCode, Failure> {
    if asked.watch {
        watch(common, out).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let status = look(common).await?;
    let warnings = tell(&status, None, out);
    let is_degraded = asked.check && warnings > 0;
    Ok(if is_degraded { Exit::Degraded.into() } else { ExitCode::SUCCESS })
}

async fn look(common: &Common) -> Result<NodeStatus, Failure> {
    let node: Node = node(common).await?;
    Ok(node.status().await?)
}

/// Shows all of it, and says how much there is to mend.
fn tell(status: &NodeStatus, rates: Option<&Rates>, out: Out) -> usize {
    let found = warnings::of(status);
    let mut told = status.clone();
    told.warnings = found.iter().map(ToString::to_string).collect();
    out.object("status", &told);
    if !out.is_json() {
        show(status, &found, rates, out);
    }
    found.len()
}

/// A daemon that goes away is waited for: whoever watches wants to see it come back.
async fn watch(common: &Common, out: Out) -> Result<(), Failure> {
    let mut before = Some((look(common).await?, Instant::now()));
    let is_screen = !out.is_json() && std::io::stdout().is_terminal();
    loop {
        let status = look(common).await;
        if is_screen {
            // Whoever looked may have left.
            let _ = std::io::stdout().lock().write_all(CLEAR);
        }
        match status {
            Ok(status) => {
                let now = Instant::now();
                let rates = before.map(|(before, at)| Rates::between(&before, &status, now - at));
                tell(&status, rates.as_ref(), out);
                before = Some((status, now));
            }
            Err(failure) => {
                out.fail(&failure);
                before = None;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
