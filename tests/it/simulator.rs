//! The simulator is as strict, and as wrong, as it says.

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
