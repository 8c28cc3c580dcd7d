//! Start of a limiter in the place of another worker's.

use std::time::{Duration, Instant};

use handoffd_engine::workflow::Fault;

/// State that a limiter hands over to the limiter of the next owner.
#[derive(Clone, PartialEq, Debug)]
pub(in crate::dynamics) struct LimiterStart {
    /// Remaining time of a throttling.
    pub wait: Option<Duration>,
    /// Block of the organization: its start and its cause.
    pub blocked: Option<(Instant, Fault)>,
    /// Concurrency that Dynamics recommends, if it does.
    pub recommended: Option<usize>,
}
