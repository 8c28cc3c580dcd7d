//! `store accept` calls the running worker, or opens the store if none is running; `store migrate` prepares PostgreSQL;
//! `store export` and `store import` move the content of a store.

use std::fmt::Write;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::arguments::StoreCommand;
use super::audit::report;
use super::remote::Remote;
use super::store_export::export;
use super::store_import::import;
use crate::admin::audit::AuditAction;
use crate::app;
use crate::config::Config;

/// Runs a subcommand of `store` and returns the text to print.
pub(super) async fn store(config: &Config, command: StoreCommand) -> Result<String> {
    match command {
        StoreCommand::Accept => accept(config).await,
        StoreCommand::Migrate => {
            let version = app::migrate_store(config).await?;
            Ok(format!("the tables have version {version}\n"))
        }
        StoreCommand::Export { file, force } => export(config, file, force).await.map(|()| String::new()),
        StoreCommand::Import { file } => import(config, &file).await.map(|()| String::new()),
    }
}

async fn accept(config: &Config) -> Result<String> {
    let accepted = if let Some(remote) = Remote::find(config).await? {
        let accepted = remote.post("/api/v1/store/accept").await?;
        accepted.context("the running worker's version does not support `store accept`; upgrade it")?
    } else {
        let accepted = app::accept_store(config).await?;
        let set_aside = accepted.set_aside.as_deref().unwrap_or_default();
        report(config, AuditAction::AcceptStore, set_aside, u64::from(accepted.accepted)).await;
        json!(accepted)
    };
    Ok(text(config, &accepted))
}

fn text(config: &Config, accepted: &Value) -> String {
    let Some(set_aside) = accepted["set_aside"].as_str() else {
        return "nothing to accept: no store was set aside, or the new one was already accepted\n".to_owned();
    };
    let mut text =
        format!("accepted the new store at {}; the worker can consume events\n", config.store.path.display());
    _ = writeln!(text, "  - the damaged store is kept at {set_aside}");
    _ = writeln!(text, "  - organizations that were paused are resumed, unless you have paused them again");
    _ = writeln!(
        text,
        "  - organizations that were saved over HTTP are gone, unless you have saved them again; their events become dead letters \
         (`unknown_organization`): save the organizations, then replay them"
    );
    text
}
