//! The parts together: a real broker, a real store, real processes.

mod rabbit;
mod rabbit_copies;
mod rabbit_outages;
mod rabbit_topology;
mod support;
