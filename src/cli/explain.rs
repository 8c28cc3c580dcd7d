//! `explain`: prints the route of an event and the exact requests it would cause. Sends nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use handoffd_engine::event::{Decoded, Envelope, Event, Limits, OrganizationId, Route, decode};
use handoffd_engine::workflow::Settings;
use serde_json::{Map, Value, json};

use super::org;
use super::remote::Remote;
use super::shell::{CommandError, pretty};
use crate::app::Offline;
use crate::config::{Config, StoreKind};
use crate::dynamics::{Explained, JsonBody, PLACEHOLDER_INCIDENT, explain};
use crate::organizations::{Loaded, Organization};

/// Explains the event in a file, as JSON; the events of a file with several, as an array.
///
/// # Errors
/// Fails if the file can't be read, does not contain an event, or its organization is neither configured nor saved, or
/// only configured by a faulty file.
pub(super) async fn explain_file(path: &Path, config: &Config, loaded: Loaded) -> Result<String, CommandError> {
    let limits = Limits { max_event_bytes: config.worker.max_event_bytes };
    let body: Bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?.into();
    let events = events(&body, limits)?;
    let is_of = |organization: &Organization| {
        events.iter().any(|event| event.key.organization_id == organization.settings.organization_id)
    };
    // The faults of other organizations' files are none of this event's business.
    if loaded.withheld.iter().any(is_of) {
        return Err(CommandError::Configuration(loaded.faults));
    }
    let mut organizations = loaded.organizations;
    let mut explained = Vec::new();
    for event in &events {
        let id = &event.key.organization_id;
        let is_it = |known: &Organization| known.settings.organization_id == *id;
        if !organizations.iter().any(is_it) {
            organizations.push(saved(config, id).await?.ok_or_else(|| unknown(id, &loaded.nameless))?);
        }
        explained.extend(organizations.iter().find(|known| is_it(known)).map(|known| explanation(event, known)));
    }
    let value = if explained.len() == 1 { explained.remove(0) } else { Value::Array(explained) };
    Ok(pretty(&value)?)
}

fn events(body: &Bytes, limits: Limits) -> Result<Vec<Event>> {
    let content_type = Some("application/json".to_owned());
    let decoded = decode(&Envelope { content_type, ..Envelope::default() }, body, &limits);
    match decoded {
        Ok(Decoded::Event(event)) => Ok(vec![event]),
        Ok(Decoded::Split(pieces)) => {
            let parts = pieces.iter().map(|piece| events(&piece.body, limits)).collect::<Result<Vec<_>>>()?;
            Ok(parts.into_iter().flatten().collect())
        }
        Err(rejection) => bail!("the event would become a dead letter: {}", rejection.text()),
    }
}

/// Returns an organization that is saved in the store.
async fn saved(config: &Config, id: &OrganizationId) -> Result<Option<Organization>> {
    if config.store.kind == StoreKind::Sled && Remote::find(config).await?.is_some() {
        if org::saved_ids(config).await?.contains(id) {
            bail!(
                "organization {:?} is saved in the store, which the running worker owns, and its settings can't be read; stop \
                 the worker first",
                id.as_str()
            );
        }
        return Ok(None);
    }
    let known = Offline::read(config).await?.0.into_iter().find(|(known, _)| known == id);
    Ok(known.map(|(_, organization)| organization).transpose()?)
}

/// Describes what a worker does with an event of an organization that is not configured.
fn unknown(id: &OrganizationId, nameless: &BTreeSet<PathBuf>) -> anyhow::Error {
    let id = id.as_str();
    match nameless.first() {
        None => anyhow!(
            "the event would become a dead letter (unknown_organization): organization {id:?} is not configured; add its \
             file or save it"
        ),
        Some(file) => anyhow!(
            "the event would wait in the retry queues: organization {id:?} is not configured, unless in {}, which can't be \
             read; correct that file (`handoffd config check` lists its faults)",
            file.display()
        ),
    }
}

fn explanation(event: &Event, organization: &Organization) -> Value {
    let requests: Vec<Value> =
        explain(event, &organization.settings).into_iter().map(|one| request(one, &organization.settings)).collect();
    json!({
        "event_id": event.key.event_id,
        "organization_id": event.key.organization_id,
        "session_id": event.session_id(),
        "kind": event.kind().as_str(),
        "route": event.route().map(Route::as_str),
        "requests": requests,
    })
}

fn request(explained: Explained, settings: &Settings) -> Value {
    let Explained { request, when } = explained;
    let url = as_sent(format!("{}/api/data/v9.2/{}", settings.environment_url, request.path));
    let mut headers = Map::new();
    for (name, value) in [
        ("Authorization", "Bearer ***"),
        ("Accept", "application/json"),
        ("OData-Version", "4.0"),
        ("OData-MaxVersion", "4.0"),
        ("User-Agent", concat!("handoffd/", env!("CARGO_PKG_VERSION"))),
        ("x-ms-client-request-id", "<a new GUID for each request>"),
    ] {
        headers.insert(name.to_owned(), json!(value));
    }
    if request.body.is_some() {
        headers.insert("Content-Type".to_owned(), json!("application/json"));
    }
    headers.extend(request.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
    let body = request.body.as_ref().map(JsonBody::value);
    let value =
        json!({ "method": request.method.as_str(), "url": url, "headers": headers, "body": body, "when": when });
    name_the_unknown(value)
}

/// Encodes a URL as the HTTP client sends it, with percent-encoded quotes around a literal.
fn as_sent(url: String) -> String {
    url::Url::parse(&url).map_or(url, String::from)
}

/// Replaces a resolution's incident id by a placeholder, because this command does not read the store.
fn name_the_unknown(value: Value) -> Value {
    let unknown = PLACEHOLDER_INCIDENT.to_string();
    match value {
        Value::String(text) => Value::String(text.replace(&unknown, "<incident id>")),
        Value::Array(items) => items.into_iter().map(name_the_unknown).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, name_the_unknown(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_organization_waits_for_a_file_that_cant_be_read() {
        let (id, mut nameless) = ("org_x".into(), BTreeSet::new());
        let text = unknown(&id, &nameless).to_string();
        assert!(text.contains("would become a dead letter (unknown_organization): organization \"org_x\""), "{text}");
        nameless.insert(PathBuf::from("orgs/broken.toml"));
        let text = unknown(&id, &nameless).to_string();
        assert!(text.contains("would wait in the retry queues") && text.contains("orgs/broken.toml"), "{text}");
    }
}
