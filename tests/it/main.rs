//! Integration tests: a real broker, a real store, real processes.

#![allow(unreachable_pub, reason = "a program of its own: `pub` is what its other files use")]

mod ack_order;
mod blocked;
mod commands;
mod config;
mod contract_table;
mod crash;
mod crash_matrix;
mod crowds;
mod dead_letter_commands;
mod dead_letters;
mod destinations;
mod disk_full;
mod drain;
mod fairness;
mod faults;
mod faulty_files;
mod gate;
mod held;
mod herald;
mod hostile;
mod hostile_bus;
mod hostile_dynamics;
mod http_dead_letters;
mod http_interface;
mod least_privileges;
mod long_waits;
mod ops;
mod org_pause;
mod org_save;
mod org_saved;
mod org_test;
mod page_browser;
mod people_meanwhile;
mod poison;
mod process;
mod prometheus;
mod rabbit;

mod rabbit_copies;
mod rabbit_letters;
mod rabbit_organization_queues;
mod rabbit_outages;
mod rabbit_topology;
mod resolutions_out_of_order;
mod secrecy;

mod store_accept;
mod store_conformance;
mod store_damage;
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
mod topology_command;
mod traced;
mod traces;
