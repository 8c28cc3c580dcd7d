//! In: a selection of dead letters, as JSON or in a query, and the action to take on them.
//! Out: entries, streamed as they are read; background jobs for long actions; the same as values for the operators' page.
//! Absent: the rules of selecting and replaying; the broker.

mod answers;
mod browse_end;
mod collector;
mod desk;
pub mod jobs;
mod requests;
mod stream;

pub use answers::ROUTES;
pub use collector::{Collected, DeadLetterGroup, Grouped};
pub use desk::DeadLetterService;
pub use requests::DeadLetterRequest;
