//! The parts together: a real broker, a real store, real processes.

mod rabbit;
mod support;
//! Everything that needs files, sockets, a broker or a process.

mod config;
