//! Documents of organizations as stored: the keys of a file as JSON, with the secret encrypted.

use handoffd_engine::event::OrganizationId;
use secrecy::ExposeSecret;
use serde_json::Value;

use super::document::parse_document;
use super::organization::{Organization, Withheld};
use super::origin::Origin;
use super::vault::{DecryptError, Vault};
use crate::config::{Config, ConfigFault, ConfigFaults};

const SECRET: &str = "client_secret";
const ID: &str = "organization_id";

/// Returns a valid document with its secret encrypted. `None` without a key, or if the document has no secret.
pub fn encrypt_document(id: &OrganizationId, document: &Value, vault: &Vault) -> Option<Value> {
    let mut kept = document.clone();
    kept[ID] = id.as_str().into();
    kept[SECRET] = vault.encrypt(id, &document[SECRET].as_str()?.into())?;
    Some(kept)
}

/// Re-encrypts a document with the current key. `None` if it already uses that key or can't be decrypted.
pub fn to_be_resealed(id: &OrganizationId, kept: &Value, vault: &Vault) -> Option<Value> {
    let secret = &kept[SECRET];
    if !is_sealed(secret) || vault.is_current(secret) {
        return None;
    }
    let mut anew = kept.clone();
    anew[SECRET] = vault.encrypt(id, &vault.open(id, secret).ok()?)?;
    Some(anew)
}

/// Reads a saved organization. One whose secret can't be decrypted, or that is no longer valid, is withheld, so that
/// its events wait.
///
/// # Errors
/// Fails if too little of the document is readable to identify the organization.
pub fn read_saved(
    id: &OrganizationId,
    kept: &Value,
    vault: &Vault,
    config: &Config,
) -> Result<Organization, ConfigFaults> {
    if kept[ID] != id.as_str() {
        return Err(not_it());
    }
    let mut document = kept.clone();
    if is_sealed(&kept[SECRET]) {
        match vault.open(id, &kept[SECRET]) {
            Ok(secret) => document[SECRET] = secret.expose_secret().into(),
            Err(problem) => return withheld(document, sealed_shut(&problem), config),
        }
    }
    parse_document(&document, config).or_else(|faults| withheld(document, at_fault(&faults), config))
}

/// Returns the organization with a placeholder for its secret, which no request ever uses.
fn withheld(mut document: Value, why: Withheld, config: &Config) -> Result<Organization, ConfigFaults> {
    // A placeholder of valid length, never used.
    document[SECRET] = "withheld".into();
    let mut lenient = config.clone();
    lenient.dynamics.allow_insecure = true;
    let organization = parse_document(&document, &lenient)?;
    Ok(Organization { withheld: Some(why), ..organization })
}

fn sealed_shut(problem: &DecryptError) -> Withheld {
    let advice = match problem {
        DecryptError::NoKey { .. } => {
            "Set organizations.encryption_key (or organizations.previous_encryption_key) to the key it was saved with, or save \
             the organization again."
        }
        DecryptError::Damaged => "Save the organization again.",
    };
    Withheld { why: problem.to_string(), advice: advice.to_owned() }
}

fn at_fault(faults: &ConfigFaults) -> Withheld {
    Withheld {
        why: format!("its saved settings are no longer valid: {}", faults.to_string().replace('\n', "; ")),
        advice: "Correct the configuration, or save the organization again.".to_owned(),
    }
}

fn is_sealed(secret: &Value) -> bool {
    secret.get("sealed").is_some()
}

fn not_it() -> ConfigFaults {
    ConfigFaults(vec![ConfigFault {
        place: Origin::Store.place(None),
        key: ID.to_owned(),
        found: None,
        expected: "the id under which the organization was saved".to_owned(),
        suggestion: None,
    }])
}

#[cfg(test)]
mod tests {
    use secrecy::SecretSlice;
    use serde_json::json;

    use super::*;

    const INSECURE: [(&str, &str); 1] = [("HANDOFFD_DYNAMICS__ALLOW_INSECURE", "true")];

    fn vault(byte: u8) -> Vault {
        Vault::new(Some(&SecretSlice::from(vec![byte; 32])), None)
    }

    fn acme() -> OrganizationId {
        "org_acme".into()
    }

    fn document() -> Value {
        json!({
            "environment_url": "https://acme.crm.dynamics.com", "tenant_id": "11111111-1111-1111-1111-111111111111",
            "client_id": "22222222-2222-2222-2222-222222222222", "client_secret": "s3cret",
        })
    }

    fn config(variables: &[(&str, &str)]) -> Config {
        let file = std::env::temp_dir().join(format!("handoffd-saved-{}.toml", uuid::Uuid::new_v4()));
        std::fs::write(&file, "").unwrap();
        let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let config = crate::config::load(&file, pairs).unwrap();
        std::fs::remove_file(file).unwrap();
        config
    }

    fn read(kept: &Value, vault: &Vault, config: &Config) -> Result<Organization, ConfigFaults> {
        read_saved(&acme(), kept, vault, config)
    }

    #[test]
    fn a_stored_document_hides_its_secret_and_round_trips() {
        let kept = encrypt_document(&acme(), &document(), &vault(1)).unwrap();
        assert!(!kept.to_string().contains("s3cret"));
        let organization = read(&kept, &vault(1), &config(&[])).unwrap();
        assert_eq!(organization.credentials.client_secret.expose_secret(), "s3cret");
        assert_eq!((organization.withheld, organization.source), (None, Origin::Store));
    }

    #[test]
    fn a_row_that_refers_to_its_secret_is_withheld_whatever_it_names() {
        let elsewhere = [json!({ "env": "PATH" }), json!({ "env": "NO_SUCH" }), json!({ "file": "/etc/hostname" })];
        let why = elsewhere.map(|secret| {
            let mut kept = document();
            kept["organization_id"] = "org_acme".into();
            kept["client_secret"] = secret;
            assert_eq!(encrypt_document(&acme(), &kept, &vault(1)), None);
            read(&kept, &vault(1), &config(&[])).unwrap().withheld.unwrap().why
        });
        assert!(why[0].contains("expected the secret itself"), "{}", why[0]);
        assert!(why.iter().all(|other| *other == why[0]), "{why:?}");
    }

    #[test]
    fn an_organization_that_can_not_be_decrypted_is_withheld() {
        let kept = encrypt_document(&acme(), &document(), &vault(1)).unwrap();
        let organization = read(&kept, &vault(2), &config(&[])).unwrap();
        let withheld = organization.withheld.unwrap();
        assert!(withheld.advice.contains("organizations.encryption_key"), "{}", withheld.advice);
        assert_eq!(organization.settings.environment_url, "https://acme.crm.dynamics.com");
        assert_ne!(organization.credentials.client_secret.expose_secret(), "s3cret");
    }

    #[test]
    fn an_organization_that_is_no_longer_valid_is_withheld() {
        let mut document = document();
        document["environment_url"] = "http://127.0.0.1:1".into();
        let kept = encrypt_document(&acme(), &document, &vault(1)).unwrap();
        assert_eq!(read(&kept, &vault(1), &config(&INSECURE)).unwrap().withheld, None);
        let withheld = read(&kept, &vault(1), &config(&[])).unwrap().withheld.unwrap();
        assert!(withheld.why.contains("allow_insecure"), "{}", withheld.why);
    }

    #[test]
    fn a_row_under_another_id_is_refused() {
        let kept = encrypt_document(&"org_globex".into(), &document(), &vault(1)).unwrap();
        assert!(read(&kept, &vault(1), &config(&[])).is_err());
        assert!(read(&json!(null), &vault(1), &config(&[])).is_err());
    }

    #[test]
    fn rotation_re_encrypts_secrets_of_the_previous_key() {
        let (old, new) = (SecretSlice::from(vec![1; 32]), SecretSlice::from(vec![2; 32]));
        let kept = encrypt_document(&acme(), &document(), &vault(1)).unwrap();
        let rotating = Vault::new(Some(&new), Some(&old));
        let anew = to_be_resealed(&acme(), &kept, &rotating).unwrap();
        assert_eq!(to_be_resealed(&acme(), &anew, &rotating), None);
        assert_eq!(to_be_resealed(&acme(), &kept, &vault(2)), None, "it can't be decrypted and is unchanged");
        let organization = read(&anew, &vault(2), &config(&[])).unwrap();
        assert_eq!(organization.credentials.client_secret.expose_secret(), "s3cret");
    }
}
