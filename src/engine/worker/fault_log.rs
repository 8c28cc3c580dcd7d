//! What the log says of a step that failed.

use tracing::{debug, warn};

use super::attempt::Attempt;
use crate::workflow::{Again, Fault, Remedy};

impl Attempt<'_> {
    /// Says it once, here, where it is known what becomes of the event.
    pub(super) fn log(&self, fault: &Fault, again: Again) {
        // Its organization's trouble is told once, by whoever knows that organization; not for each event that waits.
        if fault.remedy != Remedy::Retry && !matches!(again, Again::Never(_)) {
            debug!(
                event_id = %self.event.key.event_id,
                organization_id = %self.event.key.organization_id,
                step = fault.step.as_str(),
                error = %fault.message,
                "an event waits for its organization"
            );
            return;
        }
        warn!(
            event_id = %self.event.key.event_id,
            organization_id = %self.event.key.organization_id,
            session_id = %self.event.session_id(),
            step = fault.step.as_str(),
            attempt = self.record.attempts,
            status = fault.status,
            code = fault.code,
            request_id = fault.request_id,
            error = %fault.message,
            advice = %fault.advice,
            "{}",
            in_words(again)
        );
        debug!(remedy = ?fault.remedy, again = ?again, "decided");
    }
}

fn in_words(again: Again) -> &'static str {
    match again {
        Again::Soon => "a step failed: trying again at once",
        Again::Later(_) => "a step failed: the event goes to a retry queue",
        Again::WhenAvailable | Again::Aside => "a step waits for its organization",
        Again::Never(_) => "a step failed for good: the event becomes a dead letter",
    }
}
