//! Operations on a replaced store that operators may request, independent of the implementation.

use async_trait::async_trait;
use handoffd_engine::ports::store::StoreError;
use schemars::JsonSchema;
use serde::Serialize;

/// Operator's view of a store that replaced a damaged one.
#[async_trait]
pub trait StoreAcceptance: Send + Sync + 'static {
    /// Accepts the new store, so that the worker consumes again. Does nothing if there is none to accept.
    async fn accept_store(&self) -> Result<StoreAccepted, StoreError>;
}

/// Result of accepting a store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct StoreAccepted {
    /// True if there was a new store to accept.
    pub accepted: bool,
    /// Path of the damaged store; null if there was nothing to accept.
    pub set_aside: Option<String>,
}
