//! Tests of the simulator over HTTP: its strictness, and its scripted faults.

#![allow(unreachable_pub, reason = "a program of its own: `pub` is what its other files use")]

mod actions;
mod assertions;
mod bodies;
#[allow(dead_code, reason = "the integration tests use the rest")]
#[path = "../it/support/certificates.rs"]
mod certificates;
mod client;
mod clients;
mod control;
mod executable;
mod faults;
mod metadata;
mod people;
mod profiles;
mod reading;
mod setup;
mod tokens;
mod writing;
