//! In: a selection of dead letters, as JSON or in a query, and what to do about them.
//! Out: entries as they come; jobs for what takes long; for the operators' page the same as values.
//! Absent: what matches, what a replay is; the broker.

mod answers;
mod collector;
mod desk;
pub mod jobs;
mod requests;
mod stream;

pub use answers::ROUTES;
pub use collector::{Collected, Group, Grouped};
pub use desk::Desk;
pub use requests::Request;
