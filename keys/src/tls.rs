//! What makes a link between two nodes mutual: TLS 1.3 only, both sides with a certificate, each comparing the node
//! id that it meant. No session tickets and no 0-RTT, for a resumed session would skip the comparison.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::NodeId;
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

use crate::{NodeKey, certificate};

/// The one protocol that is spoken over these links.
pub const ALPN: &[u8] = b"aicp/1";

/// Whom a listener lets in. A node uses one kind of trust, never several.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trust {
    /// These nodes, whatever their certificates say beside the key.
    Pinned(BTreeSet<NodeId>),
}

impl Trust {
    fn takes(&self, node: NodeId) -> bool {
        match self {
            Self::Pinned(nodes) => nodes.contains(&node),
        }
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
}

/// How a node listens.
pub fn listener(shown: &Shown, trust: Trust) -> Result<ServerConfig, Error> {
    let provider = provider();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(PeerCheck { trust }))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&shown.0))));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

/// How a node dials one other node. The id that was meant is part of it, so nothing else can be reached with it.
pub fn dialer(shown: &Shown, meant: NodeId) -> Result<ClientConfig, Error> {
    let trust = Trust::Pinned(BTreeSet::from([meant]));
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PeerCheck { trust }))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(&shown.0))));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    Ok(config)
}

/// Passed explicitly, so that no other part of the process can choose another one.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Both sides' verifier: the certificate's key must hash to a trusted node id and must have signed the handshake.
#[derive(Debug)]
struct PeerCheck {
    trust: Trust,
}

impl PeerCheck {
    fn check(&self, leaf: &CertificateDer<'_>, more: &[CertificateDer<'_>]) -> Result<(), Error> {
        if !more.is_empty() {
            return Err(CertificateError::BadEncoding.into());
        }
        let node = certificate::node_of(leaf).map_err(|_| Error::from(CertificateError::BadEncoding))?;
        if self.trust.takes(node) { Ok(()) } else { Err(CertificateError::ApplicationVerificationFailure.into()) }
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
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(leaf, more).map(|()| ServerCertVerified::assertion())
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
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(leaf, more).map(|()| ClientCertVerified::assertion())
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
