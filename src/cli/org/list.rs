//! `org list`: lists the organizations of the files and those saved in the store.

use anyhow::Result;
use handoffd_engine::event::OrganizationId;
use serde_json::{Value, json};

use crate::app::Offline;
use crate::cli::remote::Remote;
use crate::cli::table;
use crate::config::{Config, EnvironmentVariables, FaultPlace};
use crate::organizations::{self, Organization};

/// Array of organizations, sorted by id: `organization_id`, `source`, `file`, `environment_url`, `readable`, `problem`,
/// `state`, `waiting`, `oldest_seconds` and `worker` (null if they are unknown, because no worker runs or it has not read
/// the organization; `worker` also without other workers). The id and the URL of a broken file are those that it last described.
pub(super) async fn list(config: &Config, env: &EnvironmentVariables) -> Result<Value> {
    let loaded = organizations::read(&config.organizations.directory, config, env);
    let mut listed: Vec<Value> = loaded.organizations.iter().map(of_file).collect();
    let files: Vec<Value> = listed.iter().map(|one| one["organization_id"].clone()).collect();
    let views = views(config).await?;
    for one in saved(config, views.as_deref()).await? {
        let hidden = files.contains(&one["organization_id"]);
        listed.push(if hidden { shadowed(one) } else { one });
    }
    let is_there = |file: &str| loaded.broken.iter().any(|broken| broken.display().to_string() == file);
    let gone = views.iter().flatten().filter(|view| !files.contains(&view["organization_id"]));
    listed.extend(gone.filter_map(of_gone_file).filter(|one| !one["file"].as_str().is_some_and(is_there)));
    listed.sort_by_key(|one| one["organization_id"].as_str().unwrap_or_default().to_owned());
    for file in &loaded.broken {
        let of_it = |place: &FaultPlace| matches!(place, FaultPlace::File { path, .. } if path == file);
        let faults = loaded.faults.0.iter().filter(|fault| of_it(&fault.place)).map(ToString::to_string);
        let problem = faults.collect::<Vec<_>>().join("; ");
        listed.push(entry(None, Some(&file.display().to_string()), None, Some(&problem)));
    }
    for one in &mut listed {
        add_view(one, views.as_deref().unwrap_or_default());
    }
    Ok(Value::Array(listed))
}

/// Formats the list as text.
pub(super) fn text(listed: &Value) -> String {
    const COLUMNS: [&str; 7] = ["organization_id", "state", "waiting", "oldest", "source", "environment_url", "fault"];
    let rows: Vec<[String; 7]> = listed.as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        return "no organizations configured\n".to_owned();
    }
    let rows: Vec<[String; 7]> = std::iter::once(COLUMNS.map(str::to_owned)).chain(rows).collect();
    table::table(&rows)
}

fn row(one: &Value) -> [String; 7] {
    let text = |name: &str| one[name].as_str().unwrap_or("-").to_owned();
    let source = one["file"].as_str().map_or_else(|| text("source"), str::to_owned);
    let state = one["state"].as_str().unwrap_or("unknown").to_owned();
    let waiting = one["waiting"].as_u64().map_or_else(|| "unknown".to_owned(), |waiting| waiting.to_string());
    let oldest = match one["oldest_seconds"].as_f64() {
        None => "unknown".to_owned(),
        Some(0.0) => "-".to_owned(),
        Some(age) => format!("{age:.0} s"),
    };
    [text("organization_id"), state, waiting, oldest, source, text("environment_url"), text("problem")]
}

/// Ids of the organizations saved in the store.
pub(in crate::cli) async fn saved_ids(config: &Config) -> Result<Vec<OrganizationId>> {
    let saved = saved(config, views(config).await?.as_deref()).await?;
    Ok(saved.iter().filter_map(|one| one["organization_id"].as_str()).map(OrganizationId::from).collect())
}

/// Organizations saved in the store, read through the running worker, which owns the store, or from the store itself.
async fn saved(config: &Config, views: Option<&[Value]>) -> Result<Vec<Value>> {
    if let Some(all) = views {
        return Ok(all.iter().filter(|view| view["source"] == "store").map(of_worker).collect());
    }
    let read = Offline::read(config).await?.0.into_iter();
    let rows = read.map(|(id, organization)| match organization {
        Ok(Organization { settings, withheld, .. }) => {
            let problem = withheld.map(|withheld| format!("{} {}", withheld.why, withheld.advice));
            entry(Some(id.as_str()), None, Some(&settings.environment_url), problem.as_deref())
        }
        Err(faults) => entry(Some(id.as_str()), None, None, Some(&faults.to_string())),
    });
    Ok(rows.collect())
}

/// Organizations as the running worker shows them; `None` without a worker.
async fn views(config: &Config) -> Result<Option<Vec<Value>>> {
    let Some(remote) = Remote::find(config).await? else { return Ok(None) };
    let answer = remote.get("/api/v1/organizations").await?.unwrap_or_default();
    Ok(Some(answer["organizations"].as_array().cloned().unwrap_or_default()))
}

/// Adds what the worker shows of a listed organization, or of the one that a broken file last described.
fn add_view(one: &mut Value, views: &[Value]) {
    let is_it = |view: &&Value| match one["organization_id"].as_str() {
        Some(id) => view["organization_id"] == id,
        None => view["source"]["file"] == one["file"],
    };
    let view = views.iter().find(is_it).cloned().unwrap_or_default();
    for name in ["organization_id", "environment_url"] {
        if one[name].is_null() {
            one[name] = view[name].clone();
        }
    }
    for name in ["state", "waiting", "oldest_seconds", "worker"] {
        one[name] = view[name].clone();
    }
}

/// Entry of an organization listed by the worker. It is readable; if only its secret is not, the organization is blocked.
fn of_worker(view: &Value) -> Value {
    entry(view["organization_id"].as_str(), None, view["environment_url"].as_str(), None)
}

/// Entry of an organization whose file is gone while the worker has it still: it keeps all of them for a while if they
/// vanish at once.
fn of_gone_file(view: &Value) -> Option<Value> {
    let file = view["source"]["file"].as_str()?;
    let problem = "the file is gone; the worker removes the organization soon, at once on SIGHUP";
    Some(entry(view["organization_id"].as_str(), Some(file), view["environment_url"].as_str(), Some(problem)))
}

fn of_file(organization: &Organization) -> Value {
    let settings = &organization.settings;
    let file = organization.source.to_string();
    entry(Some(settings.organization_id.as_str()), Some(&file), Some(&settings.environment_url), None)
}

fn shadowed(mut one: Value) -> Value {
    one["problem"] = "an organization file with the same id takes precedence".into();
    one
}

fn entry(id: Option<&str>, file: Option<&str>, environment_url: Option<&str>, problem: Option<&str>) -> Value {
    let source = if file.is_some() { "file" } else { "store" };
    json!({
        "organization_id": id, "source": source, "file": file, "environment_url": environment_url,
        "readable": problem.is_none(), "problem": problem,
    })
}
