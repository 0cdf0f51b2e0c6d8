//! `aicpctl up`, `aicpctl invite`: this node in a mesh, and a ticket for one more.

use std::time::Duration;

use client::Node;
use proto::control::{Invitation, Invite as AskInvite, Up as AskUp};

use super::{join, node, short_id, start};
use crate::args::Common;
use crate::args::membership::{Invite, Up};
use crate::failure::{Exit, Failure};
use crate::render::{BOLD, GREEN, Out, YELLOW, escape, long};

pub(crate) async fn run(common: &Common, asked: Up, out: Out) -> Result<(), Failure> {
    let daemon = start::connect(common, &asked.place.state, out).await?;
    let order = AskUp {
        name: asked.place.called.clone().unwrap_or_default(),
        mesh_name: asked.mesh.clone().unwrap_or_default(),
        listen: asked.place.listen.clone().unwrap_or_default(),
        advertise: asked.place.advertise.clone(),
    };
    let reply = daemon.up(&order).await.map_err(join::refused)?;
    out.object("up", &reply);
    let is_ready = |status: &proto::control::NodeStatus| status.is_up && status.mesh_id == reply.mesh_id;
    let status = start::settled(common, "the node is up", is_ready).await?;
    let name = escape(&status.node_name);
    let made = if reply.made { "made" } else { "is that of before" };
    out.line(format_args!("{GREEN}✓{GREEN:#} node {BOLD}{name}{BOLD:#}  {}", short_id(&status.node_id)));
    out.line(format_args!("{GREEN}✓{GREEN:#} mesh {} {made}", escape(&status.mesh_name)));
    for listen in &status.listen {
        out.line(format_args!("{GREEN}✓{GREEN:#} listening on {}/udp", escape(listen)));
    }
    out.line(format_args!("{GREEN}✓{GREEN:#} built-in agent echo@{name}"));
    start::remind_of_boot(common, out).await;
    if asked.invite {
        return print_ticket(&node(common).await?, asked.expires, out).await;
    }
    out.talk("for a ticket with which another host can join: aicpctl invite");
    Ok(())
}

pub(crate) async fn invite(common: &Common, asked: &Invite, out: Out) -> Result<(), Failure> {
    print_ticket(&node(common).await?, asked.expires, out).await
}

async fn print_ticket(node: &Node, life: Duration, out: Out) -> Result<(), Failure> {
    let life_ms = u64::try_from(life.as_millis()).unwrap_or(u64::MAX);
    if life_ms == 0 || life > Duration::from_nanos(proto::limits::TICKET_LIFE_MAX) {
        return Err(Failure::new(Exit::Usage, "a ticket is good for at most 7 days").fix("a shorter --expires"));
    }
    let invitation: Invitation = node.invite(&AskInvite { life_ms }).await.map_err(join::refused)?;
    out.object("invite", &invitation);
    let loopback = |address: &String| address.starts_with("127.") || address.starts_with("[::1]");
    if invitation.addresses.iter().all(loopback) {
        out.talk(format_args!(
            "{YELLOW}⚠{YELLOW:#} this host has no address but its own loopback: nobody else can use the ticket"
        ));
    }
    out.talk(format_args!("On the other host, within {}, and on no more than one:", long(life_ms)));
    out.line(format_args!("aicpctl join {}", escape(&invitation.ticket)));
    Ok(())
}
