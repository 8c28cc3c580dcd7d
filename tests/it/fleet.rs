//! Several workers on one PostgreSQL and one broker.

mod bench;
mod cut_off;
mod cut_store;
mod failover;
mod handing_over;
mod lost;
mod operators;
mod order;
mod outages;
mod rolling;
mod sharing;
mod woken;

pub use bench::owns;
