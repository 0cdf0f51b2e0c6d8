//! A node's certificate: its key IS the node's key, so whoever holds the certificate's key is the node.

use proto::{Name, NodeId, Refusal, limits};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyIdMethod, PKCS_ED25519, PublicKeyData, SerialNumber, SigningKey,
};
use rustls::pki_types::CertificateDer;

use crate::{NoRandomness, NodeKey, PublicKey, fill_random};

/// SubjectPublicKeyInfo of every Ed25519 key, up to the key itself (RFC 8410): SEQUENCE of the algorithm 1.3.101.112
/// without parameters, and a BIT STRING of 32 whole bytes.
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why no certificate was made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// There is no serial number.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The certificate could not be encoded.
    #[error("the certificate could not be encoded: {0}")]
    Encoding(#[from] rcgen::Error),
}

/// Makes a certificate that the node signs for itself. Its dates are the widest there are: pinned peers judge the key alone.
pub fn self_signed(node: &NodeKey, name: &Name) -> Result<CertificateDer<'static>, CertificateError> {
    let mut serial = [0; 16];
    fill_random(&mut serial)?;
    let mut params = CertificateParams::new(vec![name.as_str().to_owned()])?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name.as_str());
    params.distinguished_name = subject;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.key_identifier_method =
        KeyIdMethod::PreSpecified(node.id().as_bytes().get(..20).unwrap_or_default().to_vec());
    Ok(params.self_signed(&CertificateKey(node))?.der().clone())
}

/// The admitted key of a certificate, and so the node that it names. Nothing else in it is judged.
pub fn key_of(certificate: &CertificateDer<'_>) -> Result<PublicKey, Refusal> {
    let parsed = webpki::EndEntityCert::try_from(certificate).map_err(|_| Refusal::Key)?;
    let info = parsed.subject_public_key_info();
    let key: &[u8; limits::PUBLIC_KEY_BYTES] =
        info.strip_prefix(&ED25519_SPKI).and_then(|key| key.try_into().ok()).ok_or(Refusal::Key)?;
    PublicKey::admit(key)
}

/// The node that a certificate names.
pub fn node_of(certificate: &CertificateDer<'_>) -> Result<NodeId, Refusal> {
    key_of(certificate).map(|key| key.node_id())
}

/// Lets rcgen have a certificate signed without seeing the key.
struct CertificateKey<'k>(&'k NodeKey);

impl PublicKeyData for CertificateKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.public().as_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl SigningKey for CertificateKey<'_> {
    fn sign(&self, certificate: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.0.pair().sign(certificate).to_vec())
    }
}
