//! Certificates that no honest authority would give out, or that nobody would ask it for: each part as one likes, and
//! signed by a key whose seed is known.

use core::time::Duration;

use ed25519_dalek::{Signer, SigningKey};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyIdMethod, PKCS_ED25519,
    PublicKeyData, SanType, SerialNumber, date_time_ymd,
};

pub use rcgen::ExtendedKeyUsagePurpose as Purpose;

/// A certificate of a node as it should be; change what should not be so.
#[derive(Clone, Debug)]
pub struct Forged {
    /// Who signs it.
    pub issuer_seed: [u8; 32],
    /// What it says about who signed it.
    pub issuer_name: &'static str,
    /// Whose key is in it.
    pub public_key: [u8; 32],
    /// What it is called.
    pub name: &'static str,
    /// What it is called once more.
    pub other_names: Vec<&'static str>,
    /// From when, in s.
    pub not_before: u64,
    /// Until when, in s.
    pub not_after: u64,
    /// What it is for.
    pub uses: Vec<Purpose>,
    /// Whether it may sign others.
    pub is_authority: bool,
}

impl Forged {
    /// One that is right: it counts from an hour ago for an hour.
    #[must_use]
    pub fn right(issuer_seed: [u8; 32], issuer_name: &'static str, public_key: [u8; 32], now: u64) -> Self {
        let now = now / proto::limits::SECOND;
        Self {
            issuer_seed,
            issuer_name,
            public_key,
            name: "beta",
            other_names: vec!["beta"],
            not_before: now - 3600,
            not_after: now + 3600,
            uses: vec![Purpose::ServerAuth, Purpose::ClientAuth],
            is_authority: false,
        }
    }

    /// As it travels.
    ///
    /// # Panics
    /// If there can be no such certificate.
    #[must_use]
    pub fn der(&self) -> Vec<u8> {
        let mut params = CertificateParams::default();
        let names = self.other_names.iter().map(|name| SanType::DnsName((*name).try_into().expect("letters")));
        params.subject_alt_names = names.collect();
        params.distinguished_name = named(self.name);
        params.serial_number = Some(SerialNumber::from_slice(&[7; 16]));
        params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(self.not_before);
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(self.not_after);
        params.extended_key_usages.clone_from(&self.uses);
        if self.is_authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_identifier_method = KeyIdMethod::PreSpecified(vec![7; 20]);
        }
        let mut issuer = CertificateParams::default();
        issuer.distinguished_name = named(self.issuer_name);
        let signing = Key(SigningKey::from_bytes(&self.issuer_seed));
        let issuer = Issuer::from_params(&issuer, signing);
        params.signed_by(&Public(self.public_key), &issuer).expect("a certificate").der().to_vec()
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

struct Public([u8; 32]);

impl PublicKeyData for Public {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ED25519
    }
}

struct Key(SigningKey);

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.0.as_ref().as_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl rcgen::SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.0.sign(message).to_bytes().to_vec())
    }
}
