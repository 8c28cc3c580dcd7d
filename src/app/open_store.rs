//! Opening of the store, of either kind, for the worker and for commands.

use std::sync::Arc;

use anyhow::{Result, bail};
use handoffd_engine::ports::metrics::NoMetrics;
use handoffd_engine::ports::store::Store;
use handoffd_engine::ports::store::operators::OperatorStore;
use tokio::task::spawn_blocking;

use super::fleet::{AloneWorker, FleetMembership};
use super::opened_store::{OpenedStore, StoreDamage};
use super::{options, store_guard};
use crate::config::{Config, StoreKind};
use crate::postgres::PostgresStore;
use crate::sled::{CorruptionPolicy, SledStore};
use crate::telemetry::metrics::PrometheusMetrics;
use crate::{postgres, sled as embedded};

/// Opens the store for a worker.
pub(super) async fn open_store(config: &Config, metrics: Arc<PrometheusMetrics>) -> Result<OpenedStore> {
    match config.store.kind {
        StoreKind::Sled => {
            let options = options::store(config);
            let of_store = metrics.clone();
            let opened = spawn_blocking(move || embedded::open(&options, of_store)).await??;
            if let Some(aside) = opened.quarantined {
                store_guard::report(&aside, opened.store.unaccepted().borrow().as_ref());
            }
            let store = Arc::new(opened.store);
            let damage = StoreDamage { quarantined: store.quarantined(), unaccepted: store.unaccepted() };
            let membership = FleetMembership::Alone(AloneWorker::new(config, metrics));
            Ok(OpenedStore {
                health: store.health(),
                damage: Some(damage),
                acceptance: store.clone(),
                operators: store.clone(),
                store,
                membership,
            })
        }
        StoreKind::Postgres => {
            let store = Arc::new(postgres::open(&options::postgres(config)?, metrics).await?);
            let membership = FleetMembership::Shared(store.fleet(super::fleet::options(config)));
            Ok(OpenedStore {
                health: store.health(),
                damage: None,
                acceptance: store.clone(),
                operators: store.clone(),
                store,
                membership,
            })
        }
    }
}

/// Opens the embedded store without setting a damaged one aside; only the worker does that, and reports it.
pub(super) async fn open_embedded(config: &Config) -> Result<SledStore> {
    let mut options = options::store(config);
    options.on_corruption = CorruptionPolicy::Stop;
    let opened = spawn_blocking(move || embedded::open(&options, Arc::new(NoMetrics))).await??;
    Ok(opened.store)
}

/// Opens the store for a command. Returns `None` if there is no embedded store.
///
/// # Errors
/// If the store can't be opened, for example because a worker owns it.
pub async fn store_beside_workers(config: &Config) -> Result<Option<Arc<dyn Store>>> {
    match config.store.kind {
        StoreKind::Sled if !config.store.path.exists() => Ok(None),
        StoreKind::Sled => Ok(Some(Arc::new(open_embedded(config).await?))),
        StoreKind::Postgres => Ok(Some(Arc::new(open_postgres(config).await?))),
    }
}

/// Opens the operators' part of the store for a command, as [`store_beside_workers`].
///
/// # Errors
/// As [`store_beside_workers`].
pub async fn operators_beside_workers(config: &Config) -> Result<Option<Arc<dyn OperatorStore>>> {
    match config.store.kind {
        StoreKind::Sled if !config.store.path.exists() => Ok(None),
        StoreKind::Sled => Ok(Some(Arc::new(open_embedded(config).await?))),
        StoreKind::Postgres => Ok(Some(Arc::new(open_postgres(config).await?))),
    }
}

/// Opens PostgreSQL without migrating it.
async fn open_postgres(config: &Config) -> Result<PostgresStore> {
    let options = postgres::PostgresOptions { migrate: false, ..options::postgres(config)? };
    Ok(postgres::open(&options, Arc::new(NoMetrics)).await?)
}

/// Creates or migrates the tables in PostgreSQL. Returns their version.
///
/// # Errors
/// If `store.kind` is another one, or the server can't be reached or refuses.
pub async fn migrate_store(config: &Config) -> Result<u32> {
    if config.store.kind != StoreKind::Postgres {
        bail!("store.kind is not \"postgres\"; the embedded store is migrated when it is opened");
    }
    Ok(postgres::migrate(&options::postgres(config)?).await?)
}
