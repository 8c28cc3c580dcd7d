//! `make demo`: the real worker between a real broker and a simulated Dynamics 365, shown and verified.
//!
//! Without arguments it shows everything and cleans up; `--keep` leaves all running, in `.demo`; `stop` ends that.

mod broker;
mod costs;
mod dynamics;
mod event;
mod kept;
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

/// A round takes a second or two; a busy machine may take longer. The whole stays within a minute.
const ROUND_LIMIT: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> ExitCode {
    let project = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into()));
    let argument = std::env::args().nth(1);
    let result = match argument.as_deref() {
        None => demonstrate(&project, Keep::Nothing).await,
        Some("--keep") => demonstrate(&project, Keep::Running).await,
        Some("stop") => kept::stop(&project).await,
        Some(other) => Err(anyhow::anyhow!("`{other}`: expected nothing, `--keep` or `stop`")),
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
    match (keep, &result) {
        (Keep::Running, Ok(_)) => kept::release(&mut stage)?,
        _ => {
            say("stopping everything, removing what it left");
            stage.clear().await;
        }
    }
    let summary = result?;
    println!("demo: ok: {summary}");
    Ok(())
}

/// THE STORY: everything is started, the samples go their way round by round, all that came of it is verified.
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
    let mut published = Vec::new();
    let mut problems = Vec::new();
    for round in ROUNDS {
        problems.extend(perform(stage, &dynamics, round, &files, &mut published, &returns).await?);
    }
    let snapshot = dynamics.snapshot().await?;
    let outcomes = returns.outcomes.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let costs = Costs::find(stage, &files, &snapshot, &outcomes).await?;
    let mut verifier = Verifier::new(&files, &snapshot, &returns, &costs);
    let findings = verifier.samples();
    verifier.totals();
    println!("\n{}", report::table(&findings));
    println!("Skipped or dead-lettered, and why:\n\n{}", report::reasons(&findings));
    if keep == Keep::Running {
        println!("Left running:\n\n{}\n", stage.addresses(&dynamics));
    }
    problems.extend(verifier.problems);
    if !problems.is_empty() {
        bail!("not as expected:\n  {}", problems.join("\n  "));
    }
    let (events, requests) = (published.len(), snapshot.requests.len());
    let seconds = started.elapsed().as_secs_f64();
    Ok(format!("{events} events, {requests} requests to Dynamics, everything as expected, {seconds:.1} s"))
}

/// Publishes a round's events and waits for what has to come back; a problem when that took other requests than expected.
async fn perform(
    stage: &mut Stage,
    dynamics: &Dynamics,
    round: &Round,
    files: &BTreeMap<&'static str, EventFile>,
    published: &mut Vec<Sample>,
    returns: &Returns,
) -> Result<Option<String>> {
    say(&format!("publishing {} events: {}", round.samples.len(), round.title));
    let before = dynamics.count().await?;
    for (environment, script) in (round.faults)() {
        dynamics.fail(environment, &script).await?;
    }
    let chosen: Vec<&EventFile> = round.samples.iter().map(|sample| &files[sample.name]).collect();
    stage.publish(&chosen)?;
    published.extend(round.samples);
    let deadline = Instant::now() + ROUND_LIMIT;
    while let Some(missing) = missing(published, files, returns) {
        stage.wait_a_little(&format!("the outcome of {missing}"), deadline).await?;
    }
    let expected: usize = round.samples.iter().map(|sample| sample.requests).sum();
    let found = dynamics.count().await? - before;
    let (title, is_right) = (round.title, found == expected);
    Ok((!is_right).then(|| format!("{title}: requests to Dynamics: expected {expected}, found {found}")))
}

/// A sample that has not come back as often as it was published, as an outcome and, where it must be, as a dead letter.
fn missing(published: &[Sample], files: &BTreeMap<&'static str, EventFile>, returns: &Returns) -> Option<&'static str> {
    let outcomes = returns.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
    let dead = returns.dead.lock().unwrap_or_else(PoisonError::into_inner);
    let is_missing = |sample: &&Sample| {
        let file = &files[sample.name];
        let times = published.iter().filter(|other| file.id.is_some() && files[other.name].id == file.id).count();
        let announced = outcomes.iter().filter(|outcome| file.is_source_of(outcome)).count();
        let buried = sample.holds != Holds::DeadLetter || dead.iter().any(|letter| letter.body == file.body);
        (file.is_readable() && announced < times.max(1)) || !buried
    };
    published.iter().find(is_missing).map(|sample| sample.name)
}

fn read_files(project: &Path) -> Result<BTreeMap<&'static str, EventFile>> {
    let names = ROUNDS.iter().flat_map(|round| round.samples).map(|sample| sample.name);
    names.map(|name| Ok((name, EventFile::read(project, name)?))).collect()
}

async fn interrupted() -> anyhow::Error {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return anyhow::anyhow!("cannot listen for signals");
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = tokio::time::sleep(LIMIT * 3) => return anyhow::anyhow!("it took far too long"),
    }
    anyhow::anyhow!("interrupted")
}

/// A line about what happens now.
pub fn say(text: &str) {
    println!("demo: {text}");
}
