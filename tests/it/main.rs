//! The parts together: a real broker, a real store, real processes.

mod config;
mod ops;
mod rabbit;
mod story;
mod support;
