//! `aicpctl bench`: asks one agent many times and says how long it took, beside what the RFC wants. It measures the whole
//! way: this process, the daemons, the other agent, and back.

use std::sync::Arc;
use std::time::Duration;

use client::{Agent, Body, ClientError};
use hdrhistogram::Histogram;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::agent;
use crate::args::{Bench, Common, Load};
use crate::failure::Failure;
use crate::render::{GREEN, Out, RED, escape, plural, short, size};

/// What the RFC wants of 99 in 100 messages between two hosts.
const P99_WANTED: Duration = Duration::from_millis(50);
/// Asks before the measurement, which find sessions, keys and caches.
const WARM_UP: u64 = 32;
/// Longest time that is told apart from others: a minute, in µs.
const LONGEST_US: u64 = 60_000_000;
/// An ask that takes longer has failed.
const ASK_WITHIN: Duration = Duration::from_secs(30);

/// One measurement.
struct Plan {
    agent: String,
    body: Body,
    durable: bool,
    in_flight: u64,
    count: u64,
    ends: Option<Duration>,
}

pub(crate) async fn run(common: &Common, asked: Bench, out: Out) -> Result<(), Failure> {
    let (kind, load, in_flight) = match asked {
        Bench::Latency(load) => ("latency", load, 1),
        Bench::Throughput(load) => ("throughput", load, 64),
    };
    let plan = Arc::new(plan(load, in_flight, kind == "latency"));
    let me = agent(common).await?;
    for _ in 0..WARM_UP {
        ask(&me, &plan).await.map_err(|error| Failure::about(&plan.agent, error))?;
    }
    let begun = Instant::now();
    let times = measure(&me, &plan).await.map_err(|error| Failure::about(&plan.agent, error))?;
    let took = begun.elapsed();
    let _ = me.detach().await;
    show(kind, &plan, &times, took, out);
    Ok(())
}

fn plan(load: Load, in_flight: u64, is_latency: bool) -> Plan {
    let ends = match (load.seconds, load.count, is_latency) {
        (Some(seconds), ..) => Some(Duration::from_secs(seconds)),
        (None, Some(_), _) | (None, None, true) => None,
        (None, None, false) => Some(Duration::from_secs(5)),
    };
    Plan {
        agent: load.agent,
        body: Body::octets(vec![b'x'; load.size]),
        durable: load.durable,
        in_flight: load.in_flight.map_or(in_flight, u64::from),
        count: if ends.is_some() { u64::MAX } else { load.count.unwrap_or(2000) },
        ends,
    }
}

async fn ask(me: &Agent, plan: &Plan) -> Result<Duration, ClientError> {
    let begun = Instant::now();
    let mut ask = me.ask(&plan.agent, "bench", plan.body.clone()).timeout(ASK_WITHIN);
    if plan.durable {
        ask = ask.durable();
    }
    ask.await?;
    Ok(begun.elapsed())
}

/// Keeps as many asks under way as planned, each begun when another has ended.
async fn measure(me: &Agent, plan: &Arc<Plan>) -> Result<Histogram<u64>, ClientError> {
    let empty = || Histogram::new_with_max(LONGEST_US, 3).map_err(|_| ClientError::Invalid { what: "no histogram" });
    let ends = plan.ends.map(|time| Instant::now() + time);
    let mut lanes = JoinSet::new();
    for lane in 0..plan.in_flight {
        // The count is divided over the lanes.
        let share = plan.count / plan.in_flight + u64::from(lane < plan.count % plan.in_flight);
        let (me, plan, mut times) = (me.clone(), plan.clone(), empty()?);
        lanes.spawn(async move {
            let mut done = 0;
            while done < share && ends.is_none_or(|ends| Instant::now() < ends) {
                let took = ask(&me, &plan).await?;
                times.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
                done += 1;
            }
            Ok(times)
        });
    }
    let mut all = empty()?;
    while let Some(lane) = lanes.join_next().await {
        let times: Result<Histogram<u64>, ClientError> = lane.unwrap_or(Err(ClientError::Closed));
        // Made alike, so one fits the other.
        let _ = all.add(times?);
    }
    Ok(all)
}

fn show(kind: &str, plan: &Plan, times: &Histogram<u64>, took: Duration, out: Out) {
    let at = |quantile: f64| Duration::from_micros(times.value_at_quantile(quantile));
    let p99 = at(0.99);
    let is_met = p99 < P99_WANTED;
    let rate = times.len() as f64 / took.as_secs_f64().max(1e-9);
    let count = usize::try_from(times.len()).unwrap_or(usize::MAX);
    let how = if plan.durable { "kept on disk" } else { "sent once" };
    let body = u64::try_from(plan.body.bytes().len()).unwrap_or(u64::MAX);
    out.line(format_args!(
        "{count} ask{} of {} to {}, {how}, {} at a time, in {}",
        plural(count),
        size(body),
        escape(&plan.agent),
        plan.in_flight,
        short(took)
    ));
    out.line(format_args!("  {rate:.0} messages/s there and back"));
    let columns = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
    let shown: Vec<_> = columns.iter().map(|(name, quantile)| format!("{name} {}", short(at(*quantile)))).collect();
    out.line(format_args!("  {}", shown.join("   ")));
    let (style, word) = if is_met { (GREEN, "met") } else { (RED, "missed") };
    out.line(format_args!("  p99 below {}: {style}{word}{style:#}", short(P99_WANTED)));
    out.object(
        "bench",
        json!({
            "kind": kind, "agent": plan.agent, "durable": plan.durable, "in_flight": plan.in_flight,
            "body_bytes": body, "count": times.len(), "took_us": u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "per_second": rate.round(), "p50_us": times.value_at_quantile(0.5), "p90_us": times.value_at_quantile(0.9),
            "p99_us": times.value_at_quantile(0.99), "p99_9_us": times.value_at_quantile(0.999), "max_us": times.max(),
            "p99_wanted_us": u64::try_from(P99_WANTED.as_micros()).unwrap_or(u64::MAX), "met": is_met,
        }),
    );
}
