//! The parts together: a real broker, a real store, real processes.

mod commands;
mod config;
mod contract_table;
mod crash;
mod dead_letters;
mod faults;
mod ops;
mod process;
mod rabbit;
mod rabbit_copies;
mod rabbit_outages;
mod rabbit_topology;
mod simulation;
mod simulator;
mod store_conformance;
mod store_disk;
mod store_model;
mod store_outcomes;
mod store_samples;
mod story;
mod story_customers;
mod story_environment;
mod story_once;
mod story_resolutions;
mod story_transcripts;
mod support;
