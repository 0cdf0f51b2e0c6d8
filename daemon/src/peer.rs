//! The peers' door: QUIC links to other nodes. TLS proves who is at the other end; nothing else that a peer says is
//! believed without a signature.

mod dial;
mod door;
mod hearing;
mod hello;
mod link;
mod reader;
mod stream;
#[cfg(test)]
mod tests;
mod transport;
mod writer;

pub(crate) use dial::SERVER_NAME;
pub(crate) use door::{Opening, PeerDoor, any_port};

use proto::{ErrorCode, Refusal};

/// What a link is closed with that the core does not want.
pub(crate) const UNNEEDED: u16 = 1;

/// Why a link ends. The code and the words are told to the peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LinkEnd {
    /// 0 where nothing is wrong, [`UNNEEDED`], or an error code.
    pub(crate) code: u16,
    pub(crate) why: String,
}

impl LinkEnd {
    pub(crate) fn new(code: ErrorCode, why: impl Into<String>) -> Self {
        Self { code: code.get(), why: why.into() }
    }

    /// Another link carries the peer, or none may.
    pub(crate) fn unneeded(why: impl Into<String>) -> Self {
        Self { code: UNNEEDED, why: why.into() }
    }

    /// Nothing is wrong, or the connection has told it already.
    pub(crate) fn quiet(why: impl Into<String>) -> Self {
        Self { code: 0, why: why.into() }
    }

    pub(crate) fn refused(refusal: Refusal) -> Self {
        Self::new(refusal.code(), refusal.reason())
    }

    pub(crate) fn close(&self, connection: &quinn::Connection) {
        connection.close(quinn::VarInt::from_u32(self.code.into()), self.why.as_bytes());
    }
}

impl std::fmt::Display for LinkEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.code {
            0 | UNNEEDED => f.write_str(&self.why),
            code => write!(f, "{} (AICP-{code})", self.why),
        }
    }
}

/// How a newcomer dials the node that gave out its ticket.
pub(crate) fn newcomer_config(tls: rustls::ClientConfig) -> Result<quinn::ClientConfig, crate::StartError> {
    transport::client(tls, std::sync::Arc::new(transport::transport()))
}

/// TLS's words about certificates, as QUIC carries them: 256 and the number of the alert. First: it cannot be read, or
/// names what no node is called.
const MALFORMED: u64 = 0x0100 + 42;
/// It is for something else.
const OTHER_USE: u64 = 0x0100 + 43;
const REVOKED: u64 = 0x0100 + 44;
/// It has expired, or does not count yet.
const OUT_OF_TIME: u64 = 0x0100 + 45;
/// The mesh's authority did not sign it.
const UNKNOWN_AUTHORITY: u64 = 0x0100 + 48;
/// Its key is not one that is trusted.
const NOT_TRUSTED: u64 = 0x0100 + 49;
/// Whoever shows it does not have its key.
const NOT_PROVED: u64 = 0x0100 + 51;
/// There is none.
const NONE: u64 = 0x0100 + 116;

/// What the peer says about our certificate.
fn about_ours(code: u64) -> Option<&'static str> {
    match code {
        REVOKED => Some("the peer says that this node was shut out of the mesh"),
        OUT_OF_TIME => Some(
            "by the peer's clock the certificate of this node has expired, or does not count yet: one of the two clocks is \
             wrong, or this node was off for too long and has to join again",
        ),
        UNKNOWN_AUTHORITY => Some("the peer is in another mesh, or was told of its peers by its configuration"),
        NOT_TRUSTED => Some("the peer does not know this node: add it to its mesh.peers"),
        MALFORMED | OTHER_USE => Some("the peer does not take the certificate of this node for that of a node"),
        _ => None,
    }
}

/// What is wrong with the peer's certificate.
fn about_theirs(code: u64) -> Option<&'static str> {
    match code {
        REVOKED => Some("it was shut out of the mesh"),
        OUT_OF_TIME => Some(
            "by the clock of this host the peer's certificate has expired, or does not count yet: one of the two clocks is \
             wrong, or the peer was off for too long and has to join again",
        ),
        UNKNOWN_AUTHORITY => Some("the peer is in another mesh"),
        NOT_TRUSTED => Some("another node answers there: its id is not the one that was meant"),
        MALFORMED => Some("its certificate cannot be read, or its names differ, or are none that a node can have"),
        OTHER_USE => Some("its certificate says that it is not for a node"),
        NOT_PROVED => Some("it does not have the key of the certificate that it shows"),
        NONE => Some("it shows no certificate"),
        _ => None,
    }
}

/// In words. What comes from the peer is cut and escaped, for it goes into logs.
pub(crate) fn describe(error: &quinn::ConnectionError) -> String {
    let said = |reason: &[u8]| {
        const MOST: usize = 128;
        let text = String::from_utf8_lossy(reason);
        text.chars().take(MOST).collect::<String>().escape_default().to_string()
    };
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => match close.error_code.into_inner() {
            0 | 1 => format!("closed by the peer: {}", said(&close.reason)),
            code => format!("closed by the peer: {} (AICP-{code})", said(&close.reason)),
        },
        quinn::ConnectionError::ConnectionClosed(close) => about_ours(close.error_code.into())
            .map_or_else(|| format!("closed by the peer: {} ({})", said(&close.reason), close.error_code), Into::into),
        quinn::ConnectionError::TransportError(transport) => {
            about_theirs(transport.code.into()).map_or_else(|| error.to_string(), Into::into)
        }
        quinn::ConnectionError::TimedOut => "nothing was heard".into(),
        quinn::ConnectionError::LocallyClosed => "closed here".into(),
        quinn::ConnectionError::Reset => "the peer knows nothing of it, perhaps after a restart".into(),
        quinn::ConnectionError::VersionMismatch | quinn::ConnectionError::CidsExhausted => error.to_string(),
    }
}
