//! Simulation of the whole worker with a broker, a store and a destination in memory, on a virtual clock. It performs
//! thousands of runs, each derived from one seed, with crashes, lost answers, broken connections and people's changes, and
//! checks the invariants after each.

#![allow(unreachable_pub, reason = "a program of its own: `pub` is what its other files use")]

mod broker;
mod bus;
mod checks;
mod copies;
mod destination;
mod destinations;
mod environment;
mod fleet_member;
mod fleet_table;
mod fleet_world;
mod flaw;
mod in_flight;
mod inbox;
mod ledger;
mod message;
mod organization_queues;
mod people;
mod processes;
mod publish;
mod scene;
mod script;
mod spans;
mod store;
mod broker_faults;
mod world;

use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use scene::Diary;
use world::Report;

/// Number of runs in `cargo test`, about 6 ms of CPU time each. `SIMULATION_SEEDS` overrides it.
const SEEDS: u64 = 10_000;
/// Number of runs with several workers.
const FLEET_SEEDS: u64 = 400;
/// Number of failed seeds after which the search stops.
const ENOUGH: usize = 5;

#[test]
fn every_seed_keeps_the_invariants() {
    if let Some(seed) = number("SIMULATION_SEED") {
        let report = world::run(seed, Diary::Kept);
        println!("{}", report.diary.join("\n"));
        assert!(report.broken.is_empty(), "seed {seed}:\n{}", report.broken.join("\n"));
        return;
    }
    let seeds = number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let failed = failing(seeds, "every_seed", world::run);
    println!("ran {seeds} seeds");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn several_workers_keep_the_invariants() {
    if let Some(seed) = number("SIMULATION_SEED") {
        let report = fleet_world::run(seed, Diary::Kept);
        println!("{}", report.diary.join("\n"));
        assert!(report.broken.is_empty(), "seed {seed}:\n{}", report.broken.join("\n"));
        return;
    }
    let seeds = number("SIMULATION_SEEDS").unwrap_or(FLEET_SEEDS);
    let failed = failing(seeds, "several_workers", fleet_world::run);
    println!("ran {seeds} seeds");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..20 {
        for run in [world::run, fleet_world::run] {
            let (one, other) = (run(seed, Diary::Kept).diary, run(seed, Diary::Kept).diary);
            assert!(one.len() > 5, "seed {seed}: nothing happened");
            let differs = one.iter().zip(&other).find(|(one, other)| one != other);
            assert_eq!(differs, None, "seed {seed}");
            assert_eq!(one.len(), other.len(), "seed {seed}");
        }
    }
}

/// Returns the first failing seeds, each with its violations and a command to reproduce them.
fn failing(seeds: u64, test: &str, run: fn(u64, Diary) -> Report) -> Vec<String> {
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds
                        || failed.lock().unwrap().len()
                            >= number("SIMULATION_ENOUGH").map_or(ENOUGH, |n| usize::try_from(n).unwrap())
                    {
                        return;
                    }
                    let report = run(seed, Diary::Not);
                    if !report.broken.is_empty() {
                        failed.lock().unwrap().push(described(seed, test, &report.broken));
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}

fn described(seed: u64, test: &str, broken: &[String]) -> String {
    let command =
        format!("SIMULATION_SEED={seed} cargo test -p handoffd-engine --test simulation {test} -- --nocapture");
    format!("seed {seed} (reproduce with: {command}):\n  {}", broken.join("\n  "))
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text:?} is not a number")))
}
