//! Operations on the store and the fleet that operators may request, independent of the implementation.

use async_trait::async_trait;
use handoffd_engine::ports::store::StoreError;
use jiff::Timestamp;
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

/// List of the workers that share a store.
#[async_trait]
pub trait WorkerDirectory: Send + Sync + 'static {
    /// Lists the workers, oldest first; or returns the reason that they can't be listed.
    async fn workers(&self) -> Result<Vec<WorkerView>, String>;
}

/// Worker as lists show it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Worker")]
pub struct WorkerView {
    /// Name: `fleet.name`, or host name and process id.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Time at which it joined.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: Timestamp,
    /// Time of its last sign of life.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub seen_at: Timestamp,
    /// State: `joined`, `leaving` (it is stopping) or `lost` (others take over).
    pub state: String,
    /// Number of organizations that it processes.
    pub organizations: i64,
    /// Number of events in progress.
    pub in_flight: i64,
}
