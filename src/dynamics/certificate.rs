//! Certificate of an application, with the RSA key that signs its assertions.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// Certificate registered with the application, with its private key. Its `Debug` output shows no key.
pub struct ClientCertificate {
    thumbprint: String,
    signer: Box<dyn Signer>,
    expires_at: Timestamp,
}

/// Reason why a PEM can't be used to sign in. Never quotes it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CertificateError {
    /// The PEM holds no certificate.
    #[error("it holds no certificate; add it (-----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// A certificate or its encoding is damaged.
    #[error("it holds a certificate that can't be read; export it again")]
    Unreadable,
    /// The PEM holds no private key.
    #[error("it holds no private key; add the certificate's (-----BEGIN PRIVATE KEY-----)")]
    NoKey,
    /// The private key has a passphrase.
    #[error("its private key is encrypted; remove the passphrase (openssl pkey -in FILE)")]
    EncryptedKey,
    /// The private key is of another kind or size.
    #[error("its private key is not an RSA key of 2048 to 4096 bits; create a certificate with such a key")]
    WrongKey,
    /// The private key belongs to another certificate.
    #[error("its private key does not match the certificate; put the two together that belong together")]
    Mismatch,
    /// The certificate has expired.
    #[error(
        "its certificate expired at {0}; create a new one, and upload it in Entra ID → App registrations → \
         Certificates & secrets → Certificates"
    )]
    Expired(Timestamp),
}

/// Certificates in use, by the digest of their PEM. Organizations' files are read every few seconds, and checking an RSA
/// key takes as long as reading many of them.
static IN_USE: Mutex<BTreeMap<[u8; 32], Weak<ClientCertificate>>> = Mutex::new(BTreeMap::new());

impl ClientCertificate {
    /// Parses a PEM, or returns the certificate that was parsed from the same PEM and is still in use.
    pub fn shared(pem: &str, now: Timestamp) -> Result<Arc<Self>, CertificateError> {
        let digest: [u8; 32] = Sha256::digest(pem).into();
        let known = || IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        let in_use = known().get(&digest).and_then(Weak::upgrade);
        if let Some(certificate) = in_use.filter(|certificate| certificate.expires_at > now) {
            return Ok(certificate);
        }
        let certificate = Arc::new(Self::parse(pem, now)?);
        let mut known = known();
        known.retain(|_, certificate| certificate.strong_count() > 0);
        known.insert(digest, Arc::downgrade(&certificate));
        Ok(certificate)
    }

    /// Parses a PEM with a private key and its certificate. Other certificates, such as intermediate ones, are ignored.
    pub fn parse(pem: &str, now: Timestamp) -> Result<Self, CertificateError> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let certificates = certificates.map_err(|_| CertificateError::Unreadable)?;
        if certificates.is_empty() {
            return Err(CertificateError::NoCertificate);
        }
        let key = key(pem)?;
        let signer = key.choose_scheme(&[SignatureScheme::RSA_PSS_SHA256]).ok_or(CertificateError::WrongKey)?;
        let own = key.public_key().ok_or(CertificateError::WrongKey)?;
        for der in &certificates {
            let (_, certificate) = X509Certificate::from_der(der).map_err(|_| CertificateError::Unreadable)?;
            if certificate.public_key().raw == own.as_ref() {
                let end = certificate.validity().not_after.timestamp();
                let expires_at = Timestamp::from_second(end).unwrap_or(Timestamp::MAX);
                if expires_at <= now {
                    return Err(CertificateError::Expired(expires_at));
                }
                let thumbprint = URL_SAFE_NO_PAD.encode(Sha256::digest(der));
                return Ok(Self { thumbprint, signer, expires_at });
            }
        }
        Err(CertificateError::Mismatch)
    }

    /// Returns the digest by which Entra ID finds the certificate: `x5t#S256`.
    pub(super) fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Returns the end of the certificate's validity.
    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Signs with RSASSA-PSS, SHA-256 and a salt of the digest's length, which JSON Web Tokens call PS256.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.signer.sign(message)
    }
}

/// Parses the first private key.
fn key(pem: &str) -> Result<Arc<dyn SigningKey>, CertificateError> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes());
    // Both forms of an encrypted key say so: in the label, or in a header.
    if pem.contains("ENCRYPTED") {
        return Err(CertificateError::EncryptedKey);
    }
    let key = any_supported_type(&key.map_err(|_| CertificateError::NoKey)?).map_err(|_| CertificateError::WrongKey)?;
    if key.algorithm() == SignatureAlgorithm::RSA { Ok(key) } else { Err(CertificateError::WrongKey) }
}

/// The same certificate has the same key.
impl PartialEq for ClientCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.thumbprint == other.thumbprint
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("thumbprint", &self.thumbprint)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_certificates::Minted;

    #[test]
    fn a_pem_is_parsed_once_while_it_is_in_use_and_valid() {
        let (pem, other) = (Minted::valid_for(1).both(), Minted::valid_for(1).both());
        let now = Timestamp::now();
        let shared = |pem: &str, now| ClientCertificate::shared(pem, now);
        let first = shared(&pem, now).unwrap();
        assert!(Arc::ptr_eq(&first, &shared(&pem, now).unwrap()));
        assert!(!Arc::ptr_eq(&first, &shared(&other, now).unwrap()));
        let end = first.expires_at();
        assert_eq!(shared(&pem, end).unwrap_err(), CertificateError::Expired(end));
        let digest: [u8; 32] = Sha256::digest(&pem).into();
        let is_known = || IN_USE.lock().unwrap().contains_key(&digest);
        assert!(is_known());
        drop(first);
        let _another = shared(&other, now).unwrap();
        assert!(!is_known(), "nobody uses it");
    }
}
