//! In: measurements of the engine and its adapters, log lines, spans.
//! Out: Prometheus' text, log lines on standard error, traces for whoever collects them.
//! Absent: anything the flow of events needs.

pub mod logs;
pub mod metrics;
pub mod traces;
