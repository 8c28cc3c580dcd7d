//! In: an organization's id or file, or nothing.
//! Out: what a test of it found, a file put in place, a list.
//! Absent: what is tested and how; saving in the store, which is the running worker's.

mod list;
mod report;
mod save;

use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::arguments::OrgCommand;
use super::remote::Remote;
use super::{Refusal, block_on, print};
use crate::app::{self, Offline};
use crate::config::organizations::{self, Loaded, Organization};
use crate::config::{Config, Environment};

pub(super) use list::saved_ids;

/// Does what the subcommand says.
pub(super) fn org(path: &Path, env: &Environment, command: &OrgCommand) -> Result<(), Refusal> {
    let config = crate::config::load(path, env.pairs())?;
    match command {
        OrgCommand::Test { id, json } => {
            let report = found(&config, env, id)?;
            tell(&report, *json)?;
            passed(&report)
        }
        OrgCommand::Save { file, json } => save::save(&config, env, file, *json),
        OrgCommand::List { json } => {
            let listed = block_on(list::list(&config, env))?;
            print(&if *json { pretty(&listed)? } else { list::table(&listed) });
            Ok(())
        }
    }
}

/// What a test of this organization finds: of its file as it is now, else of what the worker or its store knows.
fn found(config: &Config, env: &Environment, id: &str) -> Result<Value, Refusal> {
    let loaded = organizations::read(&config.organizations.directory, config, env);
    if let Some(organization) = of_file(&loaded, id) {
        return tested(config, env, organization);
    }
    // A running worker may have the last good version of it: that is not what was asked about.
    if loaded.broken.iter().any(|file| organizations::text(file).is_some_and(|text| text.contains(id))) {
        return Err(Refusal::Configuration(loaded.faults));
    }
    if let Some(report) = block_on(of_worker(config, env, id))? {
        return Ok(report);
    }
    if !loaded.faults.is_empty() {
        // It may be one of those that can't be read.
        return Err(Refusal::Configuration(loaded.faults));
    }
    let directory = config.organizations.directory.display();
    Err(Refusal::Usage(format!(
        "organization {id:?} is not configured: no file in {directory} has it as its organization_id, and none was saved so"
    )))
}

fn of_file<'a>(loaded: &'a Loaded, id: &str) -> Option<&'a Organization> {
    loaded.organizations.iter().find(|organization| organization.settings.organization_id.as_str() == id)
}

/// A saved one: tested by the worker, which owns the store, or as it stands in a store that nobody owns.
async fn of_worker(config: &Config, env: &Environment, id: &str) -> anyhow::Result<Option<Value>> {
    if let Some(remote) = Remote::find(config).await? {
        let id = utf8_percent_encode(id, NON_ALPHANUMERIC);
        return remote.post(&format!("/api/v1/organizations/{id}/test")).await;
    }
    for (known, organization) in Offline::read(config).await?.0 {
        if known.as_str() == id {
            return Ok(Some(json!(app::inspect(config, env, &organization?).await?)));
        }
    }
    Ok(None)
}

fn tested(config: &Config, env: &Environment, organization: &Organization) -> Result<Value, Refusal> {
    Ok(json!(block_on(app::inspect(config, env, organization))?))
}

fn tell(report: &Value, json: bool) -> Result<(), Refusal> {
    print(&if json { pretty(report)? } else { report::text(report) });
    Ok(())
}

/// The exit status of a test.
fn passed(report: &Value) -> Result<(), Refusal> {
    if report["passed"] == true { Ok(()) } else { Err(Refusal::Told) }
}

fn pretty(value: &Value) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
