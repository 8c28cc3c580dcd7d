//! Without a running worker: organizations tested as they stand in a file, or read out of the store; a new store accepted.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::metrics::Blind;
use handoffd_engine::ports::store::{self, Store};
use serde_json::Value;

use super::acceptance::accepted;
use super::{options, reload, views};
use crate::admin::deps::{StoreAccepted, TestReport};
use crate::config::organizations::{Organization, Vault, read_saved};
use crate::config::{Config, Environment, Faults};
use crate::dynamics::Dynamics;

/// Tests an organization; nothing but Entra ID and Dynamics is asked.
///
/// # Errors
/// When the HTTP client can't be made.
pub async fn inspect(config: &Config, env: &Environment, organization: &Organization) -> Result<TestReport> {
    let dynamics = Dynamics::new(options::dynamics(config, env), Arc::new(Blind))?;
    let findings = dynamics.inspect(reload::access(organization)).await;
    Ok(views::report(organization, findings))
}

/// Accepts a store that took the place of a damaged one and that no worker owns.
///
/// # Errors
/// When it can't be opened: a worker without an HTTP interface has it, say.
pub async fn accept_store(config: &Config) -> Result<StoreAccepted> {
    if crate::sled::unaccepted(&config.store.path)?.is_none() {
        return Ok(accepted(None));
    }
    let store = open(config).await?;
    let unaccepted = store.accept().await;
    _ = store.close().await;
    Ok(accepted(unaccepted?))
}

/// A command never sets a damaged store aside: that is for the worker to report and do.
async fn open(config: &Config) -> Result<crate::sled::SledStore> {
    let mut options = options::store(config);
    options.on_corruption = crate::sled::OnCorruption::Stop;
    let opened = tokio::task::spawn_blocking(move || crate::sled::open(&options, Arc::new(Blind))).await??;
    Ok(opened.store)
}

/// What a store that no worker owns has of organizations.
pub struct Offline(pub Vec<(OrganizationId, Result<Organization, Faults>)>);

impl Offline {
    /// Reads the store, where there is one.
    ///
    /// # Errors
    /// When it can't be opened: a worker without an HTTP interface has it, say.
    pub async fn read(config: &Config) -> Result<Self> {
        let path: &PathBuf = &config.store.path;
        if !path.exists() {
            return Ok(Self(Vec::new()));
        }
        let store = open(config).await?;
        let saved = store.organizations().await;
        _ = store.close().await;
        let keys = &config.organizations;
        let vault = Vault::new(keys.encryption_key.as_ref(), keys.previous_encryption_key.as_ref());
        let read = |row: store::SavedOrganization| {
            let kept = serde_json::from_str(&row.document).unwrap_or(Value::Null);
            let organization = read_saved(&row.id, &kept, &vault, config);
            (row.id, organization)
        };
        Ok(Self(saved?.into_iter().map(read).collect()))
    }
}
