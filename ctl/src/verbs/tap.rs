//! `aicpctl tap`: what happens to messages at this node, a line for each moment. Envelopes alone; it asks every moment
//! anew, so it holds nobody up.

use std::time::Duration;

use proto::control::{Moment, Tap as Asked};

use super::explain::cells;
use super::{node, select};
use crate::args::{Common, Tap};
use crate::failure::Failure;
use crate::render::{DIM, Out, YELLOW, escape, time_of_day};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) async fn run(common: &Common, asked: Tap, out: Out) -> Result<(), Failure> {
    let node = node(common).await?;
    let mut question = Asked { cursor: 0, agent: asked.agent.unwrap_or_default(), limit: 0 };
    let mut left = asked.count;
    let mut is_first = true;
    loop {
        let told = node.tap(&question).await.map_err(select::refused)?;
        if is_first {
            out.talk("tapping; ctrl-c ends it");
            is_first = false;
        }
        if told.missed > 0 {
            out.talk(format_args!("{YELLOW}{} moments went by untold{YELLOW:#}", told.missed));
        }
        for moment in &told.moments {
            if left == Some(0) {
                return Ok(());
            }
            left = left.map(|left| left - 1);
            show(moment, out);
        }
        if left == Some(0) {
            return Ok(());
        }
        question.cursor = told.cursor;
        tokio::time::sleep(PAUSE).await;
    }
}

fn show(moment: &Moment, out: Out) {
    out.object("moment", moment);
    let [what, kind, from, to, details] = cells(moment);
    let (time, id) = (time_of_day(moment.time), escape(&moment.message_id));
    out.line(format_args!("{DIM}{time}{DIM:#} {id} {what:<16} {kind:<9} {from} → {to} {DIM}{details}{DIM:#}"));
}
