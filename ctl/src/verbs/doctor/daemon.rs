//! The daemon: whether it answers and why not, what it was told, whether its clock is right, and how many files it may
//! have open.

use proto::limits;

use super::{Finding, Patient, State};
use crate::failure::Exit;
use crate::render::long;
use crate::verbs::status::certificate_left_ms;

pub(super) fn answers(patient: &Patient<'_>) -> Finding {
    const CHECK: &str = "daemon";
    match &patient.status {
        Ok(status) => {
            let up = long(status.uptime_ms);
            Finding::new(CHECK, State::Ok, format!("{} answers, up {up}", status.node_name))
        }
        Err(failure) => {
            let mut finding = Finding::new(CHECK, State::Fail, failure.what.clone());
            finding.why.clone_from(&failure.why);
            finding.fix.clone_from(&failure.fix);
            finding
        }
    }
}

pub(super) fn configuration(patient: &Patient<'_>) -> Finding {
    const CHECK: &str = "configuration";
    match &patient.config {
        Ok(_) => Finding::new(CHECK, State::Ok, "the configuration can be read, and every value in it used"),
        Err(failure) => Finding::new(CHECK, State::Fail, "the configuration cannot be used")
            .why(failure.what.clone())
            .fix("correct it; a daemon that runs is not touched by it. aicpd default-config shows every key"),
    }
}

/// Installed together, they are alike; after an upgrade the daemon may still be the old one.
pub(super) fn versions(patient: &Patient<'_>) -> Option<Finding> {
    const CHECK: &str = "version";
    let ours = env!("CARGO_PKG_VERSION");
    let theirs = &patient.status.as_ref().ok()?.version;
    if theirs == ours {
        return Some(Finding::new(CHECK, State::Ok, format!("aicpctl and the daemon are {ours}")));
    }
    let what = format!("aicpctl is {ours}, the daemon {theirs}");
    Some(
        Finding::new(CHECK, State::Warn, what)
            .why("one of the two was upgraded alone, or the daemon still runs as it was")
            .fix("restart the daemon"),
    )
}

/// By what the daemon compared: its clock with those of its peers, and with its own of a moment ago.
pub(super) fn clock(patient: &Patient<'_>) -> Finding {
    const CHECK: &str = "clock";
    let Ok(status) = &patient.status else {
        return Finding::new(CHECK, State::Skipped, "the daemon compares clocks, and does not answer");
    };
    if status.expiry_suspended {
        return Finding::new(CHECK, State::Warn, "the clock of this host jumped; nothing expires for now")
            .why("mail must not expire because a clock was wrong for a while")
            .fix("wait until it has been steady for 10 minutes; or, if it is right: aicpctl clock trust");
    }
    if let Some(told) = status.warnings.iter().find(|told| told.starts_with("the clock")) {
        return Finding::new(CHECK, State::Warn, told.clone())
            .why("messages carry the time of their host; a wrong one marks mail, or makes it late")
            .fix("timedatectl set-ntp true, on whichever host is wrong");
    }
    let up = status.peers.iter().filter(|peer| peer.state == "up").count();
    match up {
        0 => Finding::new(CHECK, State::Skipped, "no peer is linked whose clock could be compared"),
        _ => Finding::new(CHECK, State::Ok, "no linked peer's clock is far from this one"),
    }
}

/// A ticket that the service manager hands over, and that came to nothing.
pub(super) fn ticket(patient: &Patient<'_>) -> Option<Finding> {
    let told = patient.status.as_ref().ok()?.warnings.iter().find(|told| told.starts_with("a join ticket"))?;
    let (what, fix) =
        told.split_once("; fix: ").unwrap_or((told, "aicpctl invite on a member, aicpctl join TICKET here"));
    Some(Finding::new("join ticket", State::Warn, what).fix(fix))
}

/// A certificate renews itself; one that does not, ends.
pub(super) fn certificate(patient: &Patient<'_>) -> Option<Finding> {
    const CHECK: &str = "certificate";
    let status = patient.status.as_ref().ok()?;
    let left_ms = certificate_left_ms(status)?;
    let told = status.warnings.iter().find(|told| told.starts_with("the certificate"));
    let finding = match (left_ms, told) {
        (0, _) => Finding::new(CHECK, State::Fail, "the certificate of this node has ended"),
        (_, Some(told)) => Finding::new(CHECK, State::Warn, told.clone()),
        (_, None) => {
            let what = format!("the certificate of this node is good for {}, and renews itself", long(left_ms));
            return Some(Finding::new(CHECK, State::Ok, what));
        }
    };
    let why = "other nodes take none whose certificate has ended; those that keep the authority's key renew it";
    Some(finding.why(why).fix("have such a node up, and linked with this one: aicpctl peers"))
}

/// Each connection of an agent is an open file.
pub(super) fn files(patient: &Patient<'_>) -> Finding {
    const CHECK: &str = "open files";
    let Some(behind) = patient.behind else {
        return Finding::new(CHECK, State::Skipped, "it is not known which process the daemon is");
    };
    let Some(most) = open_files(behind.process) else {
        return Finding::new(CHECK, State::Skipped, "the daemon's limits cannot be read").fix("sudo aicpctl doctor");
    };
    let wanted = u64::try_from(limits::SESSIONS_MAX + limits::FILES_BESIDE_SESSIONS).unwrap_or(u64::MAX);
    if most >= wanted {
        return Finding::new(CHECK, State::Ok, format!("the daemon may have {most} files open"));
    }
    Finding::new(CHECK, State::Warn, format!("the daemon may have {most} files open, wanted {wanted}"))
        .why("each connection of an agent is one; what is more is turned away")
        .fix("LimitNOFILE= in its unit, or ulimit -Hn before it starts; then restart it")
}

/// The limit that is in force for a process.
fn open_files(process: i32) -> Option<u64> {
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX) } else { soft.parse().ok() }
}

/// Whether nobody listens at the socket, so that nobody holds the ports either.
pub(super) fn is_away(patient: &Patient<'_>) -> bool {
    patient.status.as_ref().is_err_and(|failure| failure.exit == Exit::Unreachable)
}
