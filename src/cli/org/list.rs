//! `org list`: lists the organizations of the files and those saved in the store.

use anyhow::Result;
use handoffd_engine::event::OrganizationId;
use serde_json::{Value, json};

use crate::app::Offline;
use crate::cli::remote::Remote;
use crate::cli::table;
use crate::config::{Config, EnvironmentVariables, FaultPlace};
use crate::organizations::{self, Organization};

/// Array of organizations, sorted by id: `organization_id`, `source`, `file`, `environment_url`, `readable`, `problem`.
pub(super) async fn list(config: &Config, env: &EnvironmentVariables) -> Result<Value> {
    let loaded = organizations::read(&config.organizations.directory, config, env);
    let mut listed: Vec<Value> = loaded.organizations.iter().map(of_file).collect();
    let files: Vec<Value> = listed.iter().map(|one| one["organization_id"].clone()).collect();
    for one in saved(config).await? {
        let hidden = files.contains(&one["organization_id"]);
        listed.push(if hidden { shadowed(one) } else { one });
    }
    listed.sort_by_key(|one| one["organization_id"].as_str().unwrap_or_default().to_owned());
    for file in &loaded.broken {
        let of_it = |place: &FaultPlace| matches!(place, FaultPlace::File { path, .. } if path == file);
        let faults = loaded.faults.0.iter().filter(|fault| of_it(&fault.place)).map(ToString::to_string);
        let problem = faults.collect::<Vec<_>>().join("; ");
        listed.push(entry(None, Some(&file.display().to_string()), None, Some(&problem)));
    }
    Ok(Value::Array(listed))
}

/// Formats the list as text.
pub(super) fn text(listed: &Value) -> String {
    const COLUMNS: [&str; 4] = ["organization_id", "source", "environment_url", "readable"];
    let rows: Vec<[String; 4]> = listed.as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        return "no organizations configured\n".to_owned();
    }
    let rows: Vec<[String; 4]> = std::iter::once(COLUMNS.map(str::to_owned)).chain(rows).collect();
    table::table(&rows)
}

fn row(one: &Value) -> [String; 4] {
    let text = |name: &str| one[name].as_str().unwrap_or("-").to_owned();
    let source = one["file"].as_str().map_or_else(|| text("source"), str::to_owned);
    let readable = match (one["readable"] == true, one["problem"].as_str()) {
        (true, None) => "yes".to_owned(),
        (true, Some(problem)) => format!("yes, but {problem}"),
        (false, problem) => format!("NO: {}", problem.unwrap_or_default()),
    };
    [text("organization_id"), source, text("environment_url"), readable]
}

/// Ids of the organizations saved in the store.
pub(in crate::cli) async fn saved_ids(config: &Config) -> Result<Vec<OrganizationId>> {
    let saved = saved(config).await?;
    Ok(saved.iter().filter_map(|one| one["organization_id"].as_str()).map(OrganizationId::from).collect())
}

/// Organizations saved in the store, read through the running worker, which owns the store, or from the store itself.
async fn saved(config: &Config) -> Result<Vec<Value>> {
    if let Some(remote) = Remote::find(config).await? {
        let answer = remote.get("/api/v1/organizations").await?.unwrap_or_default();
        let all = answer["organizations"].as_array().cloned().unwrap_or_default();
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

/// Entry of an organization listed by the worker. It is readable; if only its secret is not, the organization is blocked.
fn of_worker(view: &Value) -> Value {
    entry(view["organization_id"].as_str(), None, view["environment_url"].as_str(), None)
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
