//! The engine of handoffd: it takes events from a bus, carries each into a CRM exactly once in effect, and announces its outcome.
//!
//! The modules, in the order an event passes through them:

/// Events: from the bytes of a message to a handoff or a resolution. Pure.
pub mod event;
/// What the engine needs of the world: bus, destination, store, metrics.
pub mod ports;
/// The worker: router, consumer of each organization, the way of one event from its delivery to its settlement.
pub mod worker;
/// The state machine of one event: steps, receipts, faults, outcomes. Pure.
pub mod workflow;
/// Dead letters: selecting, replaying, discarding, patching.
pub mod dead_letters;
/// A store in memory: the model that other stores are compared with.
pub mod memory_store;
