//! Availability of an organization, as its limiter reports it.

use std::time::Duration;

use crate::dynamics::circuit_breaker::Cause;

/// Rejection of a request.
#[derive(Debug)]
pub(in crate::dynamics) enum Rejected {
    /// Dynamics throttles the organization for this long.
    Throttled(Duration),
    /// The organization is misconfigured.
    Blocked(Cause),
    /// The organization's setup refuses this step alone.
    Held(Cause),
    /// The organization has another limiter, or none any more.
    Retired,
}

/// Availability of the organization.
#[derive(Clone, Debug)]
pub(in crate::dynamics) enum LimiterAvailability {
    /// Requests are admitted. Holds the number of events worth having in flight.
    Open(usize),
    /// No request is admitted until the throttling ends.
    Throttled,
    /// No request is admitted until a probe succeeds.
    Blocked,
}

/// Snapshot of a limiter.
#[derive(Clone, Debug)]
pub struct LimiterStatus {
    /// Limit of concurrent requests.
    pub concurrency: usize,
    /// Number of requests under way.
    pub under_way: usize,
    /// Remaining time of a throttling.
    pub wait: Option<Duration>,
    /// Reason of the block or hold, if any.
    pub cause: Option<Cause>,
}
