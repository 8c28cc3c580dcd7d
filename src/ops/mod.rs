//! In: sightings of the other rooms, requests of operators and monitors, the store to answer them from.
//! Out: metrics, log lines, traces, health, outcomes over HTTP.
//! Absent: anything the flow of events needs; nothing in the flow imports this room.

pub mod http;
pub mod logs;
pub mod metrics;
pub mod page;
pub mod seam;
pub mod traces;
