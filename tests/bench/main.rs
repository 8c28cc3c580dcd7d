//! Throughput of the worker and the cost of its guarantees. Run manually: `make bench`.
//!
//! 10,000 handoffs of new customers are in the quorum queue. The worker processes them with all features on, and
//! alternately in the same run a bare loop does (same lapin, same reqwest; consume, the same three requests, ack; no
//! store, no outcome). Broker and simulator share the machine with both. With PostgreSQL, a worker on it takes its turn
//! too.

#![allow(unreachable_pub, reason = "a program of its own: `pub` is what its other files use")]

mod bare;
mod events;
mod fairness;
mod flood;
mod hostile;
mod machine;
mod process;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use machine::Machine;
use report::{Figures, Scenario};

/// Dataverse's own limit per application user, and the worker's default.
const CONCURRENCY: usize = 52;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    rustls::crypto::ring::default_provider().install_default().expect("the first TLS provider of this process");
    if arguments.first().is_some_and(|first| first == "bare") {
        bare::main(&arguments[1..]);
        return;
    }
    let number = |name: &str, default: u64| {
        std::env::var(name)
            .ok()
            .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
    };
    if arguments.first().is_some_and(|first| first == "fairness") {
        let latency = Duration::from_millis(number("LATENCY", 75));
        let (troubled, measured, runs) = (number("TROUBLED", 2000), number("EVENTS", 200), number("RUNS", 3));
        runtime.block_on(fairness::main(fairness::Extent { troubled, measured, runs, latency }));
        return;
    }
    if arguments.first().is_some_and(|first| first == "flood") {
        let latency = Duration::from_millis(number("LATENCY", 100));
        runtime.block_on(flood::main(number("EVENTS", 2500), number("RUNS", 3), latency));
        return;
    }
    if arguments.first().is_some_and(|first| first == "hostile") {
        runtime.block_on(hostile::main(number("EVENTS", 50)));
        return;
    }
    let (events, runs) = (number("EVENTS", 10_000), number("RUNS", 3));
    let latencies: Vec<u64> = match std::env::var("LATENCIES") {
        Ok(text) => text
            .split(',')
            .map(|part| part.trim().parse().expect("LATENCIES must be milliseconds separated by commas"))
            .collect(),
        Err(_) => vec![0, 100],
    };
    runtime.block_on(async {
        for latency in latencies {
            let scenario = Scenario { events, latency: Duration::from_millis(latency), concurrency: CONCURRENCY };
            report::heading(&scenario, runs);
            // `make bench STORE=postgres` provides it.
            let postgres = std::env::var("HANDOFFD_TEST_POSTGRES_URL").is_ok();
            let programs = ["bare loop", "handoffd", "postgres"].into_iter().take(if postgres { 3 } else { 2 });
            let mut figures: [Vec<Figures>; 3] = Default::default();
            for run in 0..runs {
                for (who, name) in programs.clone().enumerate() {
                    let measured = measure(&scenario, name).await;
                    report::line(run, name, &measured);
                    figures[who].push(measured);
                }
            }
            report::summary(&scenario, &figures);
        }
    });
}

async fn measure(scenario: &Scenario, who: &str) -> Figures {
    let machine = Machine::prepare(scenario).await;
    if who == "postgres" {
        machine.use_postgres().await;
    }
    let command = if who == "bare loop" { machine.bare(&itself()) } else { machine.worker() };
    let figures = machine.run(command, scenario).await;
    machine.clean_up().await;
    figures
}

fn itself() -> PathBuf {
    std::env::current_exe().expect("the path of this program")
}
