//! `aicpctl check`: one line for a monitoring system, with numbers that it can draw. The exit codes are those that Nagios
//! gave its plugins, and nothing else is printed.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use proto::control::NodeStatus;
use serde_json::json;

use super::status::certificate_left_ms;
use super::status::warnings::{self, About, Weight};
use crate::args::{Check, Common};
use crate::failure::{Exit, Failure};
use crate::render::{Out, escape, long, plural};

/// How it is, as Nagios counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum State {
    Ok = 0,
    Warning = 1,
    Critical = 2,
    Unknown = 3,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// A number, and from where on it is bad.
struct Gauge {
    label: &'static str,
    value: u64,
    unit: &'static str,
    warn: Option<u64>,
    crit: Option<u64>,
    /// Less is worse.
    is_floor: bool,
    /// Said where it is bad.
    words: String,
}

impl Gauge {
    fn state(&self) -> State {
        let is_bad = |bound| if self.is_floor { self.value < bound } else { self.value >= bound };
        let reached = |bound: Option<u64>| bound.is_some_and(is_bad);
        match (reached(self.crit), reached(self.warn)) {
            (true, _) => State::Critical,
            (false, true) => State::Warning,
            (false, false) => State::Ok,
        }
    }
}

pub(crate) async fn run(common: &Common, asked: &Check, out: Out) -> ExitCode {
    let state = match tokio::time::timeout(asked.timeout, look(common)).await {
        Ok(Ok(status)) => judge(&status, asked, out),
        Ok(Err(failure)) => {
            // Whoever may not ask knows nothing; a daemon that is away is what one wants to hear of.
            let state = if failure.exit == Exit::Denied { State::Unknown } else { State::Critical };
            let why = failure.why.map(|why| format!(": {why}")).unwrap_or_default();
            tell(state, &format!("{}{why}", failure.what), &[], out)
        }
        Err(_) => tell(State::Critical, "the daemon did not answer in time", &[], out),
    };
    ExitCode::from(state as u8)
}

async fn look(common: &Common) -> Result<NodeStatus, Failure> {
    Ok(super::node(common).await?.status().await?)
}

fn judge(status: &NodeStatus, asked: &Check, out: Out) -> State {
    let gauges = gauges(status, asked);
    let mut problems: Vec<(State, String)> = gauges
        .iter()
        .map(|gauge| (gauge.state(), gauge.words.clone()))
        .filter(|(state, _)| *state != State::Ok)
        .collect();
    // Peers and dead letters have gauges of their own, and advice wakes nobody.
    let others = warnings::of(status).into_iter().filter(|warning| warning.about == About::Node);
    problems.extend(others.filter_map(|warning| match warning.weight {
        Weight::Advice => None,
        Weight::Warning => Some((State::Warning, warning.what)),
        Weight::Severe => Some((State::Critical, warning.what)),
    }));
    problems.sort_by_key(|(state, _)| std::cmp::Reverse(*state));
    let state = problems.first().map_or(State::Ok, |(state, _)| *state);
    let words: Vec<_> = problems.into_iter().map(|(_, words)| words).collect();
    let words = if words.is_empty() { summary(status) } else { words.join("; ") };
    tell(state, &format!("{}: {words}", escape(&status.node_name)), &gauges, out)
}

fn gauges(status: &NodeStatus, asked: &Check) -> Vec<Gauge> {
    let seconds = |time: Duration| Some(time.as_secs());
    let number =
        |label, value| Gauge { label, value, unit: "", warn: None, crit: None, is_floor: false, words: String::new() };
    let peers = u64::try_from(status.peers.len()).unwrap_or(u64::MAX);
    let down: Vec<_> = status.peers.iter().filter(|peer| peer.state != "up").map(|peer| escape(&peer.name)).collect();
    // All of none is no reason.
    let peers_crit = asked.peers_crit.or(Some(peers)).filter(|bound| *bound > 0);
    let mut gauges = vec![
        Gauge {
            warn: Some(asked.peers_warn),
            crit: peers_crit,
            words: format!("not linked: {}", down.join(", ")),
            ..number("peers_down", u64::try_from(down.len()).unwrap_or(u64::MAX))
        },
        number("peers", peers),
        number("agents", u64::try_from(status.agents.len()).unwrap_or(u64::MAX)),
        number("outbox", status.outbox_messages),
        Gauge {
            unit: "s",
            warn: seconds(asked.age_warn),
            crit: seconds(asked.age_crit),
            words: format!("a message waits to leave for {}", long(status.outbox_oldest_ms)),
            ..number("outbox_age", status.outbox_oldest_ms / 1000)
        },
        number("mailboxes", status.mailbox_messages),
        Gauge {
            warn: Some(asked.dead_warn),
            crit: Some(asked.dead_crit),
            words: {
                let count = usize::try_from(status.dead_messages).unwrap_or(usize::MAX);
                format!("{count} dead letter{}", plural(count))
            },
            ..number("dead", status.dead_messages)
        },
        Gauge { unit: "s", ..number("uptime", status.uptime_ms / 1000) },
    ];
    // A node without one needs none.
    gauges.extend(certificate_left_ms(status).map(|left_ms| Gauge {
        unit: "s",
        warn: seconds(asked.cert_warn),
        crit: seconds(asked.cert_crit),
        is_floor: true,
        words: format!("the certificate ends in {}", long(left_ms)),
        ..number("certificate", left_ms / 1000)
    }));
    gauges
}

fn summary(status: &NodeStatus) -> String {
    let up = status.peers.iter().filter(|peer| peer.state == "up").count();
    let (peers, agents) = (status.peers.len(), status.agents.len());
    format!(
        "{up} of {peers} peer{} linked, {agents} agent{}, outbox {}, dead {}",
        plural(peers),
        plural(agents),
        status.outbox_messages,
        status.dead_messages
    )
}

/// The line, and what it says.
fn tell(state: State, words: &str, gauges: &[Gauge], out: Out) -> State {
    let numbers = gauges.iter().fold(String::new(), |mut line, gauge| {
        // Nagios writes "bad below" with a colon.
        let colon = if gauge.is_floor { ":" } else { "" };
        let bound = |bound: Option<u64>| bound.map(|bound| format!("{bound}{colon}")).unwrap_or_default();
        // Writing into a string cannot fail.
        let _ = write!(
            line,
            " {}={}{};{};{};0",
            gauge.label,
            gauge.value,
            gauge.unit,
            bound(gauge.warn),
            bound(gauge.crit)
        );
        line
    });
    let gauges = gauges.iter().map(|gauge| (gauge.label.to_owned(), json!(gauge.value)));
    let gauges: serde_json::Map<_, _> = gauges.collect();
    out.object("check", json!({ "state": state.word(), "words": words, "numbers": gauges }));
    // A stroke begins the numbers, and nothing else may.
    let words = escape(words).replace('|', "/");
    let bar = if numbers.is_empty() { "" } else { " |" };
    out.line(format_args!("AICP {} - {words}{bar}{numbers}", state.word()));
    state
}
