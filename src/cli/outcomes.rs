//! `outcomes list` and `outcomes show`: query the running worker that owns the embedded store, or open the store.

use std::sync::Arc;

use anyhow::{Result, bail};
use handoffd_engine::event::EventKey;
use handoffd_engine::ports::store::scan::is_id;
use handoffd_engine::ports::store::{EventScan, Store};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::arguments::{OutcomesCommand, OutcomesList, StatusName};
use super::remote::Remote;
use super::shell::{CommandError, pretty, print_status};
use super::table::{cell, line, table};
use crate::admin::api::outcomes::{self as answers, EventReport};
use crate::app;
use crate::config::{Config, StoreKind};

/// Number of outcomes per request.
const PAGE: usize = 500;

/// Most slashes of a key that may separate an organization from an event; each costs a request.
const MOST_SPLITS: usize = 100;

/// Runs a subcommand of `outcomes` and returns the text to print.
pub(super) async fn outcomes(config: &Config, command: &OutcomesCommand) -> Result<String, CommandError> {
    let source = OutcomeSource::find(config).await?;
    let text = match command {
        OutcomesCommand::List(options) => list(&source, options).await.map_err(CommandError::from),
        OutcomesCommand::Show { key, json } => show(&source, key, *json).await,
    };
    source.close().await;
    text
}

/// Source of outcomes: the running worker if it owns the embedded store, otherwise the store itself.
enum OutcomeSource {
    Worker(Remote),
    Store(Arc<dyn Store>),
}

impl OutcomeSource {
    async fn find(config: &Config) -> Result<Self> {
        if config.store.kind == StoreKind::Sled
            && let Some(remote) = Remote::find(config).await?
        {
            return Ok(Self::Worker(remote));
        }
        match app::store_beside_workers(config).await? {
            Some(store) => Ok(Self::Store(store)),
            None => bail!("no store exists at {} (store.path) and no worker is running", config.store.path.display()),
        }
    }

    async fn list(&self, query: &str) -> Result<Value> {
        match self {
            Self::Worker(remote) => Ok(remote.get(&format!("/api/v1/outcomes?{query}")).await?.unwrap_or_default()),
            Self::Store(store) => Ok(answers::find(&**store, query).await?),
        }
    }

    async fn one(&self, organization: &str, event_id: &str) -> Result<Option<Value>> {
        let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        match self {
            Self::Worker(remote) => {
                remote.get(&format!("/api/v1/outcomes/{}/{}", encoded(organization), encoded(event_id))).await
            }
            Self::Store(store) => {
                let key = EventKey { organization_id: organization.into(), event_id: event_id.into() };
                Ok(answers::known(&**store, &key).await?.map(|report| match report {
                    EventReport::Ended(outcome) => outcome,
                    EventReport::Unfinished(event) => json!(event),
                }))
            }
        }
    }

    /// Returns the events without an outcome that have this id or session id.
    async fn unfinished(&self, id: &str) -> Result<Vec<(String, String)>> {
        match self {
            Self::Worker(remote) => {
                let path = format!("/api/v1/why/{}", utf8_percent_encode(id, NON_ALPHANUMERIC));
                let answer = remote.get(&path).await?.unwrap_or_default();
                let found = answer["found"].as_array().into_iter().flatten();
                let found = found.filter(|one| one["event_id"] == id || one["session_id"] == id);
                Ok(found.map(|one| (cell(&one["organization_id"]), cell(&one["event_id"]))).collect())
            }
            Self::Store(store) => {
                let scan =
                    EventScan { id: Some(id.to_owned()), unfinished_only: true, limit: PAGE, ..EventScan::default() };
                let found = store.scan(&scan).await?.found.into_iter();
                let found = found.filter(|found| is_id(&found.key, &found.record, id)).map(|found| found.key);
                Ok(found.map(|key| (key.organization_id.to_string(), key.event_id.to_string())).collect())
            }
        }
    }

    async fn close(self) {
        if let Self::Store(store) = self {
            _ = store.close().await;
        }
    }
}

async fn list(source: &OutcomeSource, options: &OutcomesList) -> Result<String> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    while found.len() < options.limit {
        let page = source.list(&query(options, (options.limit - found.len()).min(PAGE), &cursor)).await?;
        found.extend(page["outcomes"].as_array().cloned().unwrap_or_default());
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    if options.json {
        return pretty(&found);
    }
    Ok(list_text(&found))
}

fn query(options: &OutcomesList, limit: usize, cursor: &str) -> String {
    let status = options.status.map(|status| match status {
        StatusName::Succeeded => "succeeded".to_owned(),
        StatusName::Skipped => "skipped".to_owned(),
        StatusName::Failed => "failed".to_owned(),
    });
    let time = |time: Option<jiff::Timestamp>| time.map(|time| time.to_string());
    let given = [
        ("organization", &options.organization),
        ("session", &options.session),
        ("event_id", &options.event),
        ("incident_id", &options.incident),
        ("ticket_number", &options.ticket),
        ("chat_id", &options.chat),
        ("status", &status),
        ("after", &time(options.after)),
        ("before", &time(options.before)),
    ];
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in given {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    query.append_pair("limit", &limit.to_string());
    if !cursor.is_empty() {
        query.append_pair("cursor", cursor);
    }
    query.finish()
}

/// Shows the outcomes that a key identifies, which can be any id of an event, and what is known of events without one.
async fn show(source: &OutcomeSource, key: &str, json: bool) -> Result<String, CommandError> {
    let mut found = known(source, key).await?;
    if found.is_empty() && key != key.trim() {
        found = known(source, key.trim()).await?;
    }
    if found.is_empty() {
        print_status(format_args!(
            "no outcome found for {key:?}; enter the complete event id, organization/event id, session id, incident id, \
               ticket number or chat id; `handoffd why` finds events that no worker has begun too"
        ));
        return Err(CommandError::NothingFound);
    }
    if !json {
        return Ok(found.iter().map(story).collect::<Vec<_>>().join("\n"));
    }
    let value = if found.len() == 1 { found.remove(0) } else { Value::Array(found) };
    Ok(pretty(&value)?)
}

async fn known(source: &OutcomeSource, key: &str) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    for (organization, event_id) in names(source, key).await? {
        found.extend(source.one(&organization, &event_id).await?);
    }
    Ok(found)
}

async fn names(source: &OutcomeSource, key: &str) -> Result<Vec<(String, String)>> {
    let guid = key.parse::<uuid::Uuid>().is_ok();
    for name in ["event_id", "incident_id", "chat_id", "ticket_number", "session"] {
        if name.ends_with("t_id") && name != "event_id" && !guid {
            continue;
        }
        let query = form_urlencoded::Serializer::new(String::new()).append_pair(name, key).finish();
        let page = source.list(&query).await?;
        let found: Vec<_> = page["outcomes"].as_array().into_iter().flatten().map(key_of).collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    if !key.contains('/') {
        return source.unfinished(key).await;
    }
    let splits = EventKey::splits(key).take(MOST_SPLITS);
    Ok(splits.map(|key| (key.organization_id.to_string(), key.event_id.to_string())).collect())
}

fn key_of(outcome: &Value) -> (String, String) {
    (cell(&outcome["organization_id"]), cell(&outcome["source_event_id"]))
}

fn list_text(found: &[Value]) -> String {
    const COLUMNS: [&str; 7] =
        ["finished_at", "status", "organization_id", "source_event_id", "session_id", "record", "reason"];
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    rows.extend(found.iter().map(|outcome| {
        COLUMNS.map(|column| if column == "record" { record(outcome) } else { cell(&outcome[column]) })
    }));
    table(&rows)
}

/// Identifier of the record to look up in Dynamics: the ticket number, else the incident or chat id.
fn record(outcome: &Value) -> String {
    let meta = &outcome["session_meta"];
    let names = ["dynamics365_ticket_number", "dynamics365_incident_id", "dynamics365_chat_id"];
    names.into_iter().map(|name| cell(&meta[name])).find(|text| text != "-").unwrap_or_else(|| "-".to_owned())
}

fn story(outcome: &Value) -> String {
    let fields = outcome.as_object().into_iter().flatten().filter(|(name, _)| *name != "history");
    let fields: String = fields.map(|(name, value)| field(name, value)).collect();
    let history: Vec<_> = outcome["history"].as_array().into_iter().flatten().map(attempt).collect();
    format!("{fields}history\n{}", table(&history))
}

/// Describes a field; one with fields of its own takes a line for each.
fn field(name: &str, value: &Value) -> String {
    match value.as_object().filter(|fields| !fields.is_empty()) {
        None => line(&[name, &cell(value)], &[15]),
        Some(fields) => {
            let inner = fields.iter().map(|(inner, value)| line(&[format!("  {inner}"), cell(value)], &[35]));
            line(&[name], &[]) + &inner.collect::<String>()
        }
    }
}

/// Describes an entry of a history: a request with its answer, or a milestone with its reason and operator.
fn attempt(entry: &Value) -> [String; 6] {
    let given = |name: &str| Some(cell(&entry[name])).filter(|text| text != "-");
    let answer = ["status", "code", "reason", "error", "by"].into_iter().filter_map(given);
    let until = given("next_attempt").map(|next| format!("until {next}"));
    let count = given("count").map(|count| format!("{count} entries"));
    let answer: Vec<String> = answer.chain(until).chain(count).collect();
    [
        format!("  {}", cell(&entry["at"])),
        given("attempt").map_or_else(|| "-".to_owned(), |attempt| format!("attempt {attempt}")),
        cell(&entry["step"]),
        given("elapsed_ms").map_or_else(|| "-".to_owned(), |elapsed| format!("{elapsed:>6} ms")),
        answer.join(" "),
        cell(&entry["request_id"]),
    ]
}
