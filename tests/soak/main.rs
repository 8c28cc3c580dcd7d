//! `make soak`: runs the real worker under every kind of failure, for minutes or hours, and checks every event at the
//! end.
//!
//! A private RabbitMQ and a simulated Dynamics of three organizations run, with some 5 % faults of every kind, and one
//! organization always in trouble; the worker is killed every few seconds, the broker occasionally. Meanwhile events
//! are published, with copies, resolutions and returning customers. Then all trouble ends, everything drains, and each
//! event is checked: lost must be 0, duplicated must be 0. `MINUTES`, `RATE` (events per second), `SEED`, `WORKERS` and
//! `ORGANIZATIONS` are read from the environment. Several workers share a private PostgreSQL, which fails too; they are
//! also suspended, and each change of an owner is measured.

#![allow(unreachable_pub, reason = "a program of its own: `pub` is what its other files use")]

mod chaos;
mod crm;
mod fleet_chaos;
mod ledger;
mod limit_watch;
mod owner_watch;
mod report;
mod retry_after;
mod sessions;
mod stage;
#[path = "../it/support/mod.rs"]
#[allow(dead_code, unused_imports)] // used only by the integration tests
mod support;
mod traffic;
mod verdict;
mod wire;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use chaos::Chaos;
use ledger::Ledger;
use stage::Stage;
use traffic::Traffic;

/// Time limit after the trouble ends: the longest retry delay, a broker's restart, and a busy machine.
const DRAIN_LIMIT: Duration = Duration::from_secs(300);
/// Interval of progress lines.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    // `cargo test` passes arguments; this program takes none.
    let minutes = number("MINUTES", 10.0);
    let rate = number("RATE", 25.0);
    let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random::<u32>);
    let workers = std::env::var("WORKERS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    println!("soak: {minutes} min, {rate} events/s, WORKERS={workers}, SEED={seed}");
    tokio::select! {
        passed = soak(Duration::from_secs_f64(minutes * 60.0), (rate, workers), seed.into()) => passed,
        () = interrupted() => {
            println!("soak: interrupted");
            ExitCode::FAILURE
        }
    }
}

/// Runs the soak test: starts everything, publishes events under failures, ends the failures and checks the ledger.
async fn soak(length: Duration, (rate, workers): (f64, usize), seed: u64) -> ExitCode {
    let mut dice = SmallRng::seed_from_u64(seed);
    let stage = Arc::new(Stage::set(&mut dice, workers).await);
    let ledger = Arc::new(Ledger::default());
    let started = Instant::now();
    let (over, closing) = (CancellationToken::new(), CancellationToken::new());

    let traffic = Traffic::new(dice.random(), rate);
    let publishing = tokio::spawn(traffic.flow(stage.clone(), ledger.clone(), over.clone()));
    let collecting = tokio::spawn(wire::collect(stage.clone(), ledger.clone(), closing.clone()));
    let watching = tokio::spawn(stage.owners.clone().watch(stage.clone(), closing.clone()));
    let limits = tokio::spawn(limit_watch::watch(stage.clone(), closing.clone()));
    let chaos = Chaos::begin(&stage, dice.random(), &over);
    let mut reporting = tokio::time::interval(PROGRESS_INTERVAL);
    while started.elapsed() < length {
        tokio::select! {
            _ = reporting.tick() => report::progress(started, &stage, &ledger).await,
            () = tokio::time::sleep(length.saturating_sub(started.elapsed())) => {}
        }
    }
    over.cancel();
    publishing.await.expect("the publisher does not panic");
    chaos.end().await;
    println!("soak: failures ended, draining");
    let drained = drain(started, &stage, &ledger).await;
    closing.cancel();
    collecting.await.expect("the collector does not panic");
    watching.await.expect("the watch does not panic");
    let above = limits.await.expect("the watch does not panic");
    // The running worker browses the dead letters for those of the broker, and holds what it browses.
    stage.stop_workers().await;
    let dead = wire::dead_letters(&stage).await;
    let mut verdict = verdict::Verdict::find(&ledger, &dead, &stage);
    verdict.wrong.extend(sessions::check(&ledger, &stage.crm));
    verdict.wrong.extend(retry_after::check(&stage));
    verdict.wrong.extend(above);
    report::summary(started.elapsed(), seed, &stage, &ledger, &verdict).await;
    if verdict.is_clean() && drained {
        println!("soak: ok: lost 0, duplicated 0");
        return ExitCode::SUCCESS;
    }
    let unread = if drained { "" } else { "; the queues were not drained in time" };
    println!("soak: FAILED: see above{unread}");
    stage.keep_logs()
}

/// Waits until every event has an outcome and every queue is empty; returns false at the time limit.
async fn drain(started: Instant, stage: &Stage, ledger: &Ledger) -> bool {
    let end = Instant::now() + DRAIN_LIMIT;
    let mut reported = Instant::now();
    while Instant::now() < end {
        if ledger.unanswered() == 0 && wire::unfinished(stage).await == Some(0) && stage.nothing_in_hand().await {
            return true;
        }
        if reported.elapsed() >= PROGRESS_INTERVAL {
            reported = Instant::now();
            report::progress(started, stage, ledger).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    false
}

fn number(name: &str, default: f64) -> f64 {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name}={text}: expected a number"))
}

async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
