//! Opening of the store, of either kind, whose content is moved.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use handoffd_engine::ports::metrics::NoMetrics;
use handoffd_engine::ports::store::StoreError;
use handoffd_engine::ports::store::portable::PortableStore;
use tokio::task::spawn_blocking;

use super::options;
use crate::config::{Config, StoreKind};
use crate::postgres::{PostgresOptions, PostgresTransfer};
use crate::sled::{self as embedded, CorruptionPolicy};

/// Longest wait for another process to release the embedded store. A worker that runs does not, so nobody should wait long.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// Direction of the move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transfer {
    /// Reads the store, which must exist.
    Export,
    /// Writes to the store, which is created if it does not exist.
    Import,
}

/// Opens the configured store.
///
/// # Errors
/// If a worker owns the embedded store, or the store can't be opened.
pub async fn portable_store(config: &Config, transfer: Transfer) -> Result<Box<dyn PortableStore>> {
    match config.store.kind {
        StoreKind::Sled => {
            let mut options = options::store(config);
            if transfer == Transfer::Export && !options.path.exists() {
                bail!("no store exists at {} (store.path)", options.path.display());
            }
            // A damaged store is set aside by a worker only, which reports it.
            options.on_corruption = CorruptionPolicy::Stop;
            options.lock_wait = LOCK_WAIT;
            match spawn_blocking(move || embedded::open(&options, Arc::new(NoMetrics))).await? {
                Ok(opened) => Ok(Box::new(opened.store)),
                Err(StoreError::InUse { path, holder, .. }) => Err(anyhow!(
                    "the store at {path} is in use by a running worker{holder}, and the embedded store has one owner; \
                     stop the worker (`systemctl stop handoffd`), then run this command again"
                )),
                Err(problem) => Err(problem.into()),
            }
        }
        StoreKind::Postgres => {
            let options = options::postgres(config)?;
            let migrate = options.migrate && transfer == Transfer::Import;
            Ok(Box::new(PostgresTransfer::open(&PostgresOptions { migrate, ..options }).await?))
        }
    }
}
