//! Prints progress and the report.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::ledger::Ledger;
use crate::stage::Stage;
use crate::verdict::Verdict;
use crate::wire;

/// Number of problems shown of each list.
const SHOWN: usize = 10;

/// Prints a line of progress.
pub async fn progress(started: Instant, stage: &Stage, ledger: &Ledger) {
    let [events, messages, outcomes] = ledger.totals();
    let waiting = wire::unfinished(stage).await.map_or("?".to_owned(), |count| count.to_string());
    println!(
        "soak: {:>5} s  {events:>6} events, {messages:>6} messages, {outcomes:>6} outcomes, {:>5} unanswered, {waiting:>5} waiting, \
         {:>6} records, {:>4} worker ends, {:>2} broker ends, {:>6} faults",
        started.elapsed().as_secs(),
        ledger.unanswered(),
        stage.crm.records(),
        told(&stage.counts.kills) + told(&stage.counts.stops) + told(&stage.counts.freezes),
        told(&stage.counts.broker_kills) + told(&stage.counts.broker_stops),
        stage.crm.faults().await,
    );
}

/// Prints the report.
pub async fn summary(took: Duration, seed: u64, stage: &Stage, ledger: &Ledger, verdict: &Verdict) {
    let [events, messages, outcomes] = ledger.totals();
    let counts = &stage.counts;
    let mut lines = vec![
        ("SEED", seed.to_string()),
        ("time", format!("{} s", took.as_secs())),
        ("events", format!("{events}, in {messages} messages (including copies)")),
        ("publishes repeated, broker down", told(&counts.repeated).to_string()),
        ("worker: SIGKILL", told(&counts.kills).to_string()),
        ("worker: SIGTERM", told(&counts.stops).to_string()),
        ("worker: SIGSTOP, then SIGCONT", told(&counts.freezes).to_string()),
        ("PostgreSQL: SIGKILL", told(&counts.postgres_kills).to_string()),
        ("PostgreSQL: stopped", told(&counts.postgres_stops).to_string()),
        ("broker: SIGKILL", told(&counts.broker_kills).to_string()),
        ("broker: stopped", told(&counts.broker_stops).to_string()),
        ("faults injected", stage.crm.faults().await.to_string()),
        ("outcomes", outcomes.to_string()),
    ];
    let listed = |what: &str, count: usize| (format!("  {what}"), count.to_string());
    let mut details: Vec<(String, String)> = Vec::new();
    details.extend(verdict.ends.iter().map(|(end, count)| listed(end, *count)));
    details.push(("records in Dynamics".to_owned(), String::new()));
    details.extend(verdict.rows.iter().map(|(table, count)| listed(table, *count)));
    details.push(("dead letters".to_owned(), format!("({} of them second ones of an event)", verdict.dead_again)));
    details.extend(verdict.dead.iter().map(|(reason, count)| listed(reason, *count)));
    println!("\nsoak: report");
    for (what, how_many) in lines.drain(..).map(|(what, text)| (what.to_owned(), text)).chain(details) {
        println!("  {what:<58} {how_many}");
    }
    stage.owners.report();
    for (what, problems) in [("lost", &verdict.lost), ("duplicated", &verdict.doubled), ("wrong", &verdict.wrong)] {
        println!("  {what:<58} {}", problems.len());
        for problem in problems.iter().take(SHOWN) {
            println!("    {}", problem.chars().take(1500).collect::<String>());
        }
    }
}

fn told(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
