//! The parts together: a real broker, a real store, real processes.

mod config;
mod rabbit;
mod support;
