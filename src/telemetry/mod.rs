//! In: measurements of the engine and its adapters, log events, spans.
//! Out: metrics in Prometheus' text format, log lines on standard error, traces sent to a collector.
//! Absent: anything that processing an event depends on.

pub mod logs;
pub mod metrics;
pub mod traces;
