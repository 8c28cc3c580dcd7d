//! Check that no worker sends a request to an organization during `Retry-After`, also after it was taken over.

use dynamics_simulator::JournalEntry;
use jiff::{SignedDuration, Timestamp};

use crate::crm::{THROTTLED_S, organizations};
use crate::stage::Stage;

/// Time in which requests that were under way at the answer still arrive, and an owner writes down what its successor
/// has to know.
const SETTLING: SignedDuration = SignedDuration::from_secs(2);

/// Returns the violations.
pub fn check(stage: &Stage) -> Vec<String> {
    let wait = SignedDuration::from_secs(i64::try_from(THROTTLED_S).unwrap_or_default());
    let mut found = Vec::new();
    for organization in organizations() {
        let mut requests = stage.crm.requests(organization);
        requests.retain(|request| request.operation != "token");
        requests.sort_by_key(|request| request.time);
        let mut until: Option<(Timestamp, Timestamp)> = None;
        for request in &requests {
            if let Some((since, until)) = until
                && (since + SETTLING..until).contains(&request.time)
                && !stage.owners.lost_within(organization, since, since + SETTLING)
            {
                let JournalEntry { time, operation, .. } = request;
                found.push(format!("{organization}: {operation} at {time}, throttled from {since} to {until}"));
            }
            if is_throttling(stage, organization, request) {
                until = Some((request.time, request.time + wait));
            }
        }
    }
    found
}

/// True for an answer with the long `Retry-After` of an organization in trouble.
fn is_throttling(stage: &Stage, organization: &str, request: &JournalEntry) -> bool {
    request.status == Some(429) && stage.owners.is_throttled(organization, request.time)
}
