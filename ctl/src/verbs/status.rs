//! `aicpctl status`: one screen about the node on this host, once or again and again.

mod screen;
pub(super) mod warnings;

use std::collections::BTreeMap;
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

/// What went over each link in a second, by the peer's id: out, and in.
pub(super) struct Rates(BTreeMap<String, (f64, f64)>);

impl Rates {
    fn between(before: &NodeStatus, now: &NodeStatus, time: Duration) -> Self {
        let seconds = time.as_secs_f64().max(1e-3);
        // A daemon that started anew counts anew.
        let rate = |before: u64, now: u64| now.saturating_sub(before) as f64 / seconds;
        let of = |peer: &proto::control::PeerStatus| {
            let was = before.peers.iter().find(|was| was.id == peer.id)?;
            let (out, into) = (rate(was.sent_bytes, peer.sent_bytes), rate(was.received_bytes, peer.received_bytes));
            Some((peer.id.clone(), (out, into)))
        };
        Self(now.peers.iter().filter_map(of).collect())
    }

    fn of(&self, peer: &str) -> (f64, f64) {
        self.0.get(peer).copied().unwrap_or_default()
    }
}
