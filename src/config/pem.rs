//! Validation of PEM files named in the configuration, so that a wrong file is found before a connection needs it.

use std::path::PathBuf;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use toml::Value;

use super::value::{self, Read};
use crate::regular::{self, LONGEST_PEM};

/// Reads the path of a file with at least one certificate.
pub(super) fn certificates(value: &Value) -> Read<PathBuf> {
    let expected = "a PEM file of certificates (-----BEGIN CERTIFICATE-----)";
    file(value, expected, |text| {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        let found = found.map_err(|error| error.to_string())?;
        if found.is_empty() {
            return Err("the file holds none".to_owned());
        }
        let mut roots = RootCertStore::empty();
        found.into_iter().try_for_each(|one| roots.add(one)).map_err(|error| error.to_string())
    })
}

/// Reads the path of a file with a private key. No error quotes the file.
pub(super) fn key(value: &Value) -> Read<PathBuf> {
    let expected = "a PEM file of one private key without a passphrase (-----BEGIN PRIVATE KEY-----)";
    file(value, expected, |text| match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
        Ok(_) => Ok(()),
        Err(_) => Err("the file holds none".to_owned()),
    })
}

fn file(value: &Value, expected: &str, check: impl Fn(&str) -> Read<()>) -> Read<PathBuf> {
    let path = value::path(value)?;
    let text = regular::read(&path, LONGEST_PEM).map_err(|error| error.to_string());
    text.and_then(|text| check(&text)).map_err(|problem| format!("{expected}; {problem}")).map(|()| path)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// Creates a certificate and its key.
    fn made(folder: &Path) -> [PathBuf; 2] {
        let files = ["certificate.pem", "key.pem"].map(|name| folder.join(name));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"])
            .arg("-out")
            .arg(&files[0])
            .arg("-keyout")
            .arg(&files[1])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        files
    }

    #[test]
    fn a_file_is_validated_and_no_key_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, private] = made(folder.path());
        let value = |path: &Path| Value::from(path.to_str().unwrap());
        assert_eq!(certificates(&value(&certificate)), Ok(certificate.clone()));
        assert_eq!(key(&value(&private)), Ok(private.clone()));

        assert!(certificates(&value(&private)).unwrap_err().ends_with("the file holds none"));
        assert!(key(&value(&certificate)).unwrap_err().ends_with("the file holds none"));
        assert!(certificates(&value(&folder.path().join("nowhere"))).unwrap_err().contains("it can't be read"));
        assert!(certificates(&value(folder.path())).unwrap_err().contains("a directory"));
        let broken = folder.path().join("broken.pem");
        std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(certificates(&value(&broken)).unwrap_err().starts_with("a PEM file of certificates"));
        std::fs::write(&broken, "-----BEGIN PRIVATE KEY-----\nhidden").unwrap();
        assert!(!key(&value(&broken)).unwrap_err().contains("hidden"));
    }
}
