//! `aicpctl join`: this node becomes a member of a mesh, and proves it with a first message.

use std::time::Duration;

use client::{Agent, ClientError, ErrorCode};
use proto::control::{Join as AskJoin, JoinReply};
use tokio::time::{Instant, sleep};

use super::{agent, start};
use crate::args::Common;
use crate::args::membership::Join;
use crate::failure::{Exit, Failure};
use crate::render::{BOLD, DIM, GREEN, Out, YELLOW, escape, long, short};

/// How long the first message may take: the restart in place, the link, and the records of the agents.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);
/// How long one question is waited for, at first and at most: it may have gone over a link that another one replaces.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(8);
/// From here on a clock that is apart is worth a word.
const APART_MS: u64 = 5_000;

pub(crate) async fn run(common: &Common, asked: Join, out: Out) -> Result<(), Failure> {
    let begun = Instant::now();
    let daemon = start::connect(common, &asked.place.state, out).await?;
    let order = AskJoin {
        ticket: asked.ticket.clone(),
        name: asked.place.called.clone().unwrap_or_default(),
        listen: asked.place.listen.clone().unwrap_or_default(),
        advertise: asked.place.advertise.clone(),
    };
    let reply = daemon.join(&order).await.map_err(refused)?;
    out.object("join", &reply);
    let inviter = escape(&reply.inviter_name);
    out.line(format_args!(
        "{GREEN}✓{GREEN:#} joined mesh {BOLD}{}{BOLD:#} as {BOLD}{}{BOLD:#} ({inviter}'s key matches the ticket)",
        escape(&reply.mesh_name),
        escape(&reply.node_name),
    ));
    if reply.clock_apart_ms > APART_MS {
        out.talk(format_args!(
            "{YELLOW}⚠{YELLOW:#} the clock of this host is {} from that of {inviter}; set it right: timedatectl set-ntp true",
            long(reply.clock_apart_ms)
        ));
    }
    start::settled(common, "the node is up", |status| status.is_up && status.mesh_id == reply.mesh_id).await?;
    start::remind_of_boot(common, out).await;
    first_message(common, &reply, begun, out).await
}

async fn first_message(common: &Common, reply: &JoinReply, begun: Instant, out: Out) -> Result<(), Failure> {
    let me: Agent = agent(common).await?;
    let whom = format!("echo@{}", reply.inviter_name);
    let until = Instant::now() + PATIENCE;
    let mut patience = FIRST;
    let why = loop {
        let asked = Instant::now();
        let answer = me.ask(whom.as_str(), "first message", "hello").timeout(patience).await;
        patience = (2 * patience).min(LONGEST);
        match answer {
            Ok(_) => {
                out.line(format_args!(
                    "{GREEN}✓{GREEN:#} first message: {} answered in {}, signed, and sealed from end to end {DIM}({} after join began){DIM:#}",
                    escape(&whom),
                    short(asked.elapsed()),
                    short(begun.elapsed())
                ));
                return Ok(());
            }
            Err(error) if Instant::now() >= until || !may_come(&error) => break error,
            Err(_) => sleep(LOOK).await,
        }
    };
    Err(Failure::new(Exit::Timeout, format!("{} did not answer yet", escape(&whom)))
        .why(why.to_string())
        .now("this node is a member, and goes on to try to reach the others")
        .fix("aicpctl peers; UDP must get through between the hosts"))
}

/// The link and the records may not be there yet.
fn may_come(error: &ClientError) -> bool {
    const PASSING: [ErrorCode; 4] = [ErrorCode::OFFLINE, ErrorCode::NO_ROUTE, ErrorCode::PREKEY, ErrorCode::TIMEOUT];
    matches!(error, ClientError::Refused { code, .. } if PASSING.contains(code))
        || matches!(error, ClientError::Timeout | ClientError::Disconnected)
}

/// What the daemon says about orders that concern the mesh has its own words and its own fix.
pub(super) fn refused(error: ClientError) -> Failure {
    let ClientError::Refused { code, message, .. } = error else { return error.into() };
    let exit = match code {
        ErrorCode::POLICY => Exit::Denied,
        ErrorCode::OFFLINE => Exit::NotFound,
        _ => Exit::Failed,
    };
    let (what, fix) = message.split_once("; fix: ").map_or((&*message, None), |(what, fix)| (what, Some(fix)));
    let mut failure = Failure::new(exit, what).why("the daemon refused it").now("nothing was changed on this host");
    failure.code = Some(code);
    failure.fix(fix.unwrap_or("aicpctl status, aicpctl peers"))
}
