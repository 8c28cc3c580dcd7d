//! Time as the workflow sees it.

use jiff::Timestamp;

/// Time and attempt at which a decision is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Time {
    /// Current time.
    pub now: Timestamp,
    /// Time at which a worker first received the event.
    pub first_seen: Timestamp,
    /// Number of this attempt, from 1.
    pub attempts: u32,
}
