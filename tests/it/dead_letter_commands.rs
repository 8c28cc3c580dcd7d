//! `dead-letters`, run as a person runs it.

mod bench;
mod broker_limit;
pub mod desk;
mod interrupted;
mod listing;
mod patch;
mod replay;
