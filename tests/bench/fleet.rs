//! Several workers on PostgreSQL beside one. Run manually: `make fleet`.
//!
//! Dynamics limits each organization, so a worker's rate is the sum of its organizations'. The benchmark compares one
//! worker that carries one organization, one that carries three, and three that carry one each, by the time between the
//! first and the last outcome of the same number of events for each organization.

use std::time::{Duration, Instant};

use super::CONCURRENCY;
use super::events::{ORGANIZATION, TROUBLED, mixed};
use super::machine::Machine;
use super::process::{self, Running};
use super::report::{Scenario, median_of};

/// Organization beside the two of every machine.
const THIRD: &str = "org_third";
/// Limit on the spread of organizations over the workers; contract 11 allows 30 s.
const SPREAD_LIMIT: Duration = Duration::from_secs(60);

/// Workers and the organizations that have events.
struct Setting {
    workers: usize,
    organizations: &'static [&'static str],
}

const SETTINGS: [Setting; 3] = [
    Setting { workers: 1, organizations: &[ORGANIZATION] },
    Setting { workers: 1, organizations: &[ORGANIZATION, TROUBLED, THIRD] },
    Setting { workers: 3, organizations: &[ORGANIZATION, TROUBLED, THIRD] },
];

/// Measures and prints. `events` is the number for each organization.
pub async fn main(events: u64, runs: u64, latency: Duration) {
    println!(
        "{events} handoffs for each organization, latency {latency:?}, {runs} runs, medians; worst run in brackets"
    );
    let mut first = None;
    for setting in SETTINGS {
        let (mut rates, mut cpu) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            let (rate, of_each) = measure(&setting, events, latency).await;
            rates.push(rate);
            cpu.push(of_each);
        }
        let rate = median_of(&rates);
        let worst = rates.iter().copied().fold(f64::INFINITY, f64::min);
        println!(
            "{} worker(s), {} organization(s): {rate:.0} events/s ({worst:.0}), {:.2} x the first, {:.3} ms CPU/event",
            setting.workers,
            setting.organizations.len(),
            rate / *first.get_or_insert(rate),
            median_of(&cpu)
        );
    }
}

/// Returns events per second and milliseconds of the workers' processor time for each event.
#[allow(clippy::cast_precision_loss)] // event counts are far below 2^52
async fn measure(setting: &Setting, events: u64, latency: Duration) -> (f64, f64) {
    let mut machine = Machine::set_up(&Scenario { events, latency, concurrency: CONCURRENCY }).await;
    machine.add_organization(THIRD, false);
    machine.use_postgres().await;
    let mut workers: Vec<Running> = Vec::new();
    for nth in 0..setting.workers {
        workers.push(machine.start(&format!("worker-{nth}")));
    }
    for (nth, worker) in workers.iter_mut().enumerate() {
        let address = machine.address(&format!("worker-{nth}"), worker).await;
        owns(&address, 3 / setting.workers).await;
    }
    let spent = || workers.iter().map(|worker| process::cpu(worker.pid())).sum::<Duration>();
    let before = spent();
    let bodies: Vec<Vec<u8>> = (0..events)
        .flat_map(|n| setting.organizations.iter().map(move |organization| mixed(organization, n)))
        .collect();
    let all = bodies.len() as f64;
    let elapsed = machine.time_between_outcomes(setting.organizations, bodies).await;
    let cpu = spent().saturating_sub(before);
    drop(workers);
    machine.clean_up().await;
    (all / elapsed.as_secs_f64(), cpu.as_secs_f64() * 1000.0 / all)
}

/// Waits until a worker owns this number of organizations.
async fn owns(address: &str, count: usize) {
    let deadline = Instant::now() + SPREAD_LIMIT;
    loop {
        let answer = reqwest::get(format!("http://{address}/metrics")).await.expect("the metrics");
        let text = answer.text().await.expect("text");
        if text.lines().any(|line| line == format!("handoffd_organizations_owned {count}")) {
            return;
        }
        assert!(Instant::now() < deadline, "a worker has not {count} organizations: {text}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
