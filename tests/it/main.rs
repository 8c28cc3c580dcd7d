//! The parts together: a real broker, a real store, real processes.

mod config;
mod ops;
mod rabbit;
mod rabbit_copies;
mod rabbit_outages;
mod rabbit_topology;
mod simulator;
mod store_conformance;
mod store_disk;
mod store_model;
mod store_outcomes;
mod store_samples;
mod support;
