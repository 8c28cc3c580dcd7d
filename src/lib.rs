//! Carries OpenCX handoffs and resolutions from RabbitMQ into Microsoft Dynamics 365, exactly once in effect.
//!
//! The rooms, in the order an event passes through them:

pub mod app;
pub mod bus;
pub mod cli;
pub mod config;
pub mod crm;
pub mod dynamics;
pub mod event;
pub mod letters;
pub mod machine;
pub mod ops;
mod regular;
pub mod schema;
pub mod store;
#[cfg(test)]
mod test_authority;
pub mod watch;
pub mod worker;
