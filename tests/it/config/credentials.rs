//! Credentials of an organization's file: exactly one, and each complete.

use std::path::Path;

use handoffd::config::EnvironmentVariables;
use handoffd::dynamics::ClientCredential;
use handoffd::organizations::{self, Organization};

use super::site::{ACME, Site};
use crate::support::certificates::Minted;

/// Parses the organization's file with these lines in place of its secret.
fn parse(site: &Site, lines: &str) -> Result<Organization, String> {
    let config = site.load(&[]).expect("legal");
    let text = ACME.replace("client_secret = \"pl41n\"\n", lines);
    let parsed = organizations::parse(Path::new("acme.toml"), &text, &config, &EnvironmentVariables::default());
    parsed.map_err(|faults| faults.to_string())
}

/// Line `key = { file = "…" }` for a file with this text.
fn line(site: &Site, key: &str, name: &str, text: &str) -> String {
    format!("{key} = {{ file = {:?} }}\n", site.write(name, text))
}

#[test]
fn each_kind_of_credential_is_read() {
    let (site, minted) = (Site::new(""), Minted::valid_for(30));
    let from_file = parse(&site, &line(&site, "client_certificate", "acme.pem", &minted.both())).expect("legal");
    let plain = parse(&site, &format!("client_certificate = '''{}'''\n", minted.both())).expect("legal");
    assert_eq!(from_file.credentials, plain.credentials);
    assert!(from_file.credentials.credential.expires_at().is_some());
    // The key may come first, and other certificates of the chain may follow.
    let mixed = format!("{}{}{}", minted.key, Minted::valid_for(30).certificate, minted.certificate);
    let mixed = parse(&site, &line(&site, "client_certificate", "mixed.pem", &mixed)).expect("legal");
    assert_eq!(mixed.credentials, plain.credentials);
    let shown = format!("{from_file:?}");
    assert!(!minted.key.lines().any(|line| shown.contains(line)), "{shown}");

    let token = line(&site, "federated_token", "token", "a.b.c\n");
    let credential = parse(&site, &token).expect("legal").credentials.credential;
    assert!(matches!(&credential, ClientCredential::FederatedToken(path) if path.ends_with("token")), "{credential:?}");
}

#[test]
fn exactly_one_credential_is_required() {
    let site = Site::new("");
    let error = parse(&site, "").expect_err("none");
    let expected = "acme.toml: client_secret: required; expected a string, { env = … } or { file = … }; or \
                    client_certificate or federated_token in its place";
    assert_eq!(error, expected);
    let token = line(&site, "federated_token", "token", "a.b.c");
    let error = parse(&site, &format!("client_secret = \"x\"\n{token}")).expect_err("two");
    let expected = "acme.toml:7: federated_token: found client_secret and federated_token together, expected exactly one \
                    of client_secret, client_certificate and federated_token; remove the others";
    assert_eq!(error, expected);
    let pem = line(&site, "client_certificate", "acme.pem", &Minted::valid_for(1).both());
    let error = parse(&site, &format!("client_secret = \"x\"\n{pem}{token}")).expect_err("three");
    assert!(error.contains("client_secret and client_certificate and federated_token together"), "{error}");
}

#[test]
fn every_fault_names_file_key_what_was_expected_and_the_next_action() {
    let (site, minted, other) = (Site::new(""), Minted::valid_for(30), Minted::valid_for(30));
    let certificate =
        "PEM of a certificate and its RSA key of 2048 to 4096 bits, without a passphrase and not expired; ";
    let swapped = format!("{}{}", minted.certificate, other.key);
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned();
    for (name, text, problem) in [
        ("key-only", minted.key.clone(), "it holds no certificate; add it"),
        ("certificate-only", minted.certificate.clone(), "it holds no private key; add the certificate's"),
        ("swapped", swapped, "its private key does not match the certificate; put the two together"),
        ("ec", Minted::with_key("ec").both(), "is not an RSA key of 2048 to 4096 bits; create a certificate"),
        ("small", Minted::with_key("rsa:1024").both(), "is not an RSA key of 2048 to 4096 bits; create a certificate"),
        ("expired", Minted::expired().both(), "its certificate expired at 2020-02-01T00:00:00Z; create a new one"),
        ("encrypted", minted.encrypted(), "its private key is encrypted; remove the passphrase"),
        ("damaged", format!("{damaged}{}", minted.key), "can't be read; export it again"),
        ("text", "s3cret".to_owned(), "it holds no certificate; add it"),
    ] {
        let error = parse(&site, &line(&site, "client_certificate", name, &text)).expect_err(name);
        let begin = "acme.toml:6: client_certificate: found file ";
        let found = format!("/{name}, expected {certificate}");
        assert!(error.starts_with(begin) && error.contains(&found) && error.contains(problem), "{name}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(!text.lines().any(|line| !line.starts_with('-') && error.contains(line)), "{error}");
    }
    for (lines, expected) in [
        (line(&site, "federated_token", "pem", &minted.key), "/pem, expected a JSON Web Token"),
        (line(&site, "federated_token", "empty", "\n"), "but it is empty"),
        ("federated_token = \"h1dden\"".to_owned(), "federated_token: expected { file = \"/path\" }"),
        ("federated_token = { env = \"H\" }".to_owned(), "federated_token: expected { file = \"/path\" }"),
        ("federated_token = [{ file = \"/x\" }]".to_owned(), "federated_token: expected { file = \"/path\" }"),
        ("federated_token = { file = \"/nowhere\" }".to_owned(), "{ file = \"/nowhere\" } but it can't be read"),
        ("client_certificate = { file = \"/dev/null\" }".to_owned(), "it is a device, not a regular file"),
    ] {
        let error = parse(&site, &format!("{lines}\n")).expect_err(&lines);
        assert!(error.starts_with("acme.toml:6: ") && error.contains(expected), "{error}");
        assert!(!error.contains("h1dden") && !error.contains("PRIVATE"), "{error}");
    }
}

#[test]
fn files_of_credentials_that_others_can_read_are_listed() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::new("[http]\ntoken = \"16-characters-xy\"\n");
    let minted = Minted::valid_for(30);
    for (key, text) in [("client_certificate", minted.both()), ("federated_token", "a.b.c".to_owned())] {
        let path = site.write(key, &text);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("its mode");
        let credential = format!("{key} = {{ file = {path:?} }}");
        site.organization("a.toml", &ACME.replace("client_secret = \"pl41n\"", &credential));
        let listed = site.insecure(&[]);
        assert!(listed.len() == 1 && listed[0].starts_with(&format!("{key}: ")), "{listed:?}");
    }
}
