//! In: the engine's requirements of the outside world.
//! Out: traits and their types, which the adapters for RabbitMQ, Dynamics, sled and Prometheus implement.
//! Absent: any implementation.

pub mod bus;
pub mod destination;
pub mod fleet;
pub mod metrics;
pub mod store;
pub mod trace;
