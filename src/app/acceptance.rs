//! Acceptance by an operator of a store that replaced a damaged one.

use async_trait::async_trait;
use handoffd_engine::ports::store::StoreError;
use tracing::warn;

use crate::admin::deps::{StoreAcceptance, StoreAccepted};
use crate::postgres::PostgresStore;
use crate::sled::{SledStore, Unaccepted};

#[async_trait]
impl StoreAcceptance for SledStore {
    async fn accept_store(&self) -> Result<StoreAccepted, StoreError> {
        let accepted = accepted(self.accept().await?);
        if let Some(set_aside) = &accepted.set_aside {
            warn!(set_aside, "operator accepted the new store");
        }
        Ok(accepted)
    }
}

#[async_trait]
impl StoreAcceptance for PostgresStore {
    /// Has nothing to accept: PostgreSQL is never replaced by the worker.
    async fn accept_store(&self) -> Result<StoreAccepted, StoreError> {
        Ok(accepted(None))
    }
}

/// Builds the operator's answer from the accepted marker.
pub(super) fn accepted(unaccepted: Option<Unaccepted>) -> StoreAccepted {
    let set_aside = unaccepted.map(|unaccepted| unaccepted.set_aside.display().to_string());
    StoreAccepted { accepted: set_aside.is_some(), set_aside }
}
