//! `make demo`: runs the real worker between a real broker and a simulated Dynamics 365, and verifies the result.
//!
//! Without arguments it runs everything and cleans up; `--keep` leaves everything running, in `.demo`; `stop` ends
//! that. `--workers N` runs N workers on one PostgreSQL instead, and kills one of them.

#![allow(unreachable_pub, reason = "a program of its own: `pub` is what its other files use")]

mod broker;
mod costs;
mod dynamics;
mod event;
mod fleet;
mod fleet_events;
mod kept;
mod postgres;
mod processes;
mod report;
mod samples;
mod stage;
mod verify;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use broker::{Keep, Returns};
use costs::Costs;
use dynamics::Dynamics;
use event::EventFile;
use samples::{Holds, ROUNDS, Round, Sample};
use stage::Stage;
use verify::Verifier;

/// All rounds together take a few seconds; a busy machine may take longer.
const ROUNDS_LIMIT: Duration = Duration::from_secs(45);
/// Limit for everything else.
const LIMIT: Duration = Duration::from_secs(180);

#[tokio::main]
async fn main() -> ExitCode {
    // Configuration, secrets, logs and stores are their owner's alone, also where they are kept.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let project = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into()));
    let argument = std::env::args().nth(1);
    let result = match argument.as_deref() {
        None => demonstrate(&project, Keep::Nothing).await,
        Some("--keep") => demonstrate(&project, Keep::Running).await,
        Some("--workers") => fleet::demonstrate(&project, std::env::args().nth(2)).await,
        Some("stop") => kept::stop(&project).await,
        Some(other) => {
            Err(anyhow::anyhow!("unknown argument `{other}`; expected none, `--keep`, `--workers` or `stop`"))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            println!("demo: FAILED: {problem:#}");
            ExitCode::FAILURE
        }
    }
}

async fn demonstrate(project: &Path, keep: Keep) -> Result<()> {
    let folder = kept::folder(project, keep)?;
    let mut stage = Stage::new(project, &folder)?;
    let result = tokio::select! {
        result = story(&mut stage, keep) => result,
        problem = interrupted() => Err(problem),
    };
    if keep == Keep::Running && result.is_ok() {
        kept::release(&mut stage)?;
    } else {
        say("stopping everything and cleaning up");
        stage.clear().await;
    }
    let summary = result?;
    println!("demo: ok: {summary}");
    Ok(())
}

/// Runs the demonstration: starts everything, publishes the samples round by round, and verifies the result.
async fn story(stage: &mut Stage, keep: Keep) -> Result<String> {
    let started = Instant::now();
    stage.find_broker(keep).await?;
    say("starting dynamics-simulator: acme (prepared for OpenCX) and globex (Dynamics as installed)");
    let dynamics = stage.play_dynamics().await?;
    say("starting handoffd");
    stage.start_worker(&dynamics).await?;
    let broker = stage.broker.as_ref().context("a broker was found")?;
    let returns = Returns::listen(broker).await?;
    let files = read_files(&stage.project)?;
    let deadline = Instant::now() + ROUNDS_LIMIT;
    let mut course = Course { dynamics: &dynamics, files: &files, returns: &returns, published: Vec::new(), deadline };
    let mut problems = Vec::new();
    for round in ROUNDS {
        problems.extend(course.perform(round, stage).await?);
    }
    let events = course.published.len();
    let snapshot = dynamics.snapshot().await?;
    let outcomes = returns.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let costs = Costs::find(stage, &files, &snapshot, &outcomes).await?;
    let mut verifier = Verifier::new(&files, &snapshot, &returns, &costs);
    let findings = verifier.samples();
    verifier.totals();
    println!("\n{}", report::table(&findings));
    println!("Skipped or dead-lettered, with reasons:\n\n{}", report::reasons(&findings));
    if keep == Keep::Running {
        println!("Still running:\n\n{}\n", stage.addresses(&dynamics));
    }
    problems.extend(verifier.problems);
    if !problems.is_empty() {
        bail!("unexpected results:\n  {}", problems.join("\n  "));
    }
    let requests = snapshot.requests.len();
    let seconds = started.elapsed().as_secs_f64();
    Ok(format!("{events} events, {requests} requests to Dynamics, everything as expected, {seconds:.1} s"))
}

/// Progress of the samples.
struct Course<'a> {
    dynamics: &'a Dynamics,
    files: &'a BTreeMap<&'static str, EventFile>,
    returns: &'a Returns,
    published: Vec<Sample>,
    deadline: Instant,
}

impl Course<'_> {
    /// Publishes a round's events and waits for their results. Returns a problem if the number of requests differs from
    /// the expected one.
    async fn perform(&mut self, round: &Round, stage: &mut Stage) -> Result<Option<String>> {
        let Round { title, faults, samples } = round;
        say(&format!("publishing {} events: {title}", samples.len()));
        let before = self.dynamics.count().await?;
        for (environment, script) in faults() {
            self.dynamics.fail(environment, &script).await?;
        }
        let chosen: Vec<&EventFile> = samples.iter().map(|sample| &self.files[sample.name]).collect();
        stage.publish(&chosen)?;
        self.published.extend(*samples);
        while let Some(missing) = self.missing() {
            stage.wait_a_little(&format!("the outcome of {missing}"), self.deadline).await?;
        }
        let expected: usize = samples.iter().map(|sample| sample.requests).sum();
        let found = self.dynamics.count().await? - before;
        Ok((found != expected).then(|| format!("{title}: requests to Dynamics: expected {expected}, found {found}")))
    }

    /// Returns a sample whose outcomes, or dead letter if required, have not all arrived.
    fn missing(&self) -> Option<&'static str> {
        let outcomes = self.returns.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let dead = self.returns.dead.lock().unwrap_or_else(PoisonError::into_inner);
        let is_missing = |sample: &&Sample| {
            let file = &self.files[sample.name];
            let is_copy = |other: &&Sample| file.id.is_some() && self.files[other.name].id == file.id;
            let times = self.published.iter().filter(is_copy).count();
            let announced = outcomes.iter().filter(|outcome| file.is_source_of(outcome)).count();
            let buried = sample.holds != Holds::DeadLetter || dead.iter().any(|letter| letter.body == file.body);
            (file.is_readable() && announced < times.max(1)) || !buried
        };
        self.published.iter().find(is_missing).map(|sample| sample.name)
    }
}

fn read_files(project: &Path) -> Result<BTreeMap<&'static str, EventFile>> {
    let names = ROUNDS.iter().flat_map(|round| round.samples).map(|sample| sample.name);
    names.map(|name| Ok((name, EventFile::read(project, name)?))).collect()
}

/// Waits for a signal, or until the demonstration has taken too long.
async fn interrupted() -> anyhow::Error {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return anyhow::anyhow!("cannot listen for signals");
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = tokio::time::sleep(LIMIT) => return anyhow::anyhow!("timed out"),
    }
    anyhow::anyhow!("interrupted")
}

/// Prints a line of progress.
pub fn say(text: &str) {
    println!("demo: {text}");
}
