//! State that all routes share.

use std::sync::Arc;

use handoffd_engine::ports::store::Store;
use secrecy::SecretString;
use tokio::sync::Semaphore;

use super::dead_letters::DeadLetterService;
use super::session::Sessions;
use crate::admin::deps::StoreAcceptance;
use crate::admin::history::History;
use crate::organizations::Organizations;
use crate::telemetry::metrics::PrometheusMetrics;

/// Limit of concurrent requests. Operators are few, and the requests that a page repeats take milliseconds.
const MOST_AT_ONCE: usize = 64;

/// Shared state of the interface.
pub struct ApiState {
    /// Counters and gauges.
    pub metrics: Arc<PrometheusMetrics>,
    /// Store of events and outcomes.
    pub store: Arc<dyn Store>,
    /// Reasons why the worker is not ready; empty if it is.
    pub unready: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Bearer token for everything except health and metrics.
    pub token: Option<SecretString>,
    /// Organizations.
    pub organizations: Arc<dyn Organizations>,
    /// Acceptance of a store that replaced a damaged one.
    pub acceptance: Arc<dyn StoreAcceptance>,
    /// Access to the dead letters.
    pub letters: Arc<DeadLetterService>,
    /// Counters of the last hour.
    pub history: History,
    /// Sessions of browsers that have signed in.
    pub sessions: Sessions,
    /// Permits for concurrent requests.
    pub places: Semaphore,
}

/// Dependencies that the interface is started with.
pub struct ApiDeps {
    /// Counters and gauges.
    pub metrics: Arc<PrometheusMetrics>,
    /// Store of events and outcomes.
    pub store: Arc<dyn Store>,
    /// Reasons why the worker is not ready; empty if it is.
    pub unready: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Bearer token for everything except health and metrics.
    pub token: Option<SecretString>,
    /// Organizations.
    pub organizations: Arc<dyn Organizations>,
    /// Acceptance of a store that replaced a damaged one.
    pub acceptance: Arc<dyn StoreAcceptance>,
    /// Access to the dead letters.
    pub letters: DeadLetterService,
}

impl From<ApiDeps> for ApiState {
    fn from(given: ApiDeps) -> Self {
        let ApiDeps { metrics, store, unready, token, organizations, acceptance, letters } = given;
        Self {
            metrics,
            store,
            unready,
            token,
            organizations,
            acceptance,
            letters: Arc::new(letters),
            history: History::default(),
            sessions: Sessions::new(),
            places: Semaphore::new(MOST_AT_ONCE),
        }
    }
}
