//! Encrypted connections to PostgreSQL: the certificate is verified as `sslmode` says.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use handoffd::postgres::{PostgresOptions, PostgresTls, open};
use handoffd_engine::ports::metrics::NoMetrics;
use secrecy::SecretString;

use crate::support::postgres::Postgres;

#[tokio::test]
async fn the_certificate_is_verified_as_sslmode_says() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let postgres = Postgres::start_with_certificate(folder.path());
    let port = postgres.url().split([':', '/']).nth(4).expect("a port").to_owned();
    let problem = async |host: &str, tls, ca_file: bool| {
        let options = PostgresOptions {
            url: SecretString::from(format!("postgres://postgres@{host}:{port}/postgres")),
            tls,
            ca_file: ca_file.then(|| folder.path().join("root.pem")),
            migrate: true,
        };
        let store = open(&options, Arc::new(NoMetrics)).await.unwrap();
        store.health().borrow().as_ref().map(ToString::to_string)
    };
    assert_eq!(problem("localhost", PostgresTls::VerifyFull, true).await, None);
    let unknown = problem("localhost", PostgresTls::VerifyFull, false).await.expect("an unknown root");
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    let unnamed = problem("127.0.0.1", PostgresTls::VerifyFull, true).await.expect("another name");
    assert!(unnamed.contains("not valid for name"), "{unnamed}");
    assert_eq!(problem("127.0.0.1", PostgresTls::VerifyCa, true).await, None);
    let unknown = problem("127.0.0.1", PostgresTls::VerifyCa, false).await.expect("an unknown root");
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
}

/// Creates a root and a certificate for `localhost`.
fn certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        let made = Command::new("openssl").current_dir(folder).args(arguments.split(' ')).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n").unwrap();
    openssl("req -x509 -newkey rsa:2048 -nodes -subj /CN=root -days 2 -keyout root.key -out root.pem");
    openssl("req -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr");
    openssl(
        "x509 -req -in server.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 -extfile names -out server.pem",
    );
}
