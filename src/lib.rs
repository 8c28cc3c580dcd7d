//! Carries OpenCX handoffs and resolutions from RabbitMQ into Microsoft Dynamics 365, exactly once in effect.
//!
//! What happens to an event is decided in the crate `handoffd-engine`. Here is what it is joined to, in the order an event meets it:

/// RabbitMQ: where events come from and outcomes go to.
pub mod rabbit;
/// sled: what is remembered, in one file of one process.
pub mod sled;
/// Dynamics 365: where events are carried to.
pub mod dynamics;
/// The configuration file, the environment and the organizations' files.
pub mod config;
/// Metrics, logs and traces.
pub mod telemetry;
/// The HTTP API and the page for operators.
pub mod admin;
/// JSON Schemas and AsyncAPI of events and outcomes.
pub mod schema;
/// Wiring: a running worker, and its orderly end.
pub mod app;
/// The command line.
pub mod cli;
mod regular;
#[cfg(test)]
mod test_authority;
