//! In: requests of operators and monitors; the store, the metrics and the organizations to answer them.
//! Out: an HTTP API for programs and a web page for people.
//! Absent: anything that processing an event depends on; no module that processes events imports this one.

pub mod api;
pub mod audit;
mod degradation_log;
pub mod deps;
pub mod events;
mod history;
mod journal;
mod organization_history;
mod organization_tests;
pub mod page;
pub mod search_line;
mod status_board;
