//! Result of a step's requests, and its meaning for a trial of the step.

use handoffd_engine::workflow::Fault;

use crate::dynamics::circuit_breaker::TrialResult;

/// Result of a step's requests, as the limiter sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::dynamics) enum RequestResult {
    /// Answered, without a sign of overload.
    Answered,
    /// Answered with a failure unrelated to load, such as a 500.
    Failed,
    /// Throttled.
    Throttled,
    /// No answer within the time-out.
    Silent,
    /// No connection, or a broken one.
    Broken,
}

impl RequestResult {
    /// Returns the result of a trial that ended so, with the fault of the setup if there was one.
    pub(super) fn of_trial(self, held: Option<&Fault>) -> TrialResult<'_> {
        match (held, self) {
            (Some(fault), _) => TrialResult::Refused(fault),
            (None, Self::Answered) => TrialResult::Answered,
            (None, Self::Failed | Self::Throttled | Self::Silent | Self::Broken) => TrialResult::Unknown,
        }
    }
}
