//! `aicpctl clock trust`: the operator says that the clock is right although it jumped.

use client::Order;
use proto::control::Select;

use super::{node, select};
use crate::args::{Clock, Common};
use crate::failure::Failure;
use crate::render::Out;

pub(crate) async fn run(common: &Common, asked: &Clock, out: Out) -> Result<(), Failure> {
    let Clock::Trust = asked;
    let done = select::order(&node(common).await?, Order::TrustClock, &Select::default()).await?;
    out.object("done", done);
    out.line("the clock is trusted: what expires may expire");
    Ok(())
}
