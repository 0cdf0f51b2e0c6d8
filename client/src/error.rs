//! What can go wrong, by who must act. Each variant says what became of what was asked.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use proto::control::ErrorBody;
use proto::{ErrorCode, MessageId, Refusal};

/// Why something was not done.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens there: start a daemon (`aicpd run`), or name its socket. Nothing was sent.
    #[error("no daemon answers; tried {}; `aicpd run` starts one", listed(tried))]
    NoDaemon {
        /// Where a socket was looked for, in order.
        tried: Vec<PathBuf>,
        /// What the system said about the last of them.
        source: Arc<io::Error>,
    },
    /// What stands there is no socket: name another path. Nothing was sent.
    #[error("{} is not a socket", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The socket is another's: ask its owner for access. Nothing was sent.
    #[error("no permission to use {}", path.display())]
    PermissionDenied {
        /// The path.
        path: PathBuf,
    },
    /// The mesh refused it, and says why. It is not under way.
    #[error("{code}: {message}")]
    Refused {
        /// What went wrong, for programs.
        code: ErrorCode,
        /// What went wrong, for people. Untrusted: escape it before it reaches a terminal.
        message: Box<str>,
        /// When trying again makes sense; zero is no advice.
        retry_after_ms: u32,
    },
    /// No answer came in time. Whether the other side acted is unknown.
    #[error("no answer came in time")]
    Timeout,
    /// The connection to the daemon was lost meanwhile. Whether the other side acted is unknown; the library connects again by itself.
    #[error("the connection to the daemon was lost before the answer came")]
    Disconnected,
    /// The body is longer than the daemon takes: send less. Nothing was sent.
    #[error("the body has {bytes} bytes, at most {most} are taken")]
    TooLarge {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        most: usize,
    },
    /// What was asked for cannot be said: correct the call. Nothing was sent.
    #[error("{what}")]
    Invalid {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The submission did not ask for this stage: send it with `until`. It is under way nevertheless.
    #[error("this stage was not asked for when the message was sent")]
    NotAsked,
    /// A durable ask was handled, and its destination had nothing to say.
    #[error("it was handled, and not answered")]
    Unanswered,
    /// The agent was detached. Nothing was sent.
    #[error("the agent is detached")]
    Closed,
    /// Another client of the same user attached as this agent. What was held here is void; attaching again would only
    /// take it back.
    #[error("another client has attached as this agent")]
    TakenOver,
    /// The daemon said something that the contract does not allow: one of the two versions is wrong.
    #[error("the daemon broke the protocol: {what}")]
    Protocol {
        /// What it did.
        what: &'static str,
    },
    /// The operating system refused something else.
    #[error("{source}")]
    System {
        /// What it said.
        source: Arc<io::Error>,
    },
}

impl ClientError {
    /// The code, if the mesh gave one.
    #[must_use]
    pub const fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::TooLarge { .. } => Some(ErrorCode::TOO_LARGE),
            Self::NoDaemon { .. }
            | Self::NotASocket { .. }
            | Self::PermissionDenied { .. }
            | Self::Timeout
            | Self::Disconnected
            | Self::Invalid { .. }
            | Self::NotAsked
            | Self::Unanswered
            | Self::Closed
            | Self::TakenOver
            | Self::Protocol { .. }
            | Self::System { .. } => None,
        }
    }

    pub(crate) fn is(&self, wanted: ErrorCode) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == wanted)
    }
}

impl From<ErrorBody> for ClientError {
    fn from(body: ErrorBody) -> Self {
        Self::Refused { code: body.code, message: body.message, retry_after_ms: body.retry_after_ms }
    }
}

impl From<io::Error> for ClientError {
    fn from(source: io::Error) -> Self {
        Self::System { source: Arc::new(source) }
    }
}

impl From<Refusal> for ClientError {
    fn from(refusal: Refusal) -> Self {
        Self::Protocol { what: refusal.reason() }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    let shown: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    if shown.is_empty() { "nothing, for no path is known".into() } else { shown.join(", ") }
}

/// Why a delivery is not handled. With [`ErrorCode::POLICY`] or [`ErrorCode::MALFORMED`] that is for good, and its sender
/// hears the code and the words at once. With any other code it comes again later, and in the end its sender hears that it
/// was given up. What is asked once does not come again: whoever asked hears at once, of any other code as
/// [`ErrorCode::SERVER`] and without the words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refuse {
    pub(crate) code: ErrorCode,
    pub(crate) message: Box<str>,
    pub(crate) retry_after_ms: u32,
}

impl Refuse {
    /// A reason in words, for the sender and the operator.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { code: ErrorCode::SERVER, message: message.into().into(), retry_after_ms: 0 }
    }

    /// With a code for programs. Without one it is 5000, and the message comes again.
    #[must_use]
    pub const fn code(mut self, code: ErrorCode) -> Self {
        self.code = code;
        self
    }

    /// With advice when trying again makes sense.
    #[must_use]
    pub const fn retry_after_ms(mut self, ms: u32) -> Self {
        self.retry_after_ms = ms;
        self
    }

    pub(crate) fn body(&self, original: MessageId) -> ErrorBody {
        ErrorBody { code: self.code, message: self.message.clone(), original, retry_after_ms: self.retry_after_ms }
    }
}

/// Whatever a handler returns as an error becomes the reason, so that `?` works in it.
impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for Refuse {
    fn from(error: E) -> Self {
        Self::new(error.into().to_string())
    }
}
