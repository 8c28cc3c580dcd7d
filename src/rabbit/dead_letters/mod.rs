//! The dead-letter queue: scans for an operator, and the count of what the broker puts there by itself.

pub(super) mod broker_deaths;
mod death;
mod delivery_counts;
mod letter;
mod letter_digest;
pub(super) mod queue;
mod session;
