//! `/_simulator/…`: inspection and modification of an environment. Requires no token and is not journaled.
//!
//! Each listener serves only its own environment.
//!
//! | request | does |
//! | --- | --- |
//! | `GET /_simulator/` | name, URL, settings |
//! | `GET /_simulator/records`, `?table=incidents` | complete rows in order of creation, of all tables or of one |
//! | `POST /_simulator/records?table=contacts` | creates a row, or changes columns of the row with that key; no rules apply |
//! | `DELETE /_simulator/records?table=contacts` | deletes all rows of a table, or with `&key=` that row |
//! | `GET /_simulator/requests` | the journal; `?operation=`, `?status=`, `?since=<number>`, `?last=<n>` filter, `?body=1` includes bodies, `?count=1` returns only counts |
//! | `DELETE /_simulator/requests` | empties the journal |
//! | `GET`, `POST`, `DELETE /_simulator/faults` | lists the scripts with the number of times each fired; adds one ([`super::Script`]); removes all |
//! | `GET`, `POST`, `DELETE /_simulator/people` | lists the reps' scripts and their actions; adds one ([`super::RepScript`]); removes all |
//! | `GET`, `POST /_simulator/settings` | returns the switches ([`super::EnvironmentSettings`]); changes those in the body |
//! | `DELETE /_simulator/tokens` | revokes every token issued so far |
//! | `POST /_simulator/reset` | restores the initial state |

use axum::http::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::SimulatedAnswer;
use super::call::IncomingRequest;
use super::environment::Environment;
use super::faults::Script;
use super::journal::{Bodies, JournalEntry};
use super::rep::RepScript;

/// Returns the rest of a path under `/_simulator`.
pub(super) fn path(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/_simulator")?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_matches('/'))
}

/// Answers a request under `/_simulator`.
pub(super) fn answer(environment: &Environment, call: &IncomingRequest, rest: &str) -> SimulatedAnswer {
    match route(environment, call, rest) {
        Ok(Some(body)) => SimulatedAnswer::json(200, &body),
        Ok(None) => SimulatedAnswer::empty(),
        Err(problem) => SimulatedAnswer::json(400, &json!({"error": problem})),
    }
}

fn route(environment: &Environment, call: &IncomingRequest, rest: &str) -> Result<Option<Value>, String> {
    match (&call.method, rest) {
        (&Method::GET, "") => Ok(Some(about(environment))),
        (&Method::GET, "records") => Ok(Some(records(environment, call))),
        (&Method::POST, "records") => put(environment, call).map(|()| None),
        (&Method::DELETE, "records") => remove(environment, call).map(|()| None),
        (&Method::GET, "requests") => requests(environment, call).map(Some),
        (&Method::DELETE, "requests") => {
            environment.journal().clear();
            Ok(None)
        }
        (&Method::GET, "faults") => Ok(Some(json!(environment.faults().all()))),
        (&Method::POST, "faults") => {
            let script: Script =
                serde_json::from_value(body(call)?).map_err(|error| format!("invalid fault script: {error}"))?;
            Ok(Some(json!({"id": environment.faults().add(script)})))
        }
        (&Method::DELETE, "faults") => {
            environment.clear_faults();
            Ok(None)
        }
        (&Method::GET, "people") => {
            let people = environment.people();
            Ok(Some(json!({"reps": people.reps(), "acted": people.acted()})))
        }
        (&Method::POST, "people") => {
            let script: RepScript =
                serde_json::from_value(body(call)?).map_err(|error| format!("invalid rep script: {error}"))?;
            Ok(Some(json!({"id": environment.add_rep(script)})))
        }
        (&Method::DELETE, "people") => {
            environment.people().clear();
            Ok(None)
        }
        (&Method::GET, "settings") => Ok(Some(json!(environment.settings()))),
        (&Method::POST, "settings") => {
            environment.configure(&body(call)?).map_err(|error| error.to_string())?;
            Ok(Some(json!(environment.settings())))
        }
        (&Method::DELETE, "tokens") => {
            environment.revoke_tokens();
            Ok(None)
        }
        (&Method::POST, "reset") => {
            environment.reset();
            Ok(None)
        }
        (method, rest) => Err(format!(
            "unknown request `{method} /_simulator/{rest}`; see docs/SIMULATOR.md for the supported requests"
        )),
    }
}

fn about(environment: &Environment) -> Value {
    json!({"name": environment.name(), "url": environment.url(), "settings": environment.settings()})
}

fn records(environment: &Environment, call: &IncomingRequest) -> Value {
    if let Some(set) = call.option("table") {
        return environment.records(set).into();
    }
    let live = environment.live();
    let tables = live.schema.tables().iter();
    let all: Map<String, Value> =
        tables.map(|table| (table.set.clone(), environment.records(&table.set).into())).collect();
    all.into()
}

/// Writes a row as a person in Dynamics would, without applying any rules.
fn put(environment: &Environment, call: &IncomingRequest) -> Result<(), String> {
    let live = environment.live();
    let set = call.option("table").ok_or("specify ?table=<entity set>")?;
    let table = live.schema.table(set).ok_or_else(|| format!("unknown table `{set}`"))?;
    let Value::Object(mut values) = body(call)? else {
        return Err("the body must be a JSON object".into());
    };
    if let Some(name) = values.keys().find(|name| table.column(name).is_none()) {
        return Err(format!("unknown column `{name}` of `{set}`"));
    }
    let key = match values.remove(&table.key) {
        Some(key) => serde_json::from_value(key).map_err(|error| format!("`{}`: {error}", table.key))?,
        None => Uuid::new_v4(),
    };
    environment.rows().put(table, key, values, live.now());
    Ok(())
}

fn remove(environment: &Environment, call: &IncomingRequest) -> Result<(), String> {
    let live = environment.live();
    let set = call.option("table").ok_or("specify ?table=<entity set>")?;
    let table = live.schema.table(set).ok_or_else(|| format!("unknown table `{set}`"))?;
    let mut rows = environment.rows();
    let keys: Vec<Uuid> = match call.option("key") {
        Some(key) => vec![key.parse().map_err(|_| format!("`{key}` is not a GUID"))?],
        None => rows.of(table).iter().map(|row| row.key).collect(),
    };
    for key in keys {
        rows.of(table).remove(table, key);
    }
    Ok(())
}

fn requests(environment: &Environment, call: &IncomingRequest) -> Result<Value, String> {
    let journal = environment.journal();
    if call.option("count").is_some() {
        return Ok(journal.counts());
    }
    let number = |name: &str| {
        let parsed = call.option(name).map(str::parse::<u64>).transpose();
        parsed.map_err(|_| format!("?{name}= must be a number"))
    };
    let (status, since, last) = (number("status")?, number("since")?, number("last")?);
    let bodies = if call.option("body").is_some() { Bodies::Shown } else { Bodies::Left };
    let chosen = |entry: &&JournalEntry| {
        let operation = call.option("operation").is_none_or(|wanted| wanted == entry.operation);
        let status = status.is_none_or(|wanted| wanted == entry.status.map_or(0, u64::from));
        operation && status && since.is_none_or(|since| entry.number > since)
    };
    let most = last.and_then(|last| usize::try_from(last).ok()).unwrap_or(usize::MAX);
    let mut shown: Vec<Value> =
        journal.entries().rev().filter(chosen).take(most).map(|entry| entry.shown(bodies)).collect();
    shown.reverse();
    Ok(shown.into())
}

fn body(call: &IncomingRequest) -> Result<Value, String> {
    serde_json::from_slice(&call.body).map_err(|error| format!("the body is not JSON: {error}"))
}
