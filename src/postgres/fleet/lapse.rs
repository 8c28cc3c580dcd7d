//! End of a lease that was not renewed: what the worker has in progress goes back to the broker.
//!
//! A worker whose PostgreSQL hangs can neither finish its events nor give them back: a commit is awaited without a limit,
//! and until then its consumer keeps them from the next owner. Their tasks begin no request any more. A worker that is
//! still the owner afterwards, because PostgreSQL was away for all, receives them again.

use std::sync::Arc;
use std::time::Instant;

use tokio::time::{sleep, sleep_until};
use tracing::warn;

use super::host::FleetHost;
use super::member::PostgresFleet;

/// Returns the deliveries once for each lease that ends, until the fleet is left.
pub(super) async fn return_deliveries(fleet: Arc<PostgresFleet>, host: Arc<dyn FleetHost>) {
    let closing = fleet.closing.clone();
    let watching = async {
        loop {
            match fleet.lease_end() {
                Some(end) if end > Instant::now() => sleep_until(end.into()).await,
                end => {
                    if end.is_some() && fleet.owns_any() {
                        warn!("PostgreSQL has not been reached for a whole lease; returning events to their queues");
                        host.return_deliveries();
                    }
                    while fleet.lease_end() == end {
                        sleep(fleet.options.lease / 5).await;
                    }
                }
            }
        }
    };
    closing.run_until_cancelled(watching).await;
}
