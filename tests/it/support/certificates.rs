//! Certificates and keys for tests, made by `openssl`.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Certificate and its private key, each as PEM.
#[derive(Clone)]
pub struct Minted {
    /// Certificate.
    pub certificate: String,
    /// Private key, PKCS #8.
    pub key: String,
}

/// Configuration of `openssl ca`, the only command that takes both ends of a validity.
const AUTHORITY: &str = "[ca]\ndefault_ca=d\n[d]\nnew_certs_dir=.\ndatabase=index.txt\nserial=serial\ndefault_md=sha256\n\
                         policy=p\n[p]\ncommonName=supplied\n";

impl Minted {
    /// Makes a certificate with an RSA key that is valid for this many days.
    pub fn valid_for(days: u32) -> Self {
        Self::made(&format!("req -x509 -newkey rsa:2048 -nodes -subj /CN=handoffd -days {days} -keyout key -out cert"))
    }

    /// Makes a certificate with a key of this kind (`rsa:1024`, `ec`).
    pub fn with_key(kind: &str) -> Self {
        let curve = if kind == "ec" { " -pkeyopt ec_paramgen_curve:P-256" } else { "" };
        Self::made(&format!("req -x509 -newkey {kind}{curve} -nodes -subj /CN=handoffd -days 30 -keyout key -out cert"))
    }

    /// Makes a certificate that expired in 2020.
    pub fn expired() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("ca.conf", AUTHORITY), ("index.txt", ""), ("serial", "01\n")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        openssl(folder.path(), "req -newkey rsa:2048 -nodes -subj /CN=handoffd -keyout key -out csr");
        openssl(
            folder.path(),
            "ca -config ca.conf -batch -notext -selfsign -keyfile key -in csr -startdate 20200101000000Z -enddate \
             20200201000000Z -out cert",
        );
        Self::read(&folder)
    }

    /// Returns both in one PEM, as `client_certificate` expects it.
    pub fn both(&self) -> String {
        format!("{}{}", self.certificate, self.key)
    }

    /// Returns both in one PEM, with a passphrase on the key.
    pub fn encrypted(&self) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), &self.key).unwrap();
        openssl(folder.path(), "pkcs8 -topk8 -in key -passout pass:s3cret -out encrypted");
        format!("{}{}", self.certificate, std::fs::read_to_string(folder.path().join("encrypted")).unwrap())
    }

    fn made(arguments: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        openssl(folder.path(), arguments);
        Self::read(&folder)
    }

    fn read(folder: &TempDir) -> Self {
        let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        Self { certificate: text("cert"), key: text("key") }
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let done = Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "openssl {arguments}: {done:?}");
}
