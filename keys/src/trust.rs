//! Whom the authority of a mesh vouches for. What is known of the authority is its key, whose hash is the mesh's id;
//! webpki judges a member's certificate against it, by our own rules for keys and signatures. Nothing here asks what time
//! it is: who calls says so.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use proto::limits::{CERTIFICATE_BYTES_MAX, ID_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES};
use proto::member::Validity;
use proto::{Name, NodeId, Refusal};
use rustls::pki_types::{
    AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm, TrustAnchor, UnixTime,
    alg_id,
};
use webpki::{
    EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeId, KeyPurposeIdIter, KeyUsage, RequiredEkuNotFoundContext,
};

use crate::certificate::{self, About, der};
use crate::{AuthorityKey, PublicKey};

/// The certificate of a mesh's authority: it signed it itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthorityCertificate {
    der: CertificateDer<'static>,
    about: About,
    anchor: TrustAnchor<'static>,
}

impl AuthorityCertificate {
    /// Reads one and checks that its own key signed it. Which mesh it is for is not judged, nor its dates: the key counts.
    pub fn read(der: CertificateDer<'static>) -> Result<Self, Refusal> {
        let about = certificate::read(&der)?;
        let parts = der::Parts::read(&der).ok_or(Refusal::Certificate)?;
        let signature = parts.signature.try_into().map_err(|_| Refusal::Certificate)?;
        if !about.key.has_signed(parts.signed, signature) {
            return Err(Refusal::Certificate);
        }
        let anchor = webpki::anchor_from_trusted_cert(&der).map_err(|_| Refusal::Certificate)?.to_owned();
        Ok(Self { der, about, anchor })
    }

    /// Makes the certificate of a new mesh.
    pub fn make(authority: &AuthorityKey, name: &Name, now: u64) -> Result<Self, certificate::CertificateError> {
        let der = certificate::of_authority(authority, name, now)?;
        Self::read(der).map_err(|_| certificate::CertificateError::Encoding(rcgen::Error::CouldNotParseCertificate))
    }

    /// Which mesh.
    #[must_use]
    pub const fn mesh(&self) -> [u8; ID_BYTES] {
        *self.about.key.id().as_bytes()
    }

    /// What people call it.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.about.name
    }

    /// The authority's key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.about.key
    }

    /// From when until when it says that it counts.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.about.validity
    }

    /// As it is kept and passed on.
    #[must_use]
    pub const fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }
}

/// Whom a member of a mesh lets in, and whom it takes for what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthorityTrust {
    authority: Arc<AuthorityCertificate>,
    /// Who is out, whatever the certificate says.
    pub revoked: BTreeSet<NodeId>,
    /// The keys of open tickets: who holds one may come and ask to join.
    pub guests: BTreeSet<NodeId>,
}

/// Why a certificate does not make its holder a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CertificateFault {
    /// It is none, or not laid out as ours.
    #[error("it is not laid out as a node's certificate")]
    Form,
    /// Its key is none that may be used.
    #[error("its key may not be used")]
    Key,
    /// The mesh's authority did not sign it.
    #[error("the mesh's authority did not sign it")]
    Issuer,
    /// It counts from a later moment on: one of the two clocks is wrong.
    #[error("it does not count yet; is the clock right?")]
    NotYet,
    /// It counted until an earlier moment.
    #[error("it has expired")]
    Expired,
    /// It is not for a node, which both dials and listens.
    #[error("it is not for a node")]
    Use,
    /// Its names differ, or are none.
    #[error("its names differ, or are none that a node can have")]
    Name,
    /// The mesh trusts this node no longer.
    #[error("the node was revoked")]
    Revoked,
}

impl AuthorityTrust {
    /// Trusts the members of one mesh. Nobody is revoked, and no ticket is open.
    #[must_use]
    pub const fn new(authority: Arc<AuthorityCertificate>) -> Self {
        Self { authority, revoked: BTreeSet::new(), guests: BTreeSet::new() }
    }

    /// Whose word counts.
    #[must_use]
    pub fn authority(&self) -> &AuthorityCertificate {
        &self.authority
    }

    /// Which mesh.
    #[must_use]
    pub fn mesh(&self) -> [u8; ID_BYTES] {
        self.authority.mesh()
    }

    /// Judges a member's certificate at `now`, the wall clock in ns.
    pub fn judge(&self, certificate: &[u8], now: u64) -> Result<About, CertificateFault> {
        let about = self.read(certificate)?;
        if self.revoked.contains(&about.key.node_id()) {
            return Err(CertificateFault::Revoked);
        }
        self.check(certificate, now)?;
        Ok(about)
    }

    /// Whether the authority gave it out, for whatever time. Who was revoked since is not judged.
    pub(crate) fn judge_once(&self, certificate: &[u8]) -> Result<About, CertificateFault> {
        let about = self.read(certificate)?;
        self.check(certificate, about.validity.not_after)?;
        Ok(about)
    }

    fn read(&self, certificate: &[u8]) -> Result<About, CertificateFault> {
        if certificate.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateFault::Form);
        }
        let parts = der::Parts::read(certificate).ok_or(CertificateFault::Form)?;
        let key = certificate::admit(parts.key_info).map_err(|_| CertificateFault::Key)?;
        let name: Name = parts.name.parse().map_err(|_| CertificateFault::Name)?;
        if parts.other_name != Some(name.as_str()) {
            return Err(CertificateFault::Name);
        }
        Ok(About { key, name, validity: parts.validity })
    }

    fn check(&self, certificate: &[u8], now: u64) -> Result<(), CertificateFault> {
        let certificate = CertificateDer::from(certificate);
        let leaf = EndEntityCert::try_from(&certificate).map_err(|_| CertificateFault::Form)?;
        let now = UnixTime::since_unix_epoch(Duration::from_nanos(now));
        let anchors = core::slice::from_ref(&self.authority.anchor);
        match leaf.verify_for_usage(&[&StrictEd25519], anchors, &[], now, BothUses, None, None) {
            Ok(_) => Ok(()),
            Err(webpki::Error::CertNotValidYet { .. }) => Err(CertificateFault::NotYet),
            Err(webpki::Error::CertExpired { .. }) => Err(CertificateFault::Expired),
            Err(webpki::Error::RequiredEkuNotFoundContext(_) | webpki::Error::CaUsedAsEndEntity) => {
                Err(CertificateFault::Use)
            }
            Err(_) => Err(CertificateFault::Issuer),
        }
    }
}

/// The rules of `docs/PROTOCOL.md`, section 5, for the signature of a certificate too.
#[derive(Debug)]
struct StrictEd25519;

impl SignatureVerificationAlgorithm for StrictEd25519 {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key: &[u8; PUBLIC_KEY_BYTES] = key.try_into().map_err(|_| InvalidSignature)?;
        let signature: &[u8; SIGNATURE_BYTES] = signature.try_into().map_err(|_| InvalidSignature)?;
        let key = PublicKey::admit(key).map_err(|_| InvalidSignature)?;
        if key.has_signed(message, signature) { Ok(()) } else { Err(InvalidSignature) }
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ED25519
    }
}

/// A node dials and listens with the same certificate, so it must say both. One that says nothing is for nothing.
struct BothUses;

/// 1.3.6.1.5.5.7.3.1 and .2, as they are encoded.
const SERVER_AUTH: KeyPurposeId<'static> = KeyPurposeId::new(&[0x2b, 6, 1, 5, 5, 7, 3, 1]);
const CLIENT_AUTH: KeyPurposeId<'static> = KeyPurposeId::new(&[0x2b, 6, 1, 5, 5, 7, 3, 2]);

impl ExtendedKeyUsageValidator for BothUses {
    fn validate(&self, uses: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        let (mut server, mut client) = (false, false);
        for purpose in uses {
            let purpose = purpose?;
            server |= purpose == SERVER_AUTH;
            client |= purpose == CLIENT_AUTH;
        }
        if server && client {
            return Ok(());
        }
        let required = if server { KeyUsage::client_auth() } else { KeyUsage::server_auth() };
        Err(webpki::Error::RequiredEkuNotFoundContext(RequiredEkuNotFoundContext { required, present: Vec::new() }))
    }
}
