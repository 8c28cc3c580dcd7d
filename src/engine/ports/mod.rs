//! In: what the engine asks of the world.
//! Out: traits and the types they speak; RabbitMQ, Dynamics, sled and Prometheus implement them.
//! Absent: any implementation.

pub mod bus;
pub mod destination;
pub mod metrics;
pub mod store;
pub mod trace;
