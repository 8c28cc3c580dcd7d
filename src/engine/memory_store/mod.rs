//! In: the same changes and queries as any other store.
//! Out: the same answers, from maps. It is the model that other stores are compared with, and the store of simulations.
//! Absent: a disk. `crash` loses the changes that were only noted.

mod operators;
mod portable;
mod store;
mod tables;

pub use store::MemoryStore;
