//! Connections to a node of the broker. Every address of every URL is tried, and an address counts once its broker has
//! sent a greeting; the bytes of a connection pass through `sanitize`.

pub(super) mod addresses;
pub(super) mod backoff;
pub(super) mod confirm_pool;
mod connect;
mod greeting;
