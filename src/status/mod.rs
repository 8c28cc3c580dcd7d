//! In: readiness of the worker; requests, limits, faults and ages of the events of each organization.
//! Out: one verdict with its reasons, the same for the API, the page, the commands and the metrics.
//! Absent: clocks and tasks, since every function takes the time as an argument; the look of the page.

mod memory;
mod oldest;
mod request_window;
mod trouble;
mod verdict;

pub use memory::StatusMemory;
pub use oldest::OldestEvent;
pub use request_window::{FailingRequests, RequestCounts, RequestWindow};
pub use trouble::{BlockReport, OrganizationHealth};
pub use verdict::{StatusReason, WorkerReadiness, WorkerStatus, WorkerVerdict};

#[cfg(test)]
mod tests;
