//! In: the same changes and questions as any store's.
//! Out: the same answers, from maps: the model that other stores are compared with, and the store of simulations.
//! Absent: a disk; `crash` loses what was only noted.

mod store;
mod tables;

pub use store::MemoryStore;
