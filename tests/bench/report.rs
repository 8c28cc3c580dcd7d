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
    /// Time from the start of the process to the first incident.
    pub start: Duration,
    /// Time from the first incident to the last.
    pub elapsed: Duration,
    /// CPU time of the process alone.
    pub cpu: Duration,
    /// Peak resident memory.
    pub peak_megabytes: f64,
    /// Number of events.
    pub events: u64,
}

/// Program that is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Same libraries without any guarantee.
    Bare,
    /// Same libraries and the worker's durability, nothing else.
    Minimum,
    /// The minimum with no more events of the organization in hand than the contract (5) allows the worker.
    Limited,
    /// Worker on the embedded store.
    Worker,
    /// Worker on PostgreSQL, whose own processor time is not counted.
    Postgres,
}

impl Program {
    pub const ALL: [Self; 5] = [Self::Bare, Self::Minimum, Self::Limited, Self::Worker, Self::Postgres];

    pub fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare loop",
            Self::Minimum => "minimum",
            Self::Limited => "limited",
            Self::Worker => "handoffd",
            Self::Postgres => "postgres",
        }
    }
}

/// Runs of one program in one scenario.
pub struct Row {
    /// Program.
    pub program: Program,
    /// Results, one for each run.
    pub runs: Vec<Figures>,
    events: u64,
    latency: Duration,
    concurrency: usize,
}

impl Row {
    pub fn new(program: Program, scenario: &Scenario) -> Self {
        let Scenario { events, latency, concurrency } = *scenario;
        Self { program, runs: Vec::new(), events, latency, concurrency }
    }

    fn is_beside(&self, other: &Self) -> bool {
        (self.events, self.latency) == (other.events, other.latency)
    }
}

impl Figures {
    fn per_second(&self) -> f64 {
        self.events as f64 / self.elapsed.as_secs_f64()
    }

    fn cpu_per_event(&self) -> f64 {
        self.cpu.as_secs_f64() * 1000.0 / self.events as f64
    }
}

pub fn heading(scenario: &Scenario, (runs, keys): (u64, u64)) {
    println!(
        "\n{} handoffs of new customers, simulator latency {} ms, {} concurrent requests, {keys} remembered events, {runs} runs",
        scenario.events,
        scenario.latency.as_millis(),
        scenario.concurrency
    );
}

pub fn line(run: u64, program: Program, figures: &Figures) {
    println!(
        "  run {}  {:<10} {:>5} ms to the first  {:>8.0} events/s  {:>6.3} ms CPU/event  {:>5.1} MB",
        run + 1,
        program.name(),
        figures.start.as_millis(),
        figures.per_second(),
        figures.cpu_per_event(),
        figures.peak_megabytes
    );
}

/// Formats the medians of all rows, with their ratios to the bare loop and to the engineered minimum of the same
/// scenario, and to what the places allow: each event takes three requests in sequence.
pub fn table(rows: &[Row]) -> String {
    let mut lines = vec![format!(
        "{:>9} {:>6}  {:<10} {:>8} {:>8} {:>6} {:>8} {:>8}   {:>8} {:>6} {:>8}   {:>6}",
        "events",
        "answer",
        "program",
        "ms start",
        "events/s",
        "/ bare",
        "/minimum",
        "/allowed",
        "ms CPU",
        "/ bare",
        "/minimum",
        "MB"
    )];
    for row in rows {
        let of = |program| rows.iter().find(|other| other.program == program && other.is_beside(row));
        let (rate, cpu) = (median(&row.runs, Figures::per_second), median(&row.runs, Figures::cpu_per_event));
        let against = |program, figure: fn(&Figures) -> f64, own: f64| {
            of(program).map_or_else(String::new, |other| format!("{:.2}", own / median(&other.runs, figure)))
        };
        let allowed = row.concurrency as f64 / (3.0 * row.latency.as_secs_f64());
        lines.push(format!(
            "{:>9} {:>3} ms  {:<10} {:>8.0} {rate:>8.0} {:>6} {:>8} {:>8}   {cpu:>8.3} {:>6} {:>8}   {:>6.1}",
            row.events,
            row.latency.as_millis(),
            row.program.name(),
            median(&row.runs, |figures| figures.start.as_secs_f64() * 1000.0),
            against(Program::Bare, Figures::per_second, rate),
            against(Program::Minimum, Figures::per_second, rate),
            if row.latency.is_zero() { String::new() } else { format!("{:.2}", rate / allowed) },
            against(Program::Bare, Figures::cpu_per_event, cpu),
            against(Program::Minimum, Figures::cpu_per_event, cpu),
            row.runs.iter().map(|figures| figures.peak_megabytes).fold(0.0, f64::max),
        ));
    }
    lines.join("\n")
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
