//! What makes a link between two nodes mutual: TLS 1.3 only, both sides with a certificate, each comparing the node
//! id that it meant. No session tickets and no 0-RTT, for a resumed session would skip the comparison.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::{NodeId, limits};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved, ServerConfig,
    SignatureAlgorithm, SignatureScheme,
};

use crate::ticket::TicketKey;
use crate::trust::{AuthorityTrust, CertificateFault};
use crate::{NodeKey, certificate};

/// What is spoken over the links between nodes.
pub const ALPN: &[u8] = b"aicp/1";
/// What a newcomer and its inviter speak.
pub const JOIN_ALPN: &[u8] = b"aicp-join/1";

/// What a guest is called in its certificate. Nobody judges it.
const GUEST: &str = "guest";

/// Whom a listener lets in. A node uses one kind of trust, never several.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trust {
    /// These nodes, whatever their certificates say beside the key.
    Pinned(BTreeSet<NodeId>),
    /// The members of a mesh, and whoever holds an open ticket.
    Authority(AuthorityTrust),
}

/// As what somebody was let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// A node to link with.
    Peer,
    /// Somebody with a ticket, who may ask to join and nothing else.
    Guest,
}

impl Trust {
    /// As what to take somebody who came in by TLS and speaks `protocol`. Nothing if the two do not go together: the
    /// connection is to be closed.
    #[must_use]
    pub fn role(&self, node: NodeId, protocol: &[u8]) -> Option<Role> {
        let is_guest = match self {
            Self::Pinned(_) => false,
            Self::Authority(trust) => trust.guests.contains(&node),
        };
        match (is_guest, protocol) {
            (false, ALPN) => Some(Role::Peer),
            (true, JOIN_ALPN) => Some(Role::Guest),
            (true | false, _) => None,
        }
    }

    fn protocols(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Pinned(_) => vec![ALPN.to_vec()],
            Self::Authority(_) => vec![ALPN.to_vec(), JOIN_ALPN.to_vec()],
        }
    }

    /// Judges the one certificate that was shown, by the clock that rustls reads.
    fn judge(&self, leaf: &CertificateDer<'_>, node: NodeId, now: UnixTime) -> Result<(), CertificateError> {
        match self {
            Self::Pinned(nodes) if nodes.contains(&node) => Ok(()),
            Self::Pinned(_) => Err(CertificateError::ApplicationVerificationFailure),
            Self::Authority(trust) if trust.guests.contains(&node) => Ok(()),
            Self::Authority(trust) => {
                let now = now.as_secs().saturating_mul(limits::SECOND);
                trust.judge(leaf, now).map(drop).map_err(in_words_of_tls)
            }
        }
    }
}

/// What the other side and the logs are told.
const fn in_words_of_tls(fault: CertificateFault) -> CertificateError {
    match fault {
        CertificateFault::Form | CertificateFault::Key => CertificateError::BadEncoding,
        CertificateFault::Issuer => CertificateError::UnknownIssuer,
        CertificateFault::NotYet => CertificateError::NotValidYet,
        CertificateFault::Expired => CertificateError::Expired,
        CertificateFault::Use => CertificateError::InvalidPurpose,
        CertificateFault::Name => CertificateError::NotValidForName,
        CertificateFault::Revoked => CertificateError::Revoked,
    }
}

/// What a node shows to its peers.
#[derive(Clone, Debug)]
pub struct Shown(Arc<CertifiedKey>);

impl Shown {
    /// The certificate, and the key that proves it.
    #[must_use]
    pub fn new(node: Arc<NodeKey>, certificate: CertificateDer<'static>) -> Self {
        Self(Arc::new(CertifiedKey::new(vec![certificate], Arc::new(TlsKey(node)))))
    }

    /// What whoever holds a ticket shows: a certificate that its key signs for itself.
    fn guest(ticket: &TicketKey) -> Result<Self, Error> {
        let name = GUEST.parse().map_err(|_| Error::General("a guest's name".into()))?;
        let made = certificate::self_signed(ticket.node_key(), &name);
        let certificate = made.map_err(|error| Error::General(error.to_string()))?;
        Ok(Self::new(Arc::clone(ticket.node_key()), certificate))
    }
}

/// How a node listens.
pub fn listener(shown: &Shown, trust: Trust) -> Result<ServerConfig, Error> {
    let protocols = trust.protocols();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(PeerCheck { trust, meant: None }))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&shown.0))));
    config.alpn_protocols = protocols;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// How a node dials one other node. The id that was meant is part of it, so nothing else can be reached with it.
pub fn dialer(shown: &Shown, meant: NodeId) -> Result<ClientConfig, Error> {
    dial(shown, meant, Trust::Pinned(BTreeSet::from([meant])), ALPN)
}

/// How a member of a mesh dials another one: the id that was meant, and the authority vouches for it.
pub fn member_dialer(shown: &Shown, meant: NodeId, mut trust: AuthorityTrust) -> Result<ClientConfig, Error> {
    // Guests come; nobody goes to them.
    trust.guests.clear();
    dial(shown, meant, Trust::Authority(trust), ALPN)
}

/// How a newcomer dials its inviter. TLS proves both: here the ticket, there the node that gave it out.
pub fn join_dialer(ticket: &TicketKey, inviter: NodeId) -> Result<ClientConfig, Error> {
    let shown = Shown::guest(ticket)?;
    dial(&shown, inviter, Trust::Pinned(BTreeSet::from([inviter])), JOIN_ALPN)
}

fn dial(shown: &Shown, meant: NodeId, trust: Trust, protocol: &[u8]) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PeerCheck { trust, meant: Some(meant) }))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&shown.0))));
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    Ok(config)
}

/// Passed explicitly, so that no other part of the process can choose another one.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Both sides' verifier: the certificate's key must hash to the node id that was meant, be trusted, and have signed the
/// handshake.
#[derive(Debug)]
struct PeerCheck {
    trust: Trust,
    meant: Option<NodeId>,
}

impl PeerCheck {
    fn check(&self, leaf: &CertificateDer<'_>, more: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        if !more.is_empty() {
            return Err(CertificateError::BadEncoding.into());
        }
        let node = certificate::node_of(leaf).map_err(|_| Error::from(CertificateError::BadEncoding))?;
        if self.meant.is_some_and(|meant| meant != node) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(self.trust.judge(leaf, node, now)?)
    }

    /// TLS shows the same key again; it is admitted and verified by our own strict rules, not the provider's.
    fn check_handshake(
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = certificate::key_of(leaf).map_err(|_| Error::from(CertificateError::BadEncoding))?;
        let signature = signed.signature().try_into().map_err(|_| Error::from(CertificateError::BadSignature))?;
        if signed.scheme != SignatureScheme::ED25519 || !key.has_signed(message, signature) {
            return Err(CertificateError::BadSignature.into());
        }
        Ok(HandshakeSignatureValid::assertion())
    }
}

/// TLS 1.2 is not offered, so nobody asks; if somebody did, no.
fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
}

impl ServerCertVerifier for PeerCheck {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        more: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(leaf, more, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::check_handshake(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for PeerCheck {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        more: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(leaf, more, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Self::check_handshake(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// Lets rustls have a handshake signed without seeing the key.
#[derive(Debug)]
struct TlsKey(Arc<NodeKey>);

impl SigningKey for TlsKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let takes = offered.contains(&SignatureScheme::ED25519);
        takes.then(|| Box::new(Self(Arc::clone(&self.0))) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for TlsKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.0.pair().sign(message).to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}
