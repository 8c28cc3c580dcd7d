//! What an organization's trouble costs another one. Run by hand: `make fairness`.
//!
//! 2,000 handoffs of one organization, which is throttled, hangs or is merely slow, lie on the queue before 200 of another
//! one. How much longer do those 200 take than alone? Counted from the worker's first request to the last of their cases.

use std::time::Duration;

use serde_json::{Value, json};

use super::CONCURRENCY;
use super::events::{ORGANIZATION, TROUBLED, handoff_of};
use super::machine::Machine;
use super::report::{Scenario, median_of};

/// What they may take at most, in times of what they take alone (the project's own aim).
const AIM: f64 = 1.5;

/// Measures and prints; `troubled` and `measured`: how many events of each.
pub async fn main(troubled: u64, measured: u64, runs: u64, latency: Duration) {
    println!(
        "{troubled} handoffs of an organization in trouble before {measured} of another, {latency:?} an answer, {runs} runs"
    );
    let alone = times(runs, 0, measured, latency, None).await;
    report("alone", &alone, None);
    let faults = [
        ("behind 429, Retry-After 5", json!({ "status": 429, "code": "0x80072322", "retry_after": 5 })),
        ("behind a hang", json!("hang")),
    ];
    for (name, fault) in faults {
        let behind = times(runs, troubled, measured, latency, Some(&fault)).await;
        report(name, &behind, Some(&alone));
    }
}

async fn times(runs: u64, troubled: u64, measured: u64, latency: Duration, fault: Option<&Value>) -> Vec<f64> {
    let mut times = Vec::new();
    for _ in 0..runs {
        let scenario = Scenario { events: troubled + measured, latency, concurrency: CONCURRENCY };
        let theirs = (0..troubled).map(|n| handoff_of(TROUBLED, n));
        let ours = (0..measured).map(|n| handoff_of(ORGANIZATION, n));
        let machine = Machine::prepare_with(&scenario, theirs.chain(ours)).await;
        if let Some(fault) = fault {
            machine.fault(&json!({ "operation": "*", "containing": TROUBLED, "times": null, "fault": fault })).await;
        }
        times.push(machine.time_to(measured, machine.worker()).await.as_secs_f64());
        machine.clean_up().await;
    }
    times
}

fn report(name: &str, times: &[f64], alone: Option<&[f64]>) {
    let each: Vec<String> = times.iter().map(|time| format!("{time:.2}")).collect();
    let median = median_of(times);
    let ratio = alone.map(|alone| median / median_of(alone));
    let ratio = ratio.map_or_else(String::new, |ratio| format!(", {ratio:.2} times (at most {AIM})"));
    println!("  {name:<28} {} s, median {median:.2} s{ratio}", each.join(" "));
}
