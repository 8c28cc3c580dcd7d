//! Reads the credential of an organization's application: exactly one of three keys.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::SecretString;

use crate::config::fault::{ConfigFault, NOTHING};
use crate::config::reader::Reader;
use crate::config::value::Read;
use crate::dynamics::{ClientCertificate, ClientCredential, is_token};
use crate::organizations::origin::Origin;

/// Keys of a credential.
const KEYS: [&str; 3] = ["client_secret", "client_certificate", "federated_token"];
/// Form of a secret in a document.
const SECRET_OF_DOCUMENT: &str =
    "the secret itself as a string; { env = … } and { file = … } are allowed only in an organization's file";
const CERTIFICATE: &str =
    "PEM of a certificate and its RSA key of 2048 to 4096 bits, without a passphrase and not expired";

/// Reads the credential; records the faults of it, and that none or more than one is set.
pub(super) fn credential(reader: &mut Reader<'_>, source: &Origin) -> Option<ClientCredential> {
    let set: Vec<&str> = KEYS.into_iter().filter(|key| reader.set.contains_key(*key)).collect();
    let secret = secret(reader, source).map(ClientCredential::Secret);
    let certificate = certificate(reader, source).map(ClientCredential::Certificate);
    let token = federated_token(reader, source);
    match set[..] {
        [] => {
            reader.faults.push(missing(source));
            None
        }
        [_] => secret.or(certificate).or(token),
        [_, second, ..] => {
            let place = reader.set[second].place.clone();
            let found = format!("{} together", set.join(" and "));
            let expected = "exactly one of client_secret, client_certificate and federated_token; remove the others";
            reader.faults.push(ConfigFault::new(place, second, found, expected));
            None
        }
    }
}

fn secret(reader: &mut Reader<'_>, source: &Origin) -> Option<SecretString> {
    let parse = |text: &str| match text.trim() {
        "" => Err("the client secret's value".to_owned()),
        _ => Ok(text.into()),
    };
    match source {
        Origin::File(_) => reader.required_secret("client_secret", parse),
        // The sender of a document must not learn, or have the worker open, data that only the worker can read.
        Origin::Store => reader.inline_secret("client_secret", SECRET_OF_DOCUMENT, parse),
    }
}

fn certificate(reader: &mut Reader<'_>, source: &Origin) -> Option<Arc<ClientCertificate>> {
    let parse = |text: &str| -> Read<Arc<ClientCertificate>> {
        ClientCertificate::shared(text, Timestamp::now()).map_err(|problem| format!("{CERTIFICATE}; {problem}"))
    };
    match source {
        Origin::File(_) => reader.required_secret("client_certificate", parse),
        Origin::Store => reader.inline_secret("client_certificate", SECRET_OF_DOCUMENT, parse),
    }
}

fn federated_token(reader: &mut Reader<'_>, source: &Origin) -> Option<ClientCredential> {
    let name = "federated_token";
    match source {
        Origin::File(_) => {
            let check = |text: &str| {
                let expected = || "a JSON Web Token, which the platform writes and renews".to_owned();
                is_token(text.trim()).then_some(()).ok_or_else(expected)
            };
            reader.secret_file(name, check).map(ClientCredential::FederatedToken)
        }
        // A document can't name a file of the worker's, and a token would end within hours.
        Origin::Store => {
            let expected = "no such key; federated_token is allowed only in an organization's file";
            reader.inline_secret(name, expected, |_| Err(expected.to_owned()))
        }
    }
}

fn missing(source: &Origin) -> ConfigFault {
    let expected = match source {
        Origin::File(_) => {
            "a string, { env = … } or { file = … }; or client_certificate or federated_token in its place".to_owned()
        }
        Origin::Store => format!("{SECRET_OF_DOCUMENT}; or client_certificate in its place"),
    };
    ConfigFault::new(source.place(None), KEYS[0], NOTHING.to_owned(), expected)
}
