//! Everything that needs more than one room, or something outside the process: one binary.

mod store_conformance;
mod store_disk;
mod store_model;
mod store_outcomes;
mod store_samples;
