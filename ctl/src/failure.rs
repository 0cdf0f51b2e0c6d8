//! What went wrong, in four lines: what, why, what happens now, how to fix it; and the exit code that says so to scripts.
//! Texts from the network are kept as they came; whoever shows them escapes them.

use std::io;
use std::process::ExitCode;

use client::{ClientError, ErrorCode};

/// How the program ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Exit {
    /// As asked.
    Ok = 0,
    /// Otherwise than below.
    Failed = 1,
    /// What was asked for makes no sense.
    Usage = 2,
    /// No daemon answers.
    Unreachable = 3,
    /// No such agent.
    NotFound = 4,
    /// Not allowed.
    Denied = 5,
    /// Too late.
    Timeout = 6,
    /// It ended without being handled.
    Undeliverable = 7,
    /// It works, and something should be mended.
    Degraded = 8,
    /// By whoever sits at the keyboard.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// How to have a daemon that answers.
pub(crate) const START: &str = "aicpctl up or aicpd run start one, as does systemctl start aicpd where it is installed as \
                                a service; --socket PATH if it listens elsewhere";

/// Why it did not end as asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) code: Option<ErrorCode>,
    pub(crate) what: String,
    pub(crate) why: Option<String>,
    pub(crate) now: Option<String>,
    pub(crate) fix: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, code: None, what: what.into(), why: None, now: None, fix: None }
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted")
    }

    pub(crate) fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    pub(crate) fn now(mut self, now: impl Into<String>) -> Self {
        self.now = Some(now.into());
        self
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// What the library said, about a message to `agent`.
    pub(crate) fn about(agent: &str, error: ClientError) -> Self {
        if let ClientError::Refused { code, message, retry_after_ms } = error {
            return refused(agent, code, &message, retry_after_ms);
        }
        if matches!(error, ClientError::Timeout) {
            return Self::new(Exit::Timeout, format!("{agent} did not answer in time"))
                .why("it may be busy or away, or nobody there handles this subject")
                .now("whether it acted is unknown; nobody waits for the answer any more")
                .fix("a longer --timeout, or --durable for one that waits");
        }
        error.into()
    }
}

fn refused(agent: &str, code: ErrorCode, message: &str, retry_after_ms: u32) -> Failure {
    let (exit, what, now, fix) = match code {
        ErrorCode::OFFLINE => {
            (Exit::NotFound, format!("agent {agent} is not known, or away"), "nothing is under way", "aicpctl agents")
        }
        ErrorCode::UNAUTHENTICATED => (
            Exit::Denied,
            "the daemon does not take you for whom you say".into(),
            "nothing is under way",
            "another name with --as; a name belongs to the user who had it first",
        ),
        ErrorCode::POLICY => (Exit::Denied, format!("{agent} does not take this"), "nothing is under way", ""),
        ErrorCode::TIMEOUT => (
            Exit::Timeout,
            format!("the end of the message to {agent} is unknown"),
            "it may have been handled; nobody tries again",
            "",
        ),
        ErrorCode::NO_ROUTE | ErrorCode::HOPS => (
            Exit::Undeliverable,
            format!("no way leads to {agent}"),
            "nothing is under way",
            "aicpctl status, and look at the peers",
        ),
        ErrorCode::EXPIRED => (
            Exit::Undeliverable,
            format!("the message to {agent} expired and was never delivered"),
            "it is gone",
            "send it again with a longer --expires",
        ),
        ErrorCode::GIVEN_UP => {
            (Exit::Undeliverable, format!("{agent} did not handle the message in many attempts"), "it is set aside", "")
        }
        ErrorCode::FULL => (
            Exit::Failed,
            format!("there is no room for more messages to {agent}"),
            "nothing is under way",
            "try again later; aicpctl status shows what waits",
        ),
        _ => (Exit::Failed, format!("the message to {agent} was refused"), "nothing is under way", ""),
    };
    let mut failure = Failure::new(exit, what).now(now);
    failure.code = Some(code);
    if !message.is_empty() {
        failure.why = Some(message.to_owned());
    }
    if retry_after_ms > 0 {
        failure.fix = Some(format!("try again in {retry_after_ms} ms"));
    } else if !fix.is_empty() {
        failure.fix = Some(fix.to_owned());
    }
    failure
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let words = error.to_string();
        match error {
            ClientError::NoDaemon { tried, source } => {
                let tried: Vec<_> = tried.iter().map(|path| path.display().to_string()).collect();
                Self::new(Exit::Unreachable, "no daemon answers on this host")
                    .why(format!("tried {}: {source}", tried.join(", ")))
                    .now("nothing was sent")
                    .fix(START)
            }
            ClientError::NotASocket { path } => {
                Self::new(Exit::Unreachable, format!("{} is not a socket", path.display()))
                    .now("nothing was sent")
                    .fix("--socket PATH with the path that the daemon listens on")
            }
            ClientError::PermissionDenied { path } => {
                Self::new(Exit::Denied, format!("no permission to use {}", path.display()))
                    .why("the socket belongs to another user or group")
                    .now("nothing was sent")
                    .fix("become a member of the socket's group, or ask whoever runs the daemon")
            }
            ClientError::Disconnected => Self::new(Exit::Unreachable, "the daemon went away")
                .why("it ended, or it takes no more connections")
                .now("whether it acted is unknown")
                .fix("aicpctl status"),
            ClientError::Timeout => Self::new(Exit::Timeout, "the daemon did not answer in time")
                .why("it is busy, or stuck")
                .fix("aicpctl status"),
            ClientError::Refused { code, message, retry_after_ms } => {
                refused("the node", code, &message, retry_after_ms)
            }
            ClientError::TooLarge { bytes, most } => {
                let mut failure =
                    Self::new(Exit::Failed, format!("the body has {bytes} bytes, at most {most} are taken"));
                failure.code = Some(ErrorCode::TOO_LARGE);
                failure.now("nothing was sent")
            }
            ClientError::Invalid { what } => Self::new(Exit::Usage, what).now("nothing was sent"),
            ClientError::NotAsked
            | ClientError::Unanswered
            | ClientError::Closed
            | ClientError::TakenOver
            | ClientError::Protocol { .. }
            | ClientError::System { .. }
            | _ => Self::new(Exit::Failed, words),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}
