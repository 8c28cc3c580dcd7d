//! Documents of organizations as stored: the keys of a file as JSON, with the secret encrypted.

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::store::SavedOrganization;
use secrecy::ExposeSecret;
use serde_json::Value;

use super::document::parse_document;
use super::operations::OrganizationError;
use super::organization::Organization;
use super::origin::Origin;
use super::vault::{DecryptError, SealedRow, Vault};
use crate::config::{Config, ConfigFault, ConfigFaults};
use crate::dynamics::Withheld;

/// Keys that may hold the secret.
const SECRETS: [&str; 2] = ["client_secret", "client_certificate"];
const ID: &str = "organization_id";

/// Returns the document with its id, which may be given only in the path.
pub(super) fn named(id: &OrganizationId, mut document: Value) -> Result<Value, OrganizationError> {
    let Some(object) = document.as_object_mut() else {
        return Err(OrganizationError::Invalid(
            "expected a JSON object with the keys of an organization's file".to_owned(),
        ));
    };
    match object.get(ID) {
        None | Some(Value::Null) => {
            object.insert(ID.to_owned(), id.as_str().into());
        }
        Some(given) if given == id.as_str() => {}
        Some(_) => {
            return Err(OrganizationError::Invalid(format!(
                "organization_id: expected {:?}, as in the URL, or no value",
                id.as_str()
            )));
        }
    }
    Ok(document)
}

/// Builds the row of a valid document, with its secret encrypted.
pub(super) fn encrypted(
    id: &OrganizationId,
    document: &Value,
    vault: &Vault,
) -> Result<SavedOrganization, OrganizationError> {
    let field = secret_key(document);
    let secret = document[field].as_str().unwrap_or_default().into();
    // Authenticated is what will be read: printing and parsing a number may change its last digit.
    let document: Value = serde_json::from_str(&document.to_string()).unwrap_or_default();
    let bound = SealedRow { organization: id, field, settings: &settings(&document, field) };
    let Some(sealed) = vault.encrypt(bound, &secret) else {
        return Err(OrganizationError::Refused(
            "can't encrypt the secret without a key; set organizations.encryption_key (openssl rand -base64 32) and restart \
             the worker, or configure the organization in a file"
                .to_owned(),
        ));
    };
    let row = row(id, document, sealed);
    if row.document.len() > SavedOrganization::LONGEST {
        return Err(OrganizationError::Invalid(format!(
            "the document takes {} bytes, the limit is {}; shorten ticket_properties, or configure the organization in a \
             file",
            row.document.len(),
            SavedOrganization::LONGEST
        )));
    }
    Ok(row)
}

/// Re-encrypts a row with the current key. `None` if it already uses that key or can't be decrypted.
pub(super) fn reencrypted(saved: &SavedOrganization, vault: &Vault) -> Option<SavedOrganization> {
    let document = document(saved);
    let field = secret_key(&document);
    let secret = &document[field];
    if !is_sealed(secret) || vault.is_current(secret) {
        return None;
    }
    let settings = settings(&document, field);
    let bound = SealedRow { organization: &saved.id, field, settings: &settings };
    let sealed = vault.encrypt(bound, &vault.open(bound, secret).ok()?)?;
    Some(row(&saved.id, document, sealed))
}

/// Reads a saved organization. One whose secret can't be decrypted, or that is no longer valid, is withheld, so that
/// its events wait.
///
/// # Errors
/// Fails if too little of the document is readable to identify the organization.
pub fn read_saved(saved: &SavedOrganization, vault: &Vault, config: &Config) -> Result<Organization, ConfigFaults> {
    let mut document = document(saved);
    if document[ID] != saved.id.as_str() {
        return Err(not_it());
    }
    // The worker encrypts every secret: another hand wrote one that is not.
    let field = secret_key(&document);
    if !is_sealed(&document[field]) {
        return withheld(document, unsealed(), config);
    }
    let bound = SealedRow { organization: &saved.id, field, settings: &settings(&document, field) };
    match vault.open(bound, &document[field]) {
        Ok(secret) => document[field] = secret.expose_secret().into(),
        Err(problem) => return withheld(document, sealed_shut(&problem), config),
    }
    parse_document(&document, config).or_else(|faults| withheld(document, at_fault(&faults), config))
}

/// Returns the document of a row. Invalid JSON is reported as an organization that can't be read.
fn document(saved: &SavedOrganization) -> Value {
    serde_json::from_str(&saved.document).unwrap_or_default()
}

/// Returns all of a document but its secret, as one text for each content.
fn settings(document: &Value, field: &str) -> String {
    let mut settings = document.clone();
    settings.as_object_mut().map(|keys| keys.shift_remove(field));
    settings.sort_all_objects();
    settings.to_string()
}

fn row(id: &OrganizationId, mut document: Value, sealed: Value) -> SavedOrganization {
    let field = secret_key(&document);
    document[field] = sealed;
    SavedOrganization { id: id.clone(), document: document.to_string() }
}

/// Returns the organization with a placeholder for its secret, which no request ever uses.
fn withheld(mut document: Value, why: Withheld, config: &Config) -> Result<Organization, ConfigFaults> {
    // A placeholder of valid length, never used.
    document[SECRETS[0]] = "withheld".into();
    for other in ["client_certificate", "federated_token"] {
        document[other] = Value::Null;
    }
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
        DecryptError::Damaged => "Save the organization again, and find out who wrote to the store.",
    };
    Withheld { why: problem.to_string(), advice: advice.to_owned() }
}

fn unsealed() -> Withheld {
    Withheld {
        why: "its secret in the store is not encrypted".to_owned(),
        advice: "Save the organization again, and find out who wrote to the store.".to_owned(),
    }
}

fn at_fault(faults: &ConfigFaults) -> Withheld {
    Withheld {
        why: format!("its saved settings are no longer valid: {}", faults.to_string().replace('\n', "; ")),
        advice: "Correct the configuration, or save the organization again.".to_owned(),
    }
}

/// Returns the key that holds the secret of a document; a valid document has exactly one.
fn secret_key(document: &Value) -> &'static str {
    SECRETS.into_iter().find(|key| !document[*key].is_null()).unwrap_or(SECRETS[0])
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
    use crate::dynamics::ClientCredential;

    const INSECURE: [(&str, &str); 1] = [("HANDOFFD_DYNAMICS__ALLOW_INSECURE", "true")];

    fn vault(byte: u8) -> Vault {
        Vault::new(Some(&SecretSlice::from(vec![byte; 32])), None)
    }

    fn secret(organization: &Organization) -> &str {
        match &organization.credentials.credential {
            ClientCredential::Secret(secret) => secret.expose_secret(),
            other => panic!("{other:?}"),
        }
    }

    fn acme() -> OrganizationId {
        "org_acme".into()
    }

    fn document() -> Value {
        json!({
            "organization_id": "org_acme", "environment_url": "https://acme.crm.dynamics.com", "tenant_id": "11111111-1111-1111-1111-111111111111",
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

    /// Row of a document, with its secret encrypted by the vault.
    fn saved(document: &Value, vault: &Vault) -> SavedOrganization {
        encrypted(&acme(), document, vault).unwrap()
    }

    #[test]
    fn a_stored_document_hides_its_secret_and_round_trips() {
        let kept = saved(&document(), &vault(1));
        assert!(!kept.document.contains("s3cret"));
        let organization = read_saved(&kept, &vault(1), &config(&[])).unwrap();
        assert_eq!(secret(&organization), "s3cret");
        assert_eq!((organization.withheld, organization.source), (None, Origin::Store));
    }

    #[test]
    fn a_row_with_a_secret_that_is_not_encrypted_is_withheld_whatever_it_names() {
        for stored in [
            json!("s3cret"),
            json!(null),
            json!({ "env": "PATH" }),
            json!({ "env": "NO_SUCH" }),
            json!({ "file": "/etc/hostname" }),
        ] {
            let organization = read_saved(&row(&acme(), document(), stored), &vault(1), &config(&[])).unwrap();
            assert_eq!(organization.withheld.as_ref().unwrap().why, "its secret in the store is not encrypted");
            assert_eq!(secret(&organization), "withheld");
        }
    }

    #[test]
    fn a_row_that_was_altered_in_any_key_is_withheld() {
        let mut rich = document();
        rich["ticket_properties"] = json!({ "b": 1.1e-7, "a": { "d": 1, "c": 9_007_199_254_740_993_i64 } });
        let kept = saved(&rich, &vault(1));
        assert_eq!(read_saved(&kept, &vault(1), &config(&[])).unwrap().withheld, None);
        let text = |value: Value| SavedOrganization { document: value.to_string(), ..kept.clone() };
        let stored: Value = serde_json::from_str(&kept.document).unwrap();
        for (key, value) in [
            ("environment_url", json!("https://evil.crm.dynamics.com")),
            ("tenant_id", json!("33333333-3333-3333-3333-333333333333")),
            ("default_priority", json!(1)),
            ("ticket_properties", json!({ "b": 1.1e-7, "a": { "d": 1 } })),
        ] {
            let mut altered = stored.clone();
            altered[key] = value;
            let why = read_saved(&text(altered.clone()), &vault(1), &config(&[])).unwrap().withheld.unwrap().why;
            assert!(why.contains("altered"), "{key}: {why}");
            assert_eq!(reencrypted(&text(altered), &vault(1)), None, "{key}");
        }
        // The order of keys is no content.
        let mut sorted = stored;
        sorted.sort_all_objects();
        assert_eq!(read_saved(&text(sorted), &vault(1), &config(&[])).unwrap().withheld, None);
    }

    #[test]
    fn an_organization_that_can_not_be_decrypted_is_withheld() {
        let kept = saved(&document(), &vault(1));
        let organization = read_saved(&kept, &vault(2), &config(&[])).unwrap();
        let withheld = organization.withheld.clone().unwrap();
        assert!(withheld.advice.contains("organizations.encryption_key"), "{}", withheld.advice);
        assert_eq!(organization.settings.environment_url, "https://acme.crm.dynamics.com");
        assert_ne!(secret(&organization), "s3cret");
    }

    #[test]
    fn an_organization_that_is_no_longer_valid_is_withheld() {
        let mut document = document();
        document["environment_url"] = "http://127.0.0.1:1".into();
        let kept = saved(&document, &vault(1));
        assert_eq!(read_saved(&kept, &vault(1), &config(&INSECURE)).unwrap().withheld, None);
        let withheld = read_saved(&kept, &vault(1), &config(&[])).unwrap().withheld.unwrap();
        assert!(withheld.why.contains("allow_insecure"), "{}", withheld.why);
    }

    #[test]
    fn a_document_without_a_key_or_too_long_is_not_saved() {
        assert!(matches!(encrypted(&acme(), &document(), &Vault::default()), Err(OrganizationError::Refused(_))));
        let mut long = document();
        long["ticket_properties"] = json!({ "x": "y".repeat(SavedOrganization::LONGEST) });
        assert!(matches!(encrypted(&acme(), &long, &vault(1)), Err(OrganizationError::Invalid(_))));
    }

    #[test]
    fn a_document_may_leave_out_the_id_of_the_url_but_not_contradict_it() {
        for id in [Value::Null, "org_acme".into()] {
            assert_eq!(named(&acme(), json!({ "organization_id": id })).unwrap()[ID], "org_acme");
        }
        for wrong in [json!({ "organization_id": "org_globex" }), json!({ "organization_id": 5 }), json!([])] {
            assert!(matches!(named(&acme(), wrong), Err(OrganizationError::Invalid(_))));
        }
    }

    #[test]
    fn a_row_under_another_id_is_refused() {
        let kept = SavedOrganization { id: "org_globex".into(), ..saved(&document(), &vault(1)) };
        assert!(read_saved(&kept, &vault(1), &config(&[])).is_err());
        let unreadable = SavedOrganization { id: acme(), document: "{".to_owned() };
        assert!(read_saved(&unreadable, &vault(1), &config(&[])).is_err());
    }

    #[test]
    fn rotation_re_encrypts_secrets_of_the_previous_key() {
        let (old, new) = (SecretSlice::from(vec![1; 32]), SecretSlice::from(vec![2; 32]));
        let kept = saved(&document(), &vault(1));
        let rotating = Vault::new(Some(&new), Some(&old));
        let anew = reencrypted(&kept, &rotating).unwrap();
        assert_eq!(reencrypted(&anew, &rotating), None);
        assert_eq!(reencrypted(&kept, &vault(2)), None, "it can't be decrypted and is unchanged");
        let organization = read_saved(&anew, &vault(2), &config(&[])).unwrap();
        assert_eq!(secret(&organization), "s3cret");
    }
}
