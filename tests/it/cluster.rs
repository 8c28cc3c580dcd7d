//! A RabbitMQ cluster of three nodes that loses nodes, its majority, or its unity. Run manually: `make cluster`.

mod bench;
mod confirms;
mod nodes;
mod partition;
