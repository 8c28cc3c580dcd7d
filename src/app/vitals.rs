//! How it stands with the worker at this moment, for who reads the metrics.

use std::sync::Arc;

use handoffd_engine::ports::store::StoreError;
use handoffd_engine::worker::Worker;
use tokio::sync::watch::Receiver;

use crate::rabbit::Rabbit;
use crate::telemetry::metrics::Vitals;

/// Why the worker is not ready; nothing when it is.
pub(super) type Unready = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// Asks all who know.
pub(super) fn of(
    worker: Arc<Worker>,
    broker: Arc<Rabbit>,
    health: Receiver<Option<StoreError>>,
    unready: Unready,
) -> impl Fn() -> Vitals + Send + Sync + 'static {
    move || {
        let store_healthy = health.borrow().is_none();
        Vitals {
            ready: store_healthy && unready().is_empty(),
            consuming: broker.consumes(),
            store_healthy,
            oldest_event: worker.oldest_event(),
        }
    }
}
