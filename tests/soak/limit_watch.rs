//! Check that the workers together keep to each organization's limit of concurrent requests.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::crm::organizations;
use crate::stage::{CONCURRENCY, Stage};

/// Interval of the checks.
const EVERY: Duration = Duration::from_millis(50);

/// Watches until closed and returns the violations. Only what a lost owner had in progress may come on top.
pub async fn watch(stage: Arc<Stage>, closing: CancellationToken) -> Vec<String> {
    let mut found = Vec::new();
    if stage.places() == 1 {
        return found;
    }
    while closing.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
        for organization in organizations() {
            let peak = stage.crm.take_peak(organization);
            if peak <= CONCURRENCY {
                continue;
            }
            let limit = CONCURRENCY * (1 + stage.owners.lost_owners(organization));
            stage.owners.above_limit(peak <= limit);
            if peak > limit {
                found.push(format!(
                    "{organization}: {peak} requests at once, limit {limit}, {}",
                    jiff::Timestamp::now()
                ));
            }
        }
    }
    found
}
