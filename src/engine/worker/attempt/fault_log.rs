//! Log lines for failed steps.

use tracing::{debug, warn};

use super::Attempt;
use crate::workflow::{Fault, Remedy, RetryDecision};

impl Attempt<'_> {
    /// Logs a failed step. This is the only place that does, because the decision on the event is made by now.
    pub(in crate::worker) fn log(&self, fault: &Fault, again: RetryDecision) {
        // The Dynamics adapter logs an organization's trouble once, so the events that wait for it are logged at debug
        // level only.
        if fault.remedy != Remedy::Retry && !matches!(again, RetryDecision::GiveUp(_)) {
            debug!(
                event_id = %self.event.key.event_id,
                organization_id = %self.event.key.organization_id,
                session_id = %self.event.session_id(),
                step = fault.step.as_str(),
                error = %fault.message,
                "event waits for its organization"
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
            advice = Some(&*fault.advice).filter(|advice| !advice.is_empty()),
            "{}",
            in_words(again)
        );
        debug!(remedy = ?fault.remedy, again = ?again, "decided");
    }
}

fn in_words(again: RetryDecision) -> &'static str {
    match again {
        RetryDecision::Now => "step failed; retrying now",
        RetryDecision::After(_) => "step failed; moving the event to a retry queue",
        RetryDecision::WhenAvailable | RetryDecision::WhenStepAllowed => "step waits for its organization",
        RetryDecision::GiveUp(_) => "step failed permanently; dead-lettering the event",
    }
}
