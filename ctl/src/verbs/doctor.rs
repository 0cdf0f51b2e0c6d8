//! `aicpctl doctor`: what is wrong on this host, why, and how to mend it. It looks for itself and asks the daemon; with
//! `--fix` it mends what can be mended from here, and nothing else is changed.

mod daemon;
mod disk;
mod permissions;
mod udp;

use std::process::ExitCode;

use config::Config;
use proto::control::NodeStatus;
use serde_json::{Value, json};

use super::host::{self, Behind};
use crate::args::{Common, Doctor, StateOf};
use crate::clock;
use crate::failure::{Exit, Failure};
use crate::render::{BOLD, DIM, GREEN, Out, RED, YELLOW, escape, plural};

/// How something is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum State {
    /// It could not be looked at, and that is nothing bad.
    Skipped,
    Ok,
    /// It works, and should be mended.
    Warn,
    /// It does not work.
    Fail,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    check: &'static str,
    pub(super) state: State,
    what: String,
    why: Option<String>,
    fix: Option<String>,
    /// It was not so, and is now.
    is_fixed: bool,
}

impl Finding {
    fn new(check: &'static str, state: State, what: impl Into<String>) -> Self {
        Self { check, state, what: what.into(), why: None, fix: None, is_fixed: false }
    }

    fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    fn fixed(mut self) -> Self {
        self.is_fixed = true;
        self
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.state.word(), self.check, self.what)?;
        match &self.why {
            Some(why) => write!(f, " ({why})"),
            None => Ok(()),
        }
    }
}

/// What is known before anything is looked at.
struct Patient<'a> {
    common: &'a Common,
    asked: &'a StateOf,
    status: Result<NodeStatus, Failure>,
    config: Result<Config, Failure>,
    behind: Option<Behind>,
    fix: bool,
}

pub(crate) async fn run(common: &Common, asked: &Doctor, out: Out) -> Result<ExitCode, Failure> {
    let findings = examine(common, &asked.state, asked.fix).await;
    let worst = findings.iter().map(|finding| finding.state).max().unwrap_or(State::Ok);
    let findings_in_json: Vec<Value> = findings.iter().map(in_json).collect();
    let state = if worst == State::Skipped { State::Ok } else { worst };
    out.object(
        "doctor",
        json!({ "state": state.word(), "time": clock::rfc3339(clock::now()), "checks": findings_in_json }),
    );
    show(&findings, out);
    if !out.is_json() {
        summary(&findings, asked.fix, out);
    }
    Ok(match worst {
        State::Skipped | State::Ok => ExitCode::SUCCESS,
        State::Warn => Exit::Degraded.into(),
        State::Fail => Exit::Failed.into(),
    })
}

/// Looks at everything. Nothing is changed unless `fix`.
pub(super) async fn examine(common: &Common, asked: &StateOf, fix: bool) -> Vec<Finding> {
    let of_the_daemon = host::as_the_daemon(common, asked).await;
    let status = match super::node(common).await {
        Ok(node) => node.status().await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    let config = host::configuration(common, &of_the_daemon);
    let patient =
        Patient { common, asked: &of_the_daemon, status, config, behind: host::daemon_process(common).await, fix };
    let mut findings = vec![daemon::answers(&patient), daemon::configuration(&patient)];
    findings.extend(daemon::versions(&patient));
    findings.push(daemon::clock(&patient));
    findings.extend(daemon::certificate(&patient));
    findings.extend(daemon::ticket(&patient));
    findings.push(daemon::files(&patient));
    findings.push(udp::buffers(&patient));
    findings.push(udp::local(&patient));
    findings.extend(udp::peers(&patient).await);
    match host::state_dir(common, asked, patient.status.as_ref().ok()) {
        Ok(state_dir) => {
            findings.push(disk::sync(&state_dir).await);
            findings.push(disk::room(&state_dir, &patient));
            findings.extend(permissions::state(&state_dir, &patient));
        }
        // The configuration's own finding has said it.
        Err(_) => findings.push(Finding::new("state", State::Skipped, "it is not known where the state is")),
    }
    findings.extend(permissions::socket(&patient));
    findings
}

fn in_json(finding: &Finding) -> Value {
    json!({
        "check": finding.check, "state": finding.state.word(), "what": finding.what, "why": finding.why,
        "fix": finding.fix, "fixed": finding.is_fixed,
    })
}

/// A line for each, and what to do beneath it.
pub(super) fn show(findings: &[Finding], out: Out) {
    for finding in findings {
        let (style, mark) = match finding.state {
            State::Skipped => (DIM, "–"),
            State::Ok => (GREEN, "✓"),
            State::Warn => (YELLOW, "⚠"),
            State::Fail => (RED, "✗"),
        };
        let fixed = if finding.is_fixed { " (mended just now)" } else { "" };
        out.line(format_args!("{style}{mark}{style:#} {:<13} {}{fixed}", finding.check, escape(&finding.what)));
        for (word, line) in [("why", &finding.why), ("fix", &finding.fix)] {
            if let Some(line) = line {
                out.line(format_args!("  {:<13} {DIM}{word}:{DIM:#} {}", "", escape(line)));
            }
        }
    }
}

fn summary(findings: &[Finding], is_fixing: bool, out: Out) {
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (fail, warn) = (count(State::Fail), count(State::Warn));
    if fail + warn == 0 {
        return out.talk(format_args!("{BOLD}all is well{BOLD:#}"));
    }
    let hint = if is_fixing { "" } else { "; sudo aicpctl doctor --fix mends what it can" };
    out.talk(format_args!("{BOLD}{fail} failure{} and {warn} warning{}{BOLD:#}{hint}", plural(fail), plural(warn)));
}
