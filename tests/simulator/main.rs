//! The simulator is as strict, and as wrong, as it says.

#![allow(unreachable_pub, reason = "a program of its own: `pub` is what its other files use")]

mod actions;
mod bodies;
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
