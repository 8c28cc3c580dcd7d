//! Formats figures and their ratios.
#![allow(clippy::cast_precision_loss)] // event counts are far below 2^52

use std::time::Duration;

/// Scenario of a measurement.
pub struct Scenario {
    /// Number of events in the queue.
    pub events: u64,
    /// Latency of the simulator's responses.
    pub latency: Duration,
    /// Maximum number of concurrent requests.
    pub concurrency: usize,
}

/// Results of one run.
#[derive(Clone, Copy)]
pub struct Figures {
    /// Time from the first incident to the last.
    pub elapsed: Duration,
    /// CPU time of the process alone.
    pub cpu: Duration,
    /// Peak resident memory.
    pub peak_megabytes: f64,
    /// Number of events.
    pub events: u64,
}

impl Figures {
    fn per_second(&self) -> f64 {
        self.events as f64 / self.elapsed.as_secs_f64()
    }

    fn cpu_per_event(&self) -> f64 {
        self.cpu.as_secs_f64() * 1000.0 / self.events as f64
    }
}

pub fn heading(scenario: &Scenario, runs: u64) {
    println!(
        "\n{} handoffs of new customers, simulator latency {} ms, {} concurrent requests, {runs} runs",
        scenario.events,
        scenario.latency.as_millis(),
        scenario.concurrency
    );
}

pub fn line(run: u64, name: &str, figures: &Figures) {
    println!(
        "  run {}  {name:<10} {:>8.0} events/s  {:>6.3} ms CPU/event  {:>5.1} MB",
        run + 1,
        figures.per_second(),
        figures.cpu_per_event(),
        figures.peak_megabytes
    );
}

/// Prints medians, and compares the worker with the bare loop, with itself on PostgreSQL if that was measured, and with
/// the maximum that the latency allows.
pub fn summary(scenario: &Scenario, [bare, worker, postgres]: &[Vec<Figures>; 3]) {
    let (rate, cpu) = (Figures::per_second as fn(&Figures) -> f64, Figures::cpu_per_event as fn(&Figures) -> f64);
    let (bare_rate, worker_rate) = (median(bare, rate), median(worker, rate));
    println!(
        "  median events/s   bare loop {bare_rate:.0}, handoffd {worker_rate:.0}: ratio {:.2}",
        worker_rate / bare_rate
    );
    let (bare_cpu, worker_cpu) = (median(bare, cpu), median(worker, cpu));
    println!(
        "  median CPU/event  bare loop {bare_cpu:.3} ms, handoffd {worker_cpu:.3} ms: ratio {:.2}",
        worker_cpu / bare_cpu
    );
    if !scenario.latency.is_zero() {
        // Each event takes three requests in sequence.
        let allowed = scenario.concurrency as f64 / (3.0 * scenario.latency.as_secs_f64());
        println!(
            "  {} concurrent requests allow {allowed:.0} events/s; handoffd reaches {:.2} of that",
            scenario.concurrency,
            worker_rate / allowed
        );
    }
    if !postgres.is_empty() {
        println!(
            "  on PostgreSQL     {:.0} events/s, {:.3} ms CPU/event without PostgreSQL's own",
            median(postgres, rate),
            median(postgres, cpu)
        );
    }
    let peak = worker.iter().map(|figures| figures.peak_megabytes).fold(0.0, f64::max);
    println!("  peak memory of handoffd {peak:.1} MB");
}

fn median(figures: &[Figures], of: fn(&Figures) -> f64) -> f64 {
    median_of(&figures.iter().map(of).collect::<Vec<_>>())
}

/// Median of the values.
pub fn median_of(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
