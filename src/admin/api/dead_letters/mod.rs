//! In: a selection of dead letters, as JSON or in a query, and the action to take on them.
//! Out: entries as an array, sent as they are read; jobs with progress; the same as values for the operators' page.
//! Absent: the rules of selecting and replaying; the broker.

mod array;
mod csv;
mod groups;
pub mod jobs;
mod parameters;
mod pass;
mod routes;
mod scans;
mod service;
#[cfg(test)]
mod tests;

pub use routes::ROUTES;
pub use scans::ListAge;
pub use service::{Collected, DeadLetterService, DeadLetterSurvey};
