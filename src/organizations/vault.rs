//! Encryption at rest of the secrets of saved organizations: XChaCha20-Poly1305 with a fresh random nonce each time.
//!
//! The whole row is authenticated together with the secret. So neither can a secret be moved to another organization,
//! nor can the address that it is sent to be changed by whoever writes to the store but has no key.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, AeadCore, KeyInit, OsRng, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use handoffd_engine::event::OrganizationId;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde_json::{Value, json};
use uuid::{Uuid, uuid};

use crate::config::OrganizationFiles;

/// Namespace of key ids. A key id is a digest of 256 random bits: it distinguishes keys and reveals nothing about them.
const KEY_NAMES: Uuid = uuid!("5b0c8b3e-6a0e-4f6c-9b39-7f9d1f3c2a61");
/// Bytes of XChaCha20's nonce, which is long enough to be chosen at random without limit.
const NONCE: usize = 24;

/// Row that a secret belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct SealedRow<'a> {
    pub organization: &'a OrganizationId,
    /// Name of the field that holds the secret.
    pub field: &'a str,
    /// Text of all that the row holds beside the secret.
    pub settings: &'a str,
}

/// Encrypts and decrypts secrets. Without a key it can do neither.
#[derive(Clone, Default)]
pub struct Vault {
    /// Keys. The first one encrypts; each decrypts the secrets encrypted with it.
    keys: Vec<SealingKey>,
}

#[derive(Clone)]
struct SealingKey {
    id: String,
    cipher: XChaCha20Poly1305,
}

/// Reason why a secret can't be decrypted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum DecryptError {
    /// The secret was encrypted with a key that is not configured.
    #[error("its secret was encrypted with the key {sealed_with}, which is not configured")]
    NoKey {
        /// Id of that key.
        sealed_with: String,
    },
    /// The encrypted secret or the rest of the row was altered, or the secret belongs to another organization.
    #[error("its row in the store was altered, or its secret is damaged or belongs to another organization")]
    Damaged,
}

impl Vault {
    /// Uses the keys of the configuration.
    pub fn of(keys: &OrganizationFiles) -> Self {
        Self::new(keys.encryption_key.as_ref(), keys.previous_encryption_key.as_ref())
    }

    /// Uses the current key, and the previous one while rows are re-encrypted.
    pub(super) fn new(current: Option<&SecretSlice<u8>>, previous: Option<&SecretSlice<u8>>) -> Self {
        Self { keys: current.into_iter().chain(previous).filter_map(SealingKey::new).collect() }
    }

    /// Encrypts a secret with the current key; `None` without a key.
    pub(super) fn encrypt(&self, row: SealedRow<'_>, secret: &SecretString) -> Option<Value> {
        let key = self.keys.first()?;
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let bound = bound_to(&key.id, row);
        let payload = Payload { msg: secret.expose_secret().as_bytes(), aad: &bound };
        // Encryption fails only for texts of 256 GiB.
        let text = key.cipher.encrypt(&nonce, payload).ok()?;
        let (nonce, text) = (STANDARD.encode(nonce), STANDARD.encode(text));
        Some(json!({ "sealed": { "key": key.id, "nonce": nonce, "text": text } }))
    }

    /// Decrypts a secret.
    pub(super) fn open(&self, row: SealedRow<'_>, sealed: &Value) -> Result<SecretString, DecryptError> {
        let sealed = &sealed["sealed"];
        let bytes = |name: &str| sealed[name].as_str().and_then(|text| STANDARD.decode(text).ok());
        let sealed_with = sealed["key"].as_str().ok_or(DecryptError::Damaged)?;
        let Some(key) = self.keys.iter().find(|key| key.id == sealed_with) else {
            return Err(DecryptError::NoKey { sealed_with: sealed_with.to_owned() });
        };
        let nonce = bytes("nonce").filter(|nonce| nonce.len() == NONCE).ok_or(DecryptError::Damaged)?;
        let text = bytes("text").ok_or(DecryptError::Damaged)?;
        let bound = bound_to(&key.id, row);
        let payload = Payload { msg: &text, aad: &bound };
        let plain = key.cipher.decrypt(XNonce::from_slice(&nonce), payload).map_err(|_| DecryptError::Damaged)?;
        String::from_utf8(plain).map(Into::into).map_err(|_| DecryptError::Damaged)
    }

    /// Reports whether a secret was encrypted with the current key.
    pub(super) fn is_current(&self, sealed: &Value) -> bool {
        let sealed = &sealed["sealed"];
        self.keys.first().is_some_and(|key| sealed["key"] == key.id.as_str())
    }
}

impl SealingKey {
    fn new(bytes: &SecretSlice<u8>) -> Option<Self> {
        let bytes = bytes.expose_secret();
        let cipher = XChaCha20Poly1305::new_from_slice(bytes).ok()?;
        Some(Self { id: Uuid::new_v5(&KEY_NAMES, bytes).simple().to_string(), cipher })
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

/// Returns the data authenticated with a secret. Each part but the last has its length before it, or a fixed form, so that
/// no text can be confused with parts of another row.
fn bound_to(key: &str, row: SealedRow<'_>) -> Vec<u8> {
    let SealedRow { organization, field, settings } = row;
    let length = organization.as_str().len();
    format!("handoffd\0{key}\0{field}\0{length}\0{}{settings}", organization.as_str()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SecretSlice<u8> {
        vec![byte; 32].into()
    }

    fn vault(current: u8, previous: Option<u8>) -> Vault {
        Vault::new(Some(&key(current)), previous.map(key).as_ref())
    }

    fn acme() -> OrganizationId {
        "org_acme".into()
    }

    fn row(organization: &OrganizationId) -> SealedRow<'_> {
        SealedRow { organization, field: "client_secret", settings: "{}" }
    }

    #[test]
    fn a_secret_round_trips_and_encrypts_differently_each_time() {
        let (vault, secret, acme) = (vault(1, None), SecretString::from("s3cret ü"), acme());
        let (one, other) = (vault.encrypt(row(&acme), &secret).unwrap(), vault.encrypt(row(&acme), &secret).unwrap());
        assert_ne!(one, other, "a fresh nonce each time");
        assert!(!one.to_string().contains("s3cret"));
        assert_eq!(vault.open(row(&acme), &one).unwrap().expose_secret(), "s3cret ü");
        assert!(vault.is_current(&one));
    }

    #[test]
    fn a_secret_opens_only_with_its_key_and_its_whole_row() {
        let (vault, acme) = (vault(1, None), acme());
        let sealed = vault.encrypt(row(&acme), &"x".into()).unwrap();
        let refused = |vault: &Vault, row: SealedRow<'_>, sealed: &Value| vault.open(row, sealed).unwrap_err();
        assert!(matches!(refused(&super::tests::vault(2, None), row(&acme), &sealed), DecryptError::NoKey { .. }));
        assert_eq!(refused(&vault, row(&"org_globex".into()), &sealed), DecryptError::Damaged);
        // The same bytes, cut elsewhere.
        let longer = SealedRow { organization: &"org_acme{".into(), settings: "}", ..row(&acme) };
        assert_eq!(refused(&vault, longer, &sealed), DecryptError::Damaged);
        assert_eq!(refused(&vault, SealedRow { settings: "{ }", ..row(&acme) }, &sealed), DecryptError::Damaged);
        assert_eq!(
            refused(&vault, SealedRow { field: "client_certificate", ..row(&acme) }, &sealed),
            DecryptError::Damaged
        );
        for (field, value) in [
            ("nonce", json!("AAAA")),
            ("text", json!("AAAAAAAAAAAAAAAAAAAAAAAA")),
            ("text", json!("?")),
            ("nonce", json!("")),
        ] {
            let mut changed = sealed.clone();
            changed["sealed"][field] = value.clone();
            assert_eq!(refused(&vault, row(&acme), &changed), DecryptError::Damaged, "{field} {value}");
        }
        assert_eq!(refused(&vault, row(&acme), &Value::Null), DecryptError::Damaged);
    }

    #[test]
    fn the_previous_key_decrypts_and_the_current_one_encrypts() {
        let acme = acme();
        let sealed = vault(1, None).encrypt(row(&acme), &"x".into()).unwrap();
        let rotating = vault(2, Some(1));
        assert_eq!(rotating.open(row(&acme), &sealed).unwrap().expose_secret(), "x");
        assert!(!rotating.is_current(&sealed));
        let anew = rotating.encrypt(row(&acme), &"x".into()).unwrap();
        assert!(vault(2, None).is_current(&anew));
    }

    #[test]
    fn without_a_key_nothing_is_encrypted_and_debug_shows_no_key() {
        assert!(Vault::default().encrypt(row(&acme()), &"x".into()).is_none());
        assert!(!format!("{:?}", vault(7, None)).contains("07"));
    }
}
