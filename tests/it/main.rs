//! The parts together: a real broker, a real store, real processes.

mod simulator;
