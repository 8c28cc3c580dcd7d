//! Gauges of the worker's current state, read when metrics are collected.

use std::sync::Arc;

use handoffd_engine::ports::fleet::Fleet;
use handoffd_engine::ports::store::StoreError;
use handoffd_engine::worker::Worker;
use tokio::sync::watch::Receiver;

use crate::rabbit::Rabbit;
use crate::telemetry::metrics::{EventReach, WorkerHealth};

/// Returns the reasons that the worker is not ready; empty if it is.
pub(super) type Unready = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// Returns the function that reads the current state.
pub(super) fn of(
    worker: Arc<Worker>,
    broker: Arc<Rabbit>,
    fleet: Arc<dyn Fleet>,
    health: Receiver<Option<StoreError>>,
    unready: Unready,
) -> impl Fn() -> WorkerHealth + Send + Sync + 'static {
    move || {
        let store_healthy = health.borrow().is_none();
        WorkerHealth {
            ready: store_healthy && unready().is_empty(),
            reach: match broker.consumes() {
                true if store_healthy && broker.processes() => EventReach::Finished,
                true => EventReach::Delivered,
                false => EventReach::None,
            },
            store_healthy,
            oldest_event: worker.oldest_event(),
            fleet: fleet.status(),
        }
    }
}
