//! Organizations with faulty files: known by id and withheld, so that their events wait until the file is corrected.

use std::collections::BTreeMap;

use toml::Value;
use uuid::Uuid;

use crate::config::document::{DocumentEntry, TomlDocument};
use crate::config::fault::ConfigFaults;
use crate::config::url::{self, HostTrust};
use crate::config::{Config, EnvironmentVariables};
use crate::dynamics::Withheld;
use crate::organizations::document::read_document;
use crate::organizations::organization::Organization;
use crate::organizations::origin::Origin;

/// Placeholder for an unreadable address; a reserved name that never resolves.
const NO_ENVIRONMENT: &str = "https://unknown.invalid";
const ADVICE: &str = "Correct the file (`handoffd config check` lists every fault); its events wait until then.";

/// Returns the organization with placeholders, which no request ever uses. `None` if its id is unreadable.
pub(super) fn withheld(
    source: &Origin,
    document: &TomlDocument,
    faults: &ConfigFaults,
    config: &Config,
) -> Option<Organization> {
    let id = document.get("organization_id")?.value.clone();
    let placeholder = Value::from(Uuid::nil().to_string());
    let least = [
        ("organization_id", id),
        ("environment_url", environment(document)),
        ("tenant_id", placeholder.clone()),
        ("client_id", placeholder),
        ("client_secret", Value::from("withheld")),
    ];
    let entry = |value| DocumentEntry { value, line: 0, lines: BTreeMap::new() };
    let least = least.into_iter().map(|(key, value)| (key.to_owned(), entry(value))).collect();
    let mut lenient = config.clone();
    lenient.dynamics.allow_insecure = true;
    let organization = read_document(source, least, &lenient, &EnvironmentVariables::default()).ok()?;
    Some(as_withheld(organization, faults))
}

/// Withholds the organization with these faults as the reason.
pub(super) fn as_withheld(organization: Organization, faults: &ConfigFaults) -> Organization {
    let why = format!("its file is invalid: {}", faults.to_string().replace('\n', "; "));
    Organization { withheld: Some(Withheld { why, advice: ADVICE.to_owned() }), ..organization }
}

/// Returns the address as written if it is valid, else the placeholder.
fn environment(document: &TomlDocument) -> Value {
    let written = document.get("environment_url").and_then(|entry| entry.value.as_str());
    let legal = written.and_then(|text| url::environment(text, HostTrust::Anyone).ok());
    Value::from(legal.unwrap_or_else(|| NO_ENVIRONMENT.to_owned()))
}
