//! In: requests of operators and monitors, and the store, the metrics and the organizations to answer them from.
//! Out: an HTTP API for programs, a page for people.
//! Absent: anything the flow of events needs; nothing in the flow imports this room.

pub mod api;
pub mod deps;
pub mod page;
