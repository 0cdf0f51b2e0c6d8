//! `aicpctl cert`: by what other nodes know this one: the certificate that the mesh's authority gave it, from the state
//! folder; or, without a mesh, its key alone. No secret is read.

use std::io::ErrorKind;
use std::path::Path;

use keys::certificate::{self, About};
use proto::control::NodeStatus;
use proto::member::Validity;
use serde_json::json;

use super::host;
use crate::args::{Cert, Common};
use crate::clock::{self, rfc3339};
use crate::failure::{Exit, Failure};
use crate::render::{BOLD, DIM, Out, RED, YELLOW, escape, until};

/// Below the state folder.
const NODE: &str = "mesh/node.crt";
const AUTHORITY: &str = "mesh/authority.crt";

pub(crate) async fn run(common: &Common, asked: &Cert, out: Out) -> Result<(), Failure> {
    let status = host::status(common).await;
    let state_dir = host::state_dir(common, &asked.state, status.as_ref())?;
    match (read(&state_dir.join(NODE))?, status) {
        (Some(node), _) => {
            let authority = read(&state_dir.join(AUTHORITY))?;
            show(&node, authority.as_ref(), out);
            Ok(())
        }
        (None, Some(status)) => {
            show_pinned(&status, out);
            Ok(())
        }
        (None, None) => {
            Err(Failure::new(Exit::NotFound, format!("there is no certificate in {}", state_dir.display()))
                .why("this node is in no mesh, and no daemon answers that could say who it is")
                .fix("aicpctl identity show; or --state-dir DIR if the state is elsewhere"))
        }
    }
}

/// What the certificate in a file says, if there is one.
fn read(path: &Path) -> Result<Option<About>, Failure> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let denied = error.kind() == ErrorKind::PermissionDenied;
            let exit = if denied { Exit::Denied } else { Exit::Failed };
            return Err(Failure::new(exit, format!("{} cannot be read", path.display()))
                .why(error.to_string())
                .fix("run it as root, or as the user that runs the daemon"));
        }
    };
    certificate::read(&bytes).map(Some).map_err(|refusal| {
        Failure::new(Exit::Failed, format!("{} is no certificate of a node or a mesh", path.display()))
            .why(refusal.reason())
            .fix("aicpd fsck; restore it from a backup")
    })
}

fn show(node: &About, authority: Option<&About>, out: Out) {
    let now = clock::now();
    let Validity { not_before, not_after } = node.validity;
    let mesh_id: Option<String> =
        authority.map(|authority| authority.key.id().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect());
    let mesh_name = authority.map(|authority| authority.name.to_string());
    out.object(
        "cert",
        json!({
            "kind": "authority", "node_id": node.key.node_id().to_string(), "node_name": node.name.as_str(),
            "mesh_id": mesh_id, "mesh_name": mesh_name, "not_before": rfc3339(not_before),
            "not_after": rfc3339(not_after), "renews": rfc3339(node.validity.renew_at()),
        }),
    );
    out.line(format_args!("{BOLD}{}{BOLD:#}  {}", node.name, node.key.node_id()));
    let line = |word: &str, text: String| out.line(format_args!("  {DIM}{word:<7}{DIM:#} {text}"));
    line("mesh", format!("{} {}", mesh_name.unwrap_or_default(), mesh_id.unwrap_or_default()));
    line("from", format!("{} ({})", rfc3339(not_before), until(not_before, now)));
    line("until", format!("{} ({})", rfc3339(not_after), until(not_after, now)));
    line("renews", format!("{} ({})", rfc3339(node.validity.renew_at()), until(node.validity.renew_at(), now)));
    if now > not_after {
        out.line(format_args!("  {RED}⚠{RED:#} it has ended: no node takes it   → aicpctl doctor"));
    } else if now < not_before {
        let fix = "timedatectl set-ntp true, if the clock of this host is wrong";
        out.line(format_args!("  {RED}⚠{RED:#} it does not count yet   → {fix}"));
    } else if now > node.validity.warn_at() {
        out.line(format_args!("  {YELLOW}⚠{YELLOW:#} it was not renewed in time   → aicpctl doctor"));
    }
}

/// One that pinned peers know by its key: the certificate is made at every start, and its dates count for nothing.
fn show_pinned(status: &NodeStatus, out: Out) {
    out.object(
        "cert",
        json!({
            "kind": "self-signed", "node_id": status.node_id, "node_name": status.node_name,
            "mesh_id": null, "mesh_name": null, "not_before": null, "not_after": null, "renews": null,
        }),
    );
    out.line(format_args!("{BOLD}{}{BOLD:#}  {}", escape(&status.node_name), escape(&status.node_id)));
    out.line("  signed by its own key, which is all that pinned peers go by; it has no end");
}
