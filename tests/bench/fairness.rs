//! Effect of one organization's trouble on another. Run manually: `make fairness`.
//!
//! 2,000 handoffs of one organization, which is throttled, hangs, is blocked or is merely slow, are in the inbox before
//! 200 of another one; then the worker starts. The benchmark compares the time of those 200 with their time alone, from
//! the worker's first request to the last of their outcomes.

use std::time::Duration;

use serde_json::{Value, json};

use super::CONCURRENCY;
use super::events::{ORGANIZATION, TROUBLED, mixed};
use super::machine::Machine;
use super::report::{Scenario, median_of};

/// Maximum ratio to the time alone (the project's own target).
const AIM: f64 = 1.3;

/// Size of the benchmark.
#[derive(Clone, Copy)]
pub struct Extent {
    /// Events of the troubled organization.
    pub troubled: u64,
    /// Events of the measured organization.
    pub measured: u64,
    /// Number of runs.
    pub runs: u64,
    /// Latency of the simulator's responses.
    pub latency: Duration,
}

/// Kind of trouble of the troubled organization.
enum Trouble {
    /// Fault in response to every request for data.
    Fault(Value),
    /// Setting of its environment.
    Setting(Value),
}

/// Measures and prints.
pub async fn main(extent: Extent) {
    let Extent { troubled, measured, runs, latency } = extent;
    println!(
        "{troubled} handoffs of a troubled organization before {measured} of another, latency {latency:?}, {runs} runs"
    );
    let alone = times(extent, None).await;
    report("alone", &alone, None);
    for (name, trouble) in troubles() {
        let behind = times(extent, Some(&trouble)).await;
        report(name, &behind, Some(&alone));
    }
}

fn troubles() -> [(&'static str, Trouble); 4] {
    let throttled = json!({ "status": 429, "code": "0x80072322", "retry_after": 5 });
    [
        ("behind 429, Retry-After 5", Trouble::Fault(throttled)),
        ("behind hanging requests", Trouble::Fault(json!("hang"))),
        ("behind an expired secret", Trouble::Setting(json!({ "secret": "expired" }))),
        ("behind 100 ms latency", Trouble::Setting(json!({ "latency_ms": 100 }))),
    ]
}

async fn times(extent: Extent, trouble: Option<&Trouble>) -> Vec<f64> {
    let mut times = Vec::new();
    for _ in 0..extent.runs {
        let troubled = if trouble.is_some() { extent.troubled } else { 0 };
        let events = troubled + extent.measured;
        let machine = Machine::set_up(&Scenario { events, latency: extent.latency, concurrency: CONCURRENCY }).await;
        match trouble {
            Some(Trouble::Fault(fault)) => machine.trouble(fault).await,
            Some(Trouble::Setting(setting)) => machine.switch(setting).await,
            None => {}
        }
        machine.publish((0..troubled).map(|n| mixed(TROUBLED, n))).await;
        machine.publish((0..extent.measured).map(|n| mixed(ORGANIZATION, n))).await;
        times.push(machine.time_to(ORGANIZATION, extent.measured).await.as_secs_f64());
        machine.clean_up().await;
    }
    times
}

fn report(name: &str, times: &[f64], alone: Option<&[f64]>) {
    let each: Vec<String> = times.iter().map(|time| format!("{time:.2}")).collect();
    let median = median_of(times);
    let ratio = alone.map(|alone| median / median_of(alone));
    let ratio = ratio.map_or_else(String::new, |ratio| format!(", ratio {ratio:.2} (limit {AIM})"));
    println!("  {name:<28} {} s, median {median:.2} s{ratio}", each.join(" "));
}
