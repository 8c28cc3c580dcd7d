//! An organization whose file is at fault: known by its id, withheld, its events wait until the file is corrected.

use std::collections::BTreeMap;

use toml::Value;
use uuid::Uuid;

use super::file;
use super::{Organization, Source, Withheld};
use crate::config::document::{Document, Entry};
use crate::config::fault::Faults;
use crate::config::model::Config;
use crate::config::secret::Environment;
use crate::config::url::{self, Trust};

/// Stands in for an address that can't be read; a name that is reserved and never resolves.
const NO_ENVIRONMENT: &str = "https://unknown.invalid";
const ADVICE: &str = "Correct the file (`handoffd config check` names every fault); its events wait until then.";

/// As much of it as is needed to know it; no request is ever made by it. `None` when its id can't be read.
pub(super) fn withheld(source: &Source, document: &Document, faults: &Faults, config: &Config) -> Option<Organization> {
    let id = document.get("organization_id")?.value.clone();
    let nobody = Value::from(Uuid::nil().to_string());
    let least = [
        ("organization_id", id),
        ("environment_url", environment(document)),
        ("tenant_id", nobody.clone()),
        ("client_id", nobody),
        ("client_secret", Value::from("withheld")),
    ];
    let entry = |value| Entry { value, line: 0, lines: BTreeMap::new() };
    let least = least.into_iter().map(|(key, value)| (key.to_owned(), entry(value))).collect();
    let mut lenient = config.clone();
    lenient.dynamics.allow_insecure = true;
    let organization = file::read(source, least, &lenient, &Environment::default()).ok()?;
    Some(as_withheld(organization, faults))
}

/// The organization with these faults as the reason why it can't be used.
pub(super) fn as_withheld(organization: Organization, faults: &Faults) -> Organization {
    let why = format!("its file is at fault: {}", faults.to_string().replace('\n', "; "));
    Organization { withheld: Some(Withheld { why, advice: ADVICE.to_owned() }), ..organization }
}

/// The address as written, where it is one.
fn environment(document: &Document) -> Value {
    let written = document.get("environment_url").and_then(|entry| entry.value.as_str());
    let legal = written.and_then(|text| url::environment(text, Trust::Anyone).ok());
    Value::from(legal.unwrap_or_else(|| NO_ENVIRONMENT.to_owned()))
}
