//! Commands that need no running worker: testing an organization from its file, reading organizations from the store,
//! and accepting a new store.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::metrics::NoMetrics;
use handoffd_engine::ports::store::{SavedOrganization, Store};

use super::acceptance::accepted;
use super::options;
use crate::admin::deps::StoreAccepted;
use crate::config::{Config, ConfigFaults, EnvironmentVariables};
use crate::dynamics::Dynamics;
use crate::organizations::{Organization, TestReport, Vault, read_saved};

/// Tests an organization. Sends requests only to Entra ID and Dynamics.
///
/// # Errors
/// If the HTTP client can't be built.
pub async fn inspect(config: &Config, env: &EnvironmentVariables, organization: &Organization) -> Result<TestReport> {
    let dynamics = Dynamics::new(options::dynamics(config, env), Arc::new(NoMetrics))?;
    Ok(TestReport::new(organization, dynamics.inspect(organization.access()).await))
}

/// Accepts a store that replaced a damaged one and that no worker owns.
///
/// # Errors
/// If the store can't be opened, for example because a worker without an HTTP interface owns it.
pub async fn accept_store(config: &Config) -> Result<StoreAccepted> {
    if crate::sled::unaccepted(&config.store.path)?.is_none() {
        return Ok(accepted(None));
    }
    let store = open(config).await?;
    let unaccepted = store.accept().await;
    _ = store.close().await;
    Ok(accepted(unaccepted?))
}

/// Opens the store without setting a damaged one aside; only the worker does that, and reports it.
async fn open(config: &Config) -> Result<crate::sled::SledStore> {
    let mut options = options::store(config);
    options.on_corruption = crate::sled::CorruptionPolicy::Stop;
    let opened = tokio::task::spawn_blocking(move || crate::sled::open(&options, Arc::new(NoMetrics))).await??;
    Ok(opened.store)
}

/// Organizations saved in a store that no worker owns.
pub struct Offline(pub Vec<(OrganizationId, Result<Organization, ConfigFaults>)>);

impl Offline {
    /// Reads the store, if there is one.
    ///
    /// # Errors
    /// If the store can't be opened, for example because a worker without an HTTP interface owns it.
    pub async fn read(config: &Config) -> Result<Self> {
        let path: &PathBuf = &config.store.path;
        if !path.exists() {
            return Ok(Self(Vec::new()));
        }
        let store = open(config).await?;
        let saved = store.organizations().await;
        _ = store.close().await;
        let vault = Vault::of(&config.organizations);
        let read = |row: SavedOrganization| (row.id.clone(), read_saved(&row, &vault, config));
        Ok(Self(saved?.into_iter().map(read).collect()))
    }
}
