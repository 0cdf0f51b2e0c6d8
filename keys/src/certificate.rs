//! Certificates of nodes and of the authorities of meshes. A node's certificate has the node's own key, so whoever holds
//! the certificate's key is the node. Whom an authority vouches for is judged in [`crate::trust`].

use core::time::Duration;

use proto::member::Validity;
use proto::{Name, NodeId, Refusal, limits};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyUsagePurpose, PKCS_ED25519, PublicKeyData, SanType, SerialNumber, SigningKey, date_time_ymd,
};
use rustls::pki_types::CertificateDer;

use crate::identity::KeyPair;
use crate::{AuthorityCertificate, AuthorityKey, NoRandomness, NodeKey, PublicKey, fill_random};

pub(crate) mod der;

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

/// What a certificate says. That it says so is proved by nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct About {
    /// Whose key it is.
    pub key: PublicKey,
    /// What it is called: a node, or a mesh in the certificate of its authority.
    pub name: Name,
    /// From when until when it counts.
    pub validity: Validity,
}

/// Makes a certificate that the node signs for itself. Its dates are the widest there are: pinned peers judge the key
/// alone.
pub fn self_signed(node: &NodeKey, name: &Name) -> Result<CertificateDer<'static>, CertificateError> {
    Ok(named(node.public(), name)?.self_signed(&CertificateKey(node.pair()))?.der().clone())
}

/// Makes the certificate of a mesh's authority. `name` is what people call the mesh; `now` is the wall clock in ns.
pub fn of_authority(
    authority: &AuthorityKey,
    name: &Name,
    now: u64,
) -> Result<CertificateDer<'static>, CertificateError> {
    let mut params = named(authority.public(), name)?;
    params.subject_alt_names = Vec::new();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    date(&mut params, Validity::of_authority(now));
    Ok(params.self_signed(&CertificateKey(&authority.0))?.der().clone())
}

/// Makes the certificate of a member. It counts from a little before `now`, the wall clock in ns.
pub fn of_node(
    authority: &AuthorityKey,
    mesh: &AuthorityCertificate,
    node: &PublicKey,
    name: &Name,
    now: u64,
) -> Result<CertificateDer<'static>, CertificateError> {
    let mut params = named(node, name)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    date(&mut params, Validity::of_node(now));
    let mut issuer = named(authority.public(), mesh.name())?;
    issuer.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let issuer = Issuer::from_params(&issuer, CertificateKey(&authority.0));
    Ok(params.signed_by(&CertifiedPublic(node), &issuer)?.der().clone())
}

/// Reads what a certificate says. Neither its signature nor its dates are judged.
pub fn read(certificate: &[u8]) -> Result<About, Refusal> {
    if certificate.len() > limits::CERTIFICATE_BYTES_MAX {
        return Err(Refusal::Certificate);
    }
    let parts = der::Parts::read(certificate).ok_or(Refusal::Certificate)?;
    let key = admit(parts.key_info)?;
    let name = parts.name.parse().map_err(|_| Refusal::Certificate)?;
    Ok(About { key, name, validity: parts.validity })
}

/// The admitted key of a certificate, and so the node that it names. Nothing else in it is judged.
pub fn key_of(certificate: &CertificateDer<'_>) -> Result<PublicKey, Refusal> {
    let parsed = webpki::EndEntityCert::try_from(certificate).map_err(|_| Refusal::Key)?;
    admit(&parsed.subject_public_key_info())
}

/// The node that a certificate names.
pub fn node_of(certificate: &CertificateDer<'_>) -> Result<NodeId, Refusal> {
    key_of(certificate).map(|key| key.node_id())
}

/// The key of a SubjectPublicKeyInfo.
pub(crate) fn admit(info: &[u8]) -> Result<PublicKey, Refusal> {
    let key: &[u8; limits::PUBLIC_KEY_BYTES] =
        info.strip_prefix(&ED25519_SPKI).and_then(|key| key.try_into().ok()).ok_or(Refusal::Key)?;
    PublicKey::admit(key)
}

/// What all have in common: a key, a name that stands twice, and a serial number.
fn named(key: &PublicKey, name: &Name) -> Result<CertificateParams, CertificateError> {
    let mut serial = [0; 16];
    fill_random(&mut serial)?;
    let mut params = CertificateParams::default();
    // Made here, because a name of digits and dots would be taken for an address.
    params.subject_alt_names = vec![SanType::DnsName(name.as_str().try_into()?)];
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name.as_str());
    params.distinguished_name = subject;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.key_identifier_method =
        KeyIdMethod::PreSpecified(key.id().as_bytes().get(..20).unwrap_or_default().to_vec());
    Ok(params)
}

/// 64 bits of nanoseconds end long before the years of a certificate do.
fn date(params: &mut CertificateParams, validity: Validity) {
    params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_nanos(validity.not_before);
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_nanos(validity.not_after);
}

/// Lets rcgen have a certificate signed without seeing the key.
struct CertificateKey<'k>(&'k KeyPair);

/// The key of somebody else.
struct CertifiedPublic<'k>(&'k PublicKey);

impl PublicKeyData for CertifiedPublic<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ED25519
    }
}

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
        Ok(self.0.sign(certificate).to_vec())
    }
}
