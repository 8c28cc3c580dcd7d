//! Throughput of the worker and the cost of its guarantees. Run manually: `make bench`.
//!
//! 10,000 handoffs of new customers are in the quorum queue. The worker processes them with all features on, and
//! alternately in the same run a bare loop does (same lapin, same reqwest; consume, the same three requests, ack; no
//! store, no outcome), and an engineered minimum with the worker's durability: once with as many events in hand as serve
//! it best, once with the contract's limit. Broker and simulator share the machine with each. With PostgreSQL, a worker
//! on it takes its turn too.

#![allow(unreachable_pub, reason = "a program of its own: `pub` is what its other files use")]

mod bare;
mod events;
mod fairness;
mod fleet;
mod flood;
mod hostile;
mod keys;
mod machine;
mod minimum;
mod process;
mod profile;
mod report;
mod scale;
mod simulator;

use std::path::PathBuf;
use std::time::Duration;

use machine::Machine;
use report::{Figures, Program, Row, Scenario};

/// Dataverse's own limit per application user, and the worker's default.
const CONCURRENCY: usize = 52;
/// Events of an organization in hand at once, by the contract (5): eight more than requests.
const ALLOWED: u16 = 60;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    rustls::crypto::ring::default_provider().install_default().expect("the first TLS provider of this process");
    let milliseconds = |name, default| Duration::from_millis(number(name, default));
    match arguments.first().map(String::as_str) {
        Some("bare") => bare::main(&arguments[1..]),
        Some("minimum") => minimum::main(&arguments[1..]),
        Some("fairness") => runtime.block_on(fairness::main(fairness::Extent {
            troubled: number("TROUBLED", 2000),
            measured: number("EVENTS", 200),
            runs: number("RUNS", 3),
            latency: milliseconds("LATENCY", 75),
        })),
        Some("fleet") => {
            runtime.block_on(fleet::main(number("EVENTS", 3000), number("RUNS", 3), milliseconds("LATENCY", 100)));
        }
        Some("flood") => {
            runtime.block_on(flood::main(number("EVENTS", 2500), number("RUNS", 3), milliseconds("LATENCY", 100)));
        }
        Some("scale") => runtime.block_on(scale::main(scale::Size {
            organizations: number("ORGANIZATIONS", 1000),
            waiting: number("WAITING", 100_000),
            dead: number("DEAD", 100_000),
            events: number("EVENTS", 3000),
            runs: number("RUNS", 3),
            latency: milliseconds("LATENCY", 100),
        })),
        Some("hostile") => runtime.block_on(hostile::main(number("EVENTS", 50))),
        Some("profile") => runtime.block_on(profile::main(number("EVENTS", 2000))),
        _ => runtime.block_on(throughput()),
    }
}

/// Compares the programs at each number of events and each latency.
async fn throughput() {
    let runs = number("RUNS", 3);
    let (amounts, latencies) = (numbers("EVENTS", &[10_000]), numbers("LATENCIES", &[0, 100]));
    let keys = number("KEYS", 0);
    let mut rows = Vec::new();
    for latency in latencies {
        for &events in &amounts {
            let scenario = Scenario { events, latency: Duration::from_millis(latency), concurrency: CONCURRENCY };
            rows.extend(compare(&scenario, (runs, keys)).await);
        }
    }
    println!("\n{}", report::table(&rows));
}

/// Number in an environment variable.
fn number(name: &str, default: u64) -> u64 {
    let number = |text: String| text.parse().unwrap_or_else(|_| panic!("{name} must be a number"));
    std::env::var(name).map_or(default, number)
}

/// Numbers in an environment variable, separated by commas.
fn numbers(name: &str, default: &[u64]) -> Vec<u64> {
    let number = |part: &str| part.trim().parse().unwrap_or_else(|_| panic!("{name} must be numbers, with commas"));
    std::env::var(name).map_or_else(|_| default.to_vec(), |text| text.split(',').map(number).collect())
}

/// Lets the programs take turns, and returns a row for each.
async fn compare(scenario: &Scenario, (runs, keys): (u64, u64)) -> Vec<Row> {
    report::heading(scenario, (runs, keys));
    // `make bench STORE=postgres` provides it.
    let postgres = std::env::var("HANDOFFD_TEST_POSTGRES_URL").is_ok();
    let wanted = std::env::var("PROGRAMS").ok();
    let programs = Program::ALL.into_iter().filter(|program| {
        (postgres || *program != Program::Postgres)
            && wanted.as_ref().is_none_or(|names| names.contains(program.name()))
    });
    let mut rows: Vec<Row> = programs.map(|program| Row::new(program, scenario)).collect();
    for run in 0..runs {
        for row in &mut rows {
            let measured = measure(scenario, row.program, keys).await;
            report::line(run, row.program, &measured);
            row.runs.push(measured);
        }
    }
    rows
}

async fn measure(scenario: &Scenario, program: Program, keys: u64) -> Figures {
    let machine = Machine::set_up(scenario).await;
    if program == Program::Postgres {
        machine.use_postgres().await;
    }
    if matches!(program, Program::Worker | Program::Postgres) {
        keys::remember(&machine, keys).await;
    }
    machine.publish((0..scenario.events).map(events::handoff)).await;
    let command = match program {
        Program::Bare => machine.bare(&itself()),
        Program::Minimum => machine.minimum(&itself(), minimum::PREFETCH),
        Program::Limited => machine.minimum(&itself(), ALLOWED),
        Program::Worker | Program::Postgres => machine.worker(),
    };
    let figures = machine.run(command, scenario).await;
    machine.clean_up().await;
    figures
}

fn itself() -> PathBuf {
    std::env::current_exe().expect("the path of this program")
}
