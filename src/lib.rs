//! Carries OpenCX handoffs and resolutions from RabbitMQ into Microsoft Dynamics 365, exactly once in effect.
//!
//! The crate `handoffd-engine` decides how each event is processed. This crate connects it to the world, in the order
//! an event meets the modules:

/// RabbitMQ: source of events and destination of outcomes.
pub mod rabbit;
/// sled: the store, in one file owned by one process.
pub mod sled;
/// PostgreSQL: the store for several workers.
pub mod postgres;
/// Dynamics 365: destination of events.
pub mod dynamics;
/// The configuration file and the environment.
pub mod config;
/// Organizations: their files, their rows in the store, their state.
pub mod organizations;
/// The verdict on the worker and its organizations.
pub mod status;
/// Metrics, logs and traces.
pub mod telemetry;
/// The HTTP API and the page for operators.
pub mod admin;
/// JSON Schemas and AsyncAPI of events and outcomes.
pub mod schema;
/// Wiring: a running worker, and its orderly shutdown.
pub mod app;
/// The command line.
pub mod cli;
mod private_files;
mod regular;
#[cfg(test)]
mod test_authority;
#[cfg(test)]
#[allow(dead_code, unreachable_pub, reason = "the integration tests use the rest")]
#[path = "../tests/it/support/certificates.rs"]
mod test_certificates;
