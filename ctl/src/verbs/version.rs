//! `aicpctl version`: of this program, and of the daemon if one answers.

use client::Node;
use serde_json::json;

use crate::args::Common;
use crate::failure::Failure;
use crate::render::{Out, escape};

pub(crate) async fn run(common: &Common, out: Out) -> Result<(), Failure> {
    let ours = env!("CARGO_PKG_VERSION");
    let theirs = daemon(common).await;
    out.object("version", json!({ "aicpctl": ours, "aicpd": theirs }));
    out.line(format_args!("aicpctl {ours}"));
    match theirs {
        Some(theirs) => out.line(format_args!("aicpd {}", escape(&theirs))),
        None if !out.is_json() => out.talk("no daemon answers on this host"),
        None => {}
    }
    Ok(())
}

async fn daemon(common: &Common) -> Option<String> {
    let node = Node::connect(common.socket.as_deref()).await.ok()?;
    node.status().await.ok().map(|status| status.version)
}
