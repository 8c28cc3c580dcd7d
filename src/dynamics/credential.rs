//! Credential of an application at Entra ID, and the proof of it that a token request carries.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::assertion::{self, is_token};
use super::certificate::ClientCertificate;
use super::withheld::Withheld;
use crate::regular;

/// Longest federated token, in bytes. Tokens of Kubernetes and of Entra ID itself have 1 to 4 KiB.
const LONGEST_TOKEN: u64 = 64 * 1024;

/// Credential of an application. Its `Debug` output shows no secret.
#[derive(Clone, Debug)]
pub enum ClientCredential {
    /// Value of one of the application's secrets.
    Secret(SecretString),
    /// Certificate whose key signs an assertion for each token request.
    Certificate(Arc<ClientCertificate>),
    /// File with a token of another issuer, which Entra ID trusts for this application. Others renew it, so it is read
    /// for each token request.
    FederatedToken(PathBuf),
}

/// Proof of a credential, as one token request carries it.
pub(super) enum ClientProof {
    /// The secret itself.
    Secret(SecretString),
    /// Signed assertion, of the worker's own or of another issuer.
    Assertion(SecretString),
}

impl ClientCredential {
    /// Returns the key of an organization's file that holds the credential.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Secret(_) => "client_secret",
            Self::Certificate(_) => "client_certificate",
            Self::FederatedToken(_) => "federated_token",
        }
    }

    /// Returns the end of the credential's validity if it can be known: that of a certificate. The end of a secret is
    /// in the directory, where an application may not read it; a federated token is renewed by its issuer.
    pub fn expires_at(&self) -> Option<Timestamp> {
        match self {
            Self::Certificate(certificate) => Some(certificate.expires_at()),
            Self::Secret(_) | Self::FederatedToken(_) => None,
        }
    }

    /// Makes the proof for a token request to the address `audience`. Reads a file or signs, so it blocks.
    pub(super) fn prove(&self, client_id: &str, audience: &str) -> Result<ClientProof, Withheld> {
        match self {
            Self::Secret(secret) => Ok(ClientProof::Secret(secret.clone())),
            Self::Certificate(certificate) => {
                signed(certificate, client_id, audience, Timestamp::now()).map(ClientProof::Assertion)
            }
            Self::FederatedToken(path) => read_token(path).map(ClientProof::Assertion),
        }
    }
}

impl PartialEq for ClientCredential {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            // Only the worker compares secrets, those of its own files, so the comparison need not take constant time.
            (Self::Secret(one), Self::Secret(other)) => one.expose_secret() == other.expose_secret(),
            (Self::Certificate(one), Self::Certificate(other)) => one == other,
            (Self::FederatedToken(one), Self::FederatedToken(other)) => one == other,
            _ => false,
        }
    }
}

impl ClientProof {
    /// Returns the fields of the token request.
    pub(super) fn fields(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Secret(secret) => vec![("client_secret", secret.expose_secret())],
            Self::Assertion(assertion) => {
                vec![("client_assertion_type", assertion::TYPE), ("client_assertion", assertion.expose_secret())]
            }
        }
    }

    /// Returns the texts that no message may contain.
    pub(super) fn secrets(&self) -> Vec<&str> {
        match self {
            Self::Secret(secret) => vec![secret.expose_secret()],
            Self::Assertion(assertion) => {
                let whole = assertion.expose_secret();
                // The signature alone would complete the readable parts.
                [whole].into_iter().chain(whole.rsplit('.').next()).collect()
            }
        }
    }
}

fn signed(
    certificate: &ClientCertificate,
    client_id: &str,
    audience: &str,
    now: Timestamp,
) -> Result<SecretString, Withheld> {
    let end = certificate.expires_at();
    if end <= now {
        return Err(Withheld {
            why: format!("the certificate of client_certificate expired at {end}"),
            advice: "Create a new certificate, upload it in Entra ID → App registrations → Certificates & secrets → \
                     Certificates, and put it with its key where client_certificate is read from."
                .to_owned(),
        });
    }
    assertion::signed(certificate, client_id, audience, Uuid::new_v4(), now).map_err(|error| Withheld {
        why: format!("the key of client_certificate can't sign: {error}"),
        advice: "Create a new certificate with an RSA key of 2048 to 4096 bits.".to_owned(),
    })
}

/// Reads the token as it is now. The path may be a link that is replaced with each renewal, as Kubernetes does.
fn read_token(path: &Path) -> Result<SecretString, Withheld> {
    let unusable = |problem: String| Withheld {
        why: format!("the file of federated_token, {}, is unusable: {problem}", path.display()),
        advice:
            "Check that the platform writes and renews the token there (on Kubernetes, a projected service account \
                 token), or correct federated_token."
                .to_owned(),
    };
    let text = regular::read(path, LONGEST_TOKEN).map_err(|problem| unusable(problem.to_string()))?;
    let token = text.trim();
    // A file that was named by mistake, such as a key, is not sent anywhere.
    if is_token(token) { Ok(token.into()) } else { Err(unusable("it holds no JSON Web Token".to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_certificates::Minted;

    /// It was valid when its file was read.
    #[test]
    fn a_certificate_that_expires_while_it_is_in_force_signs_nothing_more() {
        let minted = Minted::valid_for(1).both();
        let certificate = ClientCertificate::parse(&minted, Timestamp::now()).unwrap();
        let end = certificate.expires_at();
        let before = end - std::time::Duration::from_secs(1);
        assert!(signed(&certificate, "client", "https://login", before).is_ok());
        let withheld = signed(&certificate, "client", "https://login", end).unwrap_err();
        assert!(withheld.why.contains("expired at") && withheld.advice.contains("upload it"), "{withheld:?}");
        assert!(ClientCertificate::parse(&minted, end).is_err() && ClientCertificate::parse(&minted, before).is_ok());
    }

    #[test]
    fn a_federated_token_is_read_from_its_file_each_time_and_nothing_else_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let credential = ClientCredential::FederatedToken(path.clone());
        let prove = || credential.prove("client", "https://login");
        for token in ["a.first.c", "a.second.c"] {
            std::fs::write(&path, format!("{token}\n")).unwrap();
            let proof = prove().unwrap_or_else(|why| panic!("{why:?}"));
            assert_eq!(proof.fields(), [("client_assertion_type", assertion::TYPE), ("client_assertion", token)]);
        }
        for text in ["", "-----BEGIN PRIVATE KEY-----\nhidden\n", &"x".repeat(70_000)] {
            std::fs::write(&path, text).unwrap();
            let Err(withheld) = prove() else { panic!("{text}") };
            assert!(withheld.why.contains(path.to_str().unwrap()) && !withheld.why.contains("hidden"), "{withheld:?}");
        }
    }

    #[test]
    fn credentials_differ_by_kind_and_value() {
        let minted = [Minted::valid_for(1), Minted::valid_for(1)];
        let certificate = |minted: &Minted| {
            ClientCredential::Certificate(Arc::new(ClientCertificate::parse(&minted.both(), Timestamp::now()).unwrap()))
        };
        let all = [
            ClientCredential::Secret("a".into()),
            ClientCredential::Secret("b".into()),
            certificate(&minted[0]),
            certificate(&minted[1]),
            ClientCredential::FederatedToken("/a".into()),
            ClientCredential::FederatedToken("/b".into()),
        ];
        for (n, one) in all.iter().enumerate() {
            for (m, other) in all.iter().enumerate() {
                assert_eq!(one == other, n == m, "{one:?} {other:?}");
            }
        }
        assert_eq!(certificate(&minted[0]), all[2]);
    }
}
