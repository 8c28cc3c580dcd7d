//! In: deliveries from the bus.
//! Out: each delivery settled exactly once: moved to its organization's queue, or its outcome stored and announced, or
//! a copy confirmed in a retry queue or the dead-letter queue.
//! Absent: RabbitMQ, Dynamics and sled, which are behind the ports; and the choice of the next step, which is the
//! workflow's.
//!
//! Every event passes through two stages. The router moves it from the inbox to its organization's queue, and waits for
//! no organization. The organization's consumer takes from there only the deliveries that can soon have a request to
//! Dynamics in progress, and processes them.

mod run;

mod router;

mod organization_consumer;
mod organization_load;
mod prefetch;

mod process;

mod age;
mod account;
mod arrival;
mod arrivals;
mod attempt;
mod unroutable;
mod caught_panic;
mod compact_time;
mod core;
mod event_tracker;
mod failures;
mod headers;
mod lanes;
mod new_dead_letter;
mod backoff;
mod pending;
mod quarantine;
mod remember;
mod retried_handoffs;
mod settle;
mod settlement;
mod tracking;

pub use arrivals::EventAges;
pub use caught_panic::report_panics;
pub use compact_time::CompactTime;
pub use core::{Clock, Worker, WorkerDeps, WorkerSettings};
pub use event_tracker::{EventStage, EventTracker, MOST_TRACKED, TrackedEvent};

#[cfg(test)]
mod tests;
