//! What is wrong with a node as far as it says itself, and what to do about each. `status` and `check` go by it.

use std::fmt;

use proto::control::{NodeStatus, PeerStatus};

use crate::render::{escape, long, plural, size};
use crate::verbs::host;

/// What it is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Weight {
    /// It would be better otherwise; nobody need be woken for it.
    Advice,
    /// Somebody should look.
    Warning,
    /// Messages are not taken because of it.
    Severe,
}

/// What a warning is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum About {
    /// A peer that is not linked.
    Peer,
    /// What was given up.
    DeadLetters,
    /// Anything else.
    Node,
}

/// One thing to mend.
pub(crate) struct Warning {
    pub(crate) what: String,
    pub(crate) fix: Option<String>,
    pub(crate) weight: Weight,
    pub(crate) about: About,
}

impl Warning {
    fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), fix: Some(fix.into()), weight: Weight::Warning, about: About::Node }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.fix {
            Some(fix) => write!(f, "   → {fix}"),
            None => Ok(()),
        }
    }
}

/// All of it, the worst first. Nothing in it does anything to a terminal.
pub(crate) fn of(status: &NodeStatus) -> Vec<Warning> {
    let mut found = Vec::new();
    if status.disk_full {
        let what = "the disk is full: nothing new is taken, what is here goes on";
        let place = escape(&status.state_dir);
        found.push(Warning { weight: Weight::Severe, ..Warning::new(what, format!("make room in {place}")) });
    }
    if status.expiry_suspended {
        found.push(Warning::new(
            "the clock of this host jumped, so nothing expires until it has been steady for 10 minutes",
            "if it is right now: aicpctl clock trust",
        ));
    }
    found.extend(status.warnings.iter().map(String::as_str).map(told_by_itself));
    found.extend(status.peers.iter().filter(|peer| peer.state != "up").map(down));
    if status.dead_messages > 0 {
        let count = usize::try_from(status.dead_messages).unwrap_or(usize::MAX);
        let warning = Warning::new(format!("{count} dead letter{}", plural(count)), "aicpctl dlq ls");
        found.push(Warning { about: About::DeadLetters, ..warning });
    }
    found.extend(udp_buffer(status));
    found
}

/// What the daemon warns of in its own words. Some of them say what to do.
fn told_by_itself(told: &str) -> Warning {
    match told.split_once("; fix: ") {
        Some((what, fix)) => Warning::new(escape(what), escape(fix)),
        None => Warning { fix: remedy(told), ..Warning::new(escape(told), "") },
    }
}

/// What to do about it where they do not.
fn remedy(told: &str) -> Option<String> {
    let fix = match told {
        told if told.starts_with("the clock") => "timedatectl set-ntp true, on whichever host is wrong",
        told if told.starts_with("the certificate") => {
            "aicpctl peers: a node that keeps the authority's key must be up, and linked"
        }
        _ => return None,
    };
    Some(fix.into())
}

fn down(peer: &PeerStatus) -> Warning {
    let name = escape(&peer.name);
    let why = if peer.last_error.is_empty() { String::new() } else { format!(": {}", escape(&peer.last_error)) };
    let what = format!("{name} is {} since {}{why}", escape(&peer.state), long(peer.since_ms));
    Warning { about: About::Peer, ..Warning::new(what, "aicpctl doctor") }
}

/// Of no interest to a node that speaks to no other.
fn udp_buffer(status: &NodeStatus) -> Option<Warning> {
    let is_alone = status.listen.is_empty() && status.peers.is_empty();
    let bytes = host::small_buffer().filter(|_| !is_alone)?;
    let wanted = u64::try_from(proto::limits::UDP_BUFFER_BYTES).unwrap_or(u64::MAX);
    let what = format!("a UDP buffer may have {} here, wanted {}", size(bytes), size(wanted));
    Some(Warning { weight: Weight::Advice, ..Warning::new(what, "sudo aicpctl doctor --fix") })
}
