//! `aicpctl ping`: whether an agent's node answers, and how long the way is.

use std::time::Duration;

use client::ClientError;
use serde_json::json;

use super::agent;
use crate::args::{Common, Ping};
use crate::failure::{Exit, Failure};
use crate::render::{Out, escape, plural, short};

/// Between two pings.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) async fn run(common: &Common, asked: Ping, out: Out) -> Result<(), Failure> {
    let me = agent(common).await?;
    let mut times = Vec::new();
    for round in 1..=asked.count {
        let pong = tokio::time::timeout(asked.timeout, me.ping(&asked.agent)).await;
        match pong.unwrap_or(Err(ClientError::Timeout)) {
            Ok(pong) => {
                let who = match (&pong.name, &pong.node_name) {
                    (Some(name), Some(node)) => escape(&format!("{name}@{node}")),
                    _ => pong.source.short(),
                };
                let relays = if pong.hops == 0 { "direct".into() } else { format!("{} relays", pong.hops) };
                out.line(format_args!("{who}: {} {relays}", short(pong.round_trip)));
                out.object(
                    "ping",
                    json!({ "from": who, "from_id": pong.source.to_string(), "hops": pong.hops,
                            "round_trip_us": u64::try_from(pong.round_trip.as_micros()).unwrap_or(u64::MAX) }),
                );
                times.push(pong.round_trip);
            }
            Err(ClientError::Timeout) => out.talk(format_args!("no answer within {}", short(asked.timeout))),
            Err(error) => return Err(Failure::about(&asked.agent, error)),
        }
        if round < asked.count {
            tokio::time::sleep(PAUSE).await;
        }
    }
    let _ = me.detach().await;
    let (Some(least), Some(most)) = (times.iter().min(), times.iter().max()) else {
        return Err(Failure::new(Exit::Timeout, format!("{} did not answer", asked.agent)).fix("aicpctl status"));
    };
    if !out.is_json() {
        let count = times.len();
        out.talk(format_args!(
            "{count} of {} answer{}, {} to {}",
            asked.count,
            plural(count),
            short(*least),
            short(*most)
        ));
    }
    Ok(())
}
