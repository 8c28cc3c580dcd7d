//! Time as the workflow sees it.

use std::time::Duration;

use jiff::Timestamp;

/// Time and attempt at which a decision is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Time {
    /// Current time.
    pub now: Timestamp,
    /// Time since the event first had to wait, without the time spent waiting for its organization.
    pub age: Duration,
    /// Number of this attempt, from 1.
    pub attempts: u32,
}
