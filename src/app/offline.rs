//! Commands that need no running worker: testing an organization from its file, reading organizations from the store,
//! and accepting a new store.

use std::sync::Arc;

use anyhow::{Result, bail};
use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::fleet::SoloFleet;
use handoffd_engine::ports::metrics::NoMetrics;
use handoffd_engine::ports::store::{SavedOrganization, Store};

use super::acceptance::accepted;
use super::fleet;
use super::open_store::{open_embedded, store_beside_workers};
use super::options;
use crate::admin::deps::{StoreAccepted, WorkerView};
use crate::config::{Config, ConfigFaults, EnvironmentVariables, StoreKind};
use crate::dynamics::Dynamics;
use crate::organizations::{Organization, TestReport, Vault, read_saved};

/// Tests an organization. Sends requests only to Entra ID and Dynamics.
///
/// # Errors
/// If the HTTP client can't be built.
pub async fn inspect(config: &Config, env: &EnvironmentVariables, organization: &Organization) -> Result<TestReport> {
    let dynamics = Dynamics::new(options::dynamics(config, env), Arc::new(NoMetrics), Arc::new(SoloFleet::new()))?;
    Ok(TestReport::new(organization, dynamics.inspect(organization.access(), Arc::new(|_| ())).await))
}

/// Accepts a store that replaced a damaged one and that no worker owns.
///
/// # Errors
/// If the store can't be opened, for example because a worker without an HTTP interface owns it.
pub async fn accept_store(config: &Config) -> Result<StoreAccepted> {
    if config.store.kind == StoreKind::Postgres || crate::sled::unaccepted(&config.store.path)?.is_none() {
        return Ok(accepted(None));
    }
    let store = open_embedded(config).await?;
    let unaccepted = store.accept().await;
    _ = store.close().await;
    Ok(accepted(unaccepted?))
}

/// Lists the workers that share the store.
///
/// # Errors
/// If `store.kind` is another one, or PostgreSQL can't be reached.
pub async fn list_workers(config: &Config) -> Result<Vec<WorkerView>> {
    if config.store.kind != StoreKind::Postgres {
        bail!("store.kind is not \"postgres\"; only one worker can use the embedded store");
    }
    let workers = crate::postgres::list_workers(&options::postgres(config)?).await?;
    Ok(workers.into_iter().map(fleet::view).collect())
}

/// Organizations saved in a store that no worker owns.
pub struct Offline(pub Vec<(OrganizationId, Result<Organization, ConfigFaults>)>);

impl Offline {
    /// Reads the store, if there is one.
    ///
    /// # Errors
    /// If the store can't be opened, for example because a worker without an HTTP interface owns it.
    pub async fn read(config: &Config) -> Result<Self> {
        let Some(store) = store_beside_workers(config).await? else { return Ok(Self(Vec::new())) };
        let saved = store.organizations().await;
        _ = store.close().await;
        let vault = Vault::of(&config.organizations);
        let read = |row: SavedOrganization| (row.id.clone(), read_saved(&row, &vault, config));
        Ok(Self(saved?.into_iter().map(read).collect()))
    }
}
