//! Everything that needs files, sockets, a broker or a process.

mod config;
mod ops;
