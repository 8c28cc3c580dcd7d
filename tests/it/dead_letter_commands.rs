//! `dead-letters`, run as an operator runs it.

mod bench;
mod broker_limit;
pub mod desk;
mod interrupted;
mod letter_ids;
mod listing;
mod patch;
mod replay;
