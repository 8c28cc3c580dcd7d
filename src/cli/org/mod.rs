//! In: an organization's id or file, or nothing for the list.
//! Out: a test report, a file put in place, a list.
//! Absent: the checks themselves; saving in the store, which belongs to the running worker.

mod list;
mod pause;
mod report;
mod save;
mod tested;

use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::arguments::OrgCommand;
use super::remote::Remote;
use super::shell::{CommandError, block_on, pretty, print};
use crate::app::{self, Offline};
use crate::config::{Config, EnvironmentVariables, document};
use crate::organizations::{self, Loaded, Organization};

pub(super) use list::saved_ids;
use tested::{passed, print_report, tested};

/// Runs a subcommand of `org`.
pub(super) fn org(path: &Path, env: &EnvironmentVariables, command: &OrgCommand) -> Result<(), CommandError> {
    let config = crate::config::load(path, env.pairs())?;
    match command {
        OrgCommand::Test { id, json } => {
            let report = found(&config, env, id)?;
            print_report(&report, *json)?;
            passed(&report)
        }
        OrgCommand::Save { file, json } => save::save(&config, env, file, *json),
        OrgCommand::Pause { id, json } => pause::change(&config, id, "pause", *json),
        OrgCommand::Resume { id, json } => pause::change(&config, id, "resume", *json),
        OrgCommand::List { json } => {
            let listed = block_on(list::list(&config, env))?;
            print(&if *json { pretty(&listed)? } else { list::text(&listed) });
            Ok(())
        }
    }
}

/// Tests an organization as its file currently describes it, else as it is saved in the store.
fn found(config: &Config, env: &EnvironmentVariables, id: &str) -> Result<Value, CommandError> {
    let loaded = organizations::read(&config.organizations.directory, config, env);
    if let Some(organization) = of_file(&loaded, id) {
        return tested(config, env, organization);
    }
    // A running worker may have its last good version, but the operator asked about the file.
    if loaded.broken.iter().any(|file| document::text(file).is_some_and(|text| text.contains(id))) {
        return Err(CommandError::Configuration(loaded.faults));
    }
    if let Some(report) = block_on(of_worker(config, env, id))? {
        return Ok(report);
    }
    if !loaded.faults.is_empty() {
        // One of the unreadable files may describe it.
        return Err(CommandError::Configuration(loaded.faults));
    }
    let directory = config.organizations.directory.display();
    Err(CommandError::Usage(format!(
        "organization {id:?} is not configured: neither a file in {directory} nor the store has this organization_id; list \
         the configured ones with `handoffd org list`"
    )))
}

fn of_file<'a>(loaded: &'a Loaded, id: &str) -> Option<&'a Organization> {
    loaded.organizations.iter().find(|organization| organization.settings.organization_id.as_str() == id)
}

/// Tests a saved organization through the running worker, which owns the store, or from the store if none is running.
async fn of_worker(config: &Config, env: &EnvironmentVariables, id: &str) -> anyhow::Result<Option<Value>> {
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
