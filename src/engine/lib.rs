//! The engine of handoffd: it takes events from a bus, processes each in a CRM exactly once in effect, and announces
//! its outcome.
//!
//! The modules, in the order an event passes through them:

/// Texts: their length, truncation and escaping. Pure.
pub mod text;
/// Events: decodes the bytes of a message into a handoff or a resolution. Pure.
pub mod event;
/// Interfaces that the engine requires: bus, destination, store, metrics.
pub mod ports;
/// The worker: router, consumer of each organization, and the path of an event from its delivery to its settlement.
pub mod worker;
/// State machine of one event: steps, receipts, faults, outcomes. Pure.
pub mod workflow;
/// Times as operators give them. Pure.
pub mod time_input;
/// Dead letters: selecting, replaying, discarding, patching.
pub mod dead_letters;
/// Store in memory: the model that other stores are compared with.
pub mod memory_store;
