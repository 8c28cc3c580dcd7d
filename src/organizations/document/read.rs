//! Reads one organization's file, or a document with the same keys.

use std::path::Path;
use std::sync::Arc;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::workflow::{CloseWith, ContactFailure, FallbackCustomer, QueueAssignment, Settings};
use toml::Value;
use uuid::Uuid;

use super::schema::KEYS;
use super::{credential, json, ticket};
use crate::config::document::{self, TomlDocument};
use crate::config::fault::{ConfigFault, ConfigFaults, NOTHING};
use crate::config::reader::Reader;
use crate::config::setting::{Set, Setting};
use crate::config::suggest::suggest;
use crate::config::url;
use crate::config::value::{self, Read};
use crate::config::{Config, EnvironmentVariables};
use crate::dynamics::Credentials;
use crate::organizations::organization::Organization;
use crate::organizations::origin::Origin;

/// Parses text as the content of the file `path`, for `org save`.
pub fn parse(
    path: &Path,
    text: &str,
    config: &Config,
    env: &EnvironmentVariables,
) -> Result<Organization, ConfigFaults> {
    let source = Origin::File(path.to_owned());
    document::parse(path, text).and_then(|document| read_document(&source, document, config, env))
}

/// Parses the same keys as JSON, for the API. The secret must be in the document itself.
pub(in crate::organizations) fn parse_document(
    document: &serde_json::Value,
    config: &Config,
) -> Result<Organization, ConfigFaults> {
    read_document(&Origin::Store, json::document(document)?, config, &EnvironmentVariables::default())
}

/// Reads an organization, or returns all faults of its file.
pub(in crate::organizations) fn read_document(
    source: &Origin,
    document: TomlDocument,
    config: &Config,
    env: &EnvironmentVariables,
) -> Result<Organization, ConfigFaults> {
    let mut faults = ConfigFaults::default();
    let set = known(source, document, &mut faults);
    let mut reader = Reader { section: "", keys: KEYS, set: &set, env, faults: &mut faults };
    let credentials = credentials(&mut reader, source);
    let settings = settings(&mut reader, config);
    for key in ["organization_id", "environment_url", "tenant_id", "client_id"] {
        if !set.contains_key(key) {
            faults.push(missing(source, key));
        }
    }
    let organization = settings.zip(credentials).map(|(settings, credentials)| Organization {
        settings: Arc::new(settings),
        credentials,
        source: source.clone(),
        withheld: None,
    });
    match organization {
        Some(organization) => faults.unless_any(organization),
        None => Err(faults),
    }
}

fn credentials(reader: &mut Reader<'_>, source: &Origin) -> Option<Credentials> {
    let tenant_id = reader.required_unquoted("tenant_id", tenant);
    let client_id = reader.required_unquoted("client_id", guid);
    let credential = credential::credential(reader, source);
    Some(Credentials { tenant_id: tenant_id?, client_id: client_id?.to_string(), credential: credential? })
}

fn settings(reader: &mut Reader<'_>, config: &Config) -> Option<Settings> {
    let trust = config.dynamics.trust();
    let organization_id = reader.required("organization_id", organization_id);
    let environment_url =
        reader.required("environment_url", |value| value::text(value).and_then(|text| url::environment(text, trust)));
    let live_work_item_entity_set = config.dynamics.live_work_item_entity_set.clone();
    let rest = Settings {
        organization_id: OrganizationId::from(""),
        environment_url: String::new(),
        live_work_item_entity_set,
        default_priority: reader.read("default_priority", value::whole(1..=4, "")),
        default_owner_id: reader.optional("default_owner_id", guid),
        default_queue_id: reader.optional("default_queue_id", guid),
        default_workstream_id: reader.optional("default_workstream_id", guid),
        description_limit: reader
            .read("description_limit", value::whole(200..=1_048_576, " (the most Dynamics can be set to)")),
        queue_assignment: reader.read("queue_assignment", value::word(QUEUE_ASSIGNMENTS)),
        queue_field: reader.read("queue_field", value::identifier),
        close_with: reader.read("close_with", value::word(CLOSINGS)),
        contact_failure: reader.read("contact_failure", value::word(CONTACT_FAILURES)),
        fallback_customer: reader.optional("fallback_customer", customer),
        ticket_properties: reader.read("ticket_properties", ticket::properties),
        resolution_wait: config.worker.resolution_wait,
    };
    Some(Settings { organization_id: organization_id?, environment_url: environment_url?, ..rest })
}

const QUEUE_ASSIGNMENTS: &[(&str, QueueAssignment)] =
    &[("auto", QueueAssignment::Auto), ("bind", QueueAssignment::Bind), ("add_to_queue", QueueAssignment::AddToQueue)];

const CLOSINGS: &[(&str, CloseWith)] =
    &[("auto", CloseWith::Auto), ("patch", CloseWith::Patch), ("close_incident", CloseWith::CloseIncident)];

const CONTACT_FAILURES: &[(&str, ContactFailure)] =
    &[("unlinked", ContactFailure::Unlinked), ("dead_letter", ContactFailure::DeadLetter)];

fn organization_id(value: &Value) -> Read<OrganizationId> {
    value
        .as_str()
        .filter(|text| (1..=255).contains(&text.chars().count()))
        .filter(|text| text.trim() == *text && !text.chars().any(char::is_control))
        .map(OrganizationId::from)
        .ok_or_else(|| "a string of 1 to 255 characters without control characters or surrounding spaces".to_owned())
}

/// Reads the GUID of a directory or one of its verified domains.
fn tenant(value: &Value) -> Read<String> {
    let text = value.as_str().unwrap_or_default();
    match Uuid::try_parse(text) {
        Ok(id) => Ok(id.to_string()),
        Err(_) if is_domain(text) => Ok(text.to_owned()),
        Err(_) => {
            Err("the directory's GUID or one of its verified domains, such as contoso.onmicrosoft.com".to_owned())
        }
    }
}

fn is_domain(text: &str) -> bool {
    let legal = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(legal)
}

fn guid(value: &Value) -> Read<Uuid> {
    value
        .as_str()
        .and_then(|text| Uuid::try_parse(text.trim()).ok())
        .ok_or_else(|| "a GUID such as 11111111-2222-3333-4444-555555555555".to_owned())
}

fn customer(value: &Value) -> Read<FallbackCustomer> {
    let row = |set: &str| {
        let rest = value.as_str()?.strip_prefix(set)?;
        Uuid::try_parse(rest.strip_suffix(')')?).ok()
    };
    row("/contacts(")
        .map(FallbackCustomer::Contact)
        .or_else(|| row("/accounts(").map(FallbackCustomer::Account))
        .ok_or_else(|| "\"/contacts(<guid>)\" or \"/accounts(<guid>)\"".to_owned())
}

/// Returns the known keys; unknown ones are faults.
fn known(source: &Origin, document: TomlDocument, faults: &mut ConfigFaults) -> Set {
    let mut set = Set::new();
    let names = || KEYS.iter().map(|key| key.name);
    for (key, entry) in document {
        let place = source.place(Some(entry.line));
        if names().any(|name| name == key) {
            let value = entry.value;
            set.insert(key, Setting { value, place });
            continue;
        }
        faults.push(ConfigFault {
            place,
            suggestion: suggest(&key, names()),
            key,
            found: Some("an unknown key".to_owned()),
            expected: format!("one of {}", names().collect::<Vec<_>>().join(", ")),
        });
    }
    set
}

fn missing(source: &Origin, name: &str) -> ConfigFault {
    let allowed = KEYS.iter().find(|key| key.name == name).map(|key| key.allowed);
    ConfigFault {
        place: source.place(None),
        key: name.to_owned(),
        found: Some(NOTHING.to_owned()),
        expected: allowed.unwrap_or_default().trim_start_matches("required; ").replace('`', ""),
        suggestion: None,
    }
}
