//! `aicpctl revoke` and `aicpctl authority share`: who is shut out of the mesh, and who may decide that.

use proto::control::PeerOrder;

use super::{join, leave, node, short_id};
use crate::args::Common;
use crate::args::membership::{Authority, Revoke};
use crate::failure::Failure;
use crate::render::{GREEN, Out, escape, plural};

pub(crate) async fn run(common: &Common, asked: &Revoke, out: Out) -> Result<(), Failure> {
    leave::sure(&asked.sure, &format!("shut {} out of the mesh for good", asked.node), out)?;
    let order = PeerOrder { node: asked.node.clone(), blocked: false };
    let told = node(common).await?.revoke(&order).await.map_err(join::refused)?;
    out.object("revoked", &told);
    let count = told.nodes.len();
    out.line(format_args!(
        "{GREEN}✓{GREEN:#} {} is revoked: list {} with {count} node{} is on its way to every member",
        escape(&asked.node),
        told.epoch,
        plural(count)
    ));
    for id in &told.nodes {
        out.line(format_args!("  {}", short_id(id)));
    }
    Ok(())
}

pub(crate) async fn authority(common: &Common, asked: &Authority, out: Out) -> Result<(), Failure> {
    let Authority::Share(asked) = asked;
    let what = format!(
        "give {} the key of the mesh's authority: whoever holds it can let nodes in and shut nodes out",
        asked.node
    );
    leave::sure(&asked.sure, &what, out)?;
    let order = PeerOrder { node: asked.node.clone(), blocked: false };
    let done = node(common).await?.share_authority(&order).await.map_err(join::refused)?;
    out.object("done", done);
    out.line(format_args!(
        "{GREEN}✓{GREEN:#} {} keeps the key too: it renews certificates, lets nodes in and shuts nodes out",
        escape(&asked.node)
    ));
    Ok(())
}
