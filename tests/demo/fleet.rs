//! `make demo WORKERS=3`: several workers on one PostgreSQL, one of which is killed while events are in progress.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::broker::{Keep, ORGANIZATIONS, Returns};
use crate::dynamics::{Dynamics, get};
use crate::fleet_events::{SESSIONS, all};
use crate::postgres::PrivatePostgres;
use crate::processes::executable;
use crate::stage::Stage;
use crate::{interrupted, kept, say};

/// Names of the workers.
const NAMES: [&str; 6] = ["worker-1", "worker-2", "worker-3", "worker-4", "worker-5", "worker-6"];
/// Worker that is killed.
const VICTIM: &str = NAMES[1];
/// Secret of every tenant, valid only in the simulator.
const SECRET: &str = "fleet-demo-secret";
/// Workers start in well under a second, and agree within a few; a busy machine may take longer.
const AGREEMENT: Duration = Duration::from_secs(45);
/// Limit for all events, with the time of a takeover.
const COMPLETION: Duration = Duration::from_secs(60);

/// Runs the demonstration with this number of workers, and cleans up.
pub async fn demonstrate(project: &Path, workers: Option<String>) -> Result<()> {
    let count = workers.and_then(|text| text.parse().ok()).filter(|count| (2..=NAMES.len()).contains(count));
    let count = count.with_context(|| format!("expected WORKERS to be a number from 2 to {}", NAMES.len()))?;
    let folder = kept::folder(project, Keep::Nothing)?;
    let mut stage = Stage::new(project, &folder)?;
    let result = tokio::select! {
        result = story(&mut stage, &NAMES[..count]) => result,
        problem = interrupted() => Err(problem),
    };
    say("stopping everything and cleaning up");
    stage.clear().await;
    println!("demo: ok: {}", result?);
    Ok(())
}

async fn story(stage: &mut Stage, names: &[&'static str]) -> Result<String> {
    stage.find_broker(Keep::Nothing).await?;
    let postgres = PrivatePostgres::start(&stage.project).await?;
    say(&format!("starting dynamics-simulator with {} organizations, 50 ms an answer", ORGANIZATIONS.len()));
    let dynamics = environments(stage).await?;
    say(&format!("starting {} workers", names.len()));
    let urls = workers(stage, &dynamics, &postgres.url, names).await?;
    let (first, url) = (names[0], urls[names[0]].clone());
    say("waiting until each has its share of the organizations");
    let before = shares(stage, &url, |owners| {
        let counts = names.iter().map(|name| owners.values().filter(|owner| owner == name).count());
        owners.len() == ORGANIZATIONS.len() && counts.clone().max() <= counts.min().map(|fewest| fewest + 1)
    });
    let before = before.await?;

    let broker = stage.broker.as_ref().context("a broker was found")?;
    let returns = Returns::listen(broker).await?;
    let events = all();
    say(&format!(
        "publishing {} events: {SESSIONS} handoffs of each organization, and their resolutions",
        events.len()
    ));
    broker.publish(&events).await?;
    let deadline = Instant::now() + COMPLETION;
    while answered(&returns) < events.len() / 4 {
        stage.wait_a_little("the first outcomes", deadline).await?;
    }
    let orphans: Vec<&String> = before.iter().filter(|(_, owner)| *owner == VICTIM).map(|(name, _)| name).collect();
    stage.processes.kill(VICTIM)?;
    let (killed, done) = (Instant::now(), answered(&returns));
    say(&format!("killed {VICTIM} (SIGKILL) after {done} of {} outcomes; it had {orphans:?}", events.len()));
    let after = shares(stage, &url, |owners| owners.values().all(|owner| owner != VICTIM)).await?;
    let takeover = killed.elapsed().as_secs_f64();
    say(&format!("its organizations have other workers after {takeover:.1} s"));
    while answered(&returns) < events.len() {
        stage.wait_a_little("all outcomes", deadline).await?;
    }
    println!("\n{}", table(&before, &after));
    println!("handoffd workers list, of {first}:\n\n{}", listed(stage, first)?);
    let problems = verify(&dynamics, &returns, &events).await?;
    if !problems.is_empty() {
        bail!("unexpected results:\n  {}", problems.join("\n  "));
    }
    Ok(format!(
        "{} events of {} organizations, {} workers, one killed after {done} outcomes, its organizations taken over in {takeover:.1} s; \
         nothing lost, nothing doubled",
        events.len(),
        ORGANIZATIONS.len(),
        names.len(),
    ))
}

/// Simulates an environment for each organization.
async fn environments(stage: &mut Stage) -> Result<Dynamics> {
    let ready = stage.folder.join("simulator.json");
    let path = ready.display().to_string();
    let environments = ORGANIZATIONS.map(|name| format!("name={name},profile=opencx,secret={SECRET}"));
    let each = environments.iter().flat_map(|environment| ["--environment", environment]);
    let arguments: Vec<&str> = ["--ready-file", &path, "--latency", "50ms"].into_iter().chain(each).collect();
    stage.processes.start("dynamics-simulator", &arguments)?;
    let deadline = Instant::now() + AGREEMENT;
    while !ready.exists() {
        stage.wait_a_little("dynamics-simulator", deadline).await?;
    }
    let dynamics = Dynamics::new(stage.client.clone(), &serde_json::from_slice(&std::fs::read(&ready)?)?);
    for name in ORGANIZATIONS {
        stage.write_organization(&dynamics, name, SECRET)?;
    }
    Ok(dynamics)
}

/// Starts the workers, waits until each is ready, and returns the URLs of their HTTP interfaces.
async fn workers(
    stage: &mut Stage,
    dynamics: &Dynamics,
    store: &str,
    names: &[&'static str],
) -> Result<BTreeMap<&'static str, String>> {
    let mut urls = BTreeMap::new();
    for name in names {
        let url = configure(stage, dynamics, store, name)?;
        let config = config(stage, name);
        stage.processes.start_as(name, "handoffd", &["--config", &config, "run"])?;
        urls.insert(*name, url);
    }
    let deadline = Instant::now() + AGREEMENT;
    for (name, url) in &urls {
        let url = format!("{url}/readyz");
        while !stage.client.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            stage.wait_a_little(name, deadline).await?;
        }
    }
    Ok(urls)
}

fn config(stage: &Stage, name: &str) -> String {
    stage.folder.join(format!("{name}.toml")).display().to_string()
}

fn configure(stage: &Stage, dynamics: &Dynamics, store: &str, name: &str) -> Result<String> {
    let broker = stage.broker.as_ref().context("a broker was found before")?;
    let listen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let folder = stage.folder.display();
    let text = format!(
        r#"# What the demonstration changes; everything else is as in config/handoffd.toml.
{sections}
[dynamics]
authority = "{authority}"
allow_insecure = true
max_concurrency = 4

[store]
kind = "postgres"
url = "{store}"

[fleet]
name = "{name}"
lease = "2s"

[http]
listen = "{listen}"

[organizations]
directory = "{folder}/organizations"
"#,
        sections = broker.names.sections(&broker.url),
        authority = dynamics.environments[ORGANIZATIONS[0]],
    );
    std::fs::write(config(stage, name), text)?;
    Ok(format!("http://{listen}"))
}

/// Waits until the owners of all organizations, as one worker sees them, are as expected.
async fn shares(
    stage: &mut Stage,
    url: &str,
    expected: impl Fn(&BTreeMap<String, String>) -> bool,
) -> Result<BTreeMap<String, String>> {
    let deadline = Instant::now() + AGREEMENT;
    loop {
        let listed = get(&stage.client, &format!("{url}/api/v1/organizations")).await?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let entries = listed.as_array().or_else(|| listed["organizations"].as_array()).into_iter().flatten();
        let owners: BTreeMap<String, String> =
            entries.filter_map(|one| Some((text(&one["organization_id"])?, text(&one["worker"])?))).collect();
        if owners.len() == ORGANIZATIONS.len() && expected(&owners) {
            return Ok(owners);
        }
        stage.wait_a_little("the workers to share the organizations", deadline).await?;
    }
}

/// Number of events that have an outcome.
fn answered(returns: &Returns) -> usize {
    outcomes(returns).len()
}

/// Outcomes of each event as published; copies of one are the same.
fn outcomes(returns: &Returns) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for outcome in returns.outcomes.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let id = outcome["data"]["source_event_id"].as_str().unwrap_or_default().to_owned();
        found.entry(id).or_default().insert(outcome.to_string());
    }
    found
}

/// Compares the outcomes and the records in Dynamics with the events. Returns the deviations.
async fn verify(dynamics: &Dynamics, returns: &Returns, events: &[(String, Value)]) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let found = outcomes(returns);
    for (_, event) in events {
        let id = event["event_id"].as_str().unwrap_or_default();
        match found.get(id).map(|bodies| (bodies.len(), bodies.iter().all(|body| body.contains(".succeeded\"")))) {
            Some((1, true)) => {}
            Some((1, false)) => problems.push(format!("{id}: did not succeed")),
            Some((count, _)) => problems.push(format!("{id}: {count} different outcomes")),
            None => problems.push(format!("{id}: no outcome")),
        }
    }
    let dead = returns.dead.lock().unwrap_or_else(PoisonError::into_inner).len();
    let snapshot = dynamics.snapshot().await?;
    let mut expect = |what: &str, expected: usize, found: usize| {
        if expected != found {
            problems.push(format!("{what}: expected {expected}, found {found}"));
        }
    };
    expect("dead letters", 0, dead);
    for name in ORGANIZATIONS {
        expect(&format!("cases of {name}"), SESSIONS, snapshot.rows(name, "incidents").count());
        let closed = snapshot.rows(name, "incidents").filter(|row| row["statecode"] == 1).count();
        expect(&format!("closed cases of {name}"), SESSIONS, closed);
        expect(&format!("contacts of {name}"), SESSIONS, snapshot.rows(name, "contacts").count());
    }
    Ok(problems)
}

fn table(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> String {
    let line = |name: &str, before: &str, after: &str| format!("  {name:<14}  {before:<10}  {after}\n");
    let mut text = line("organization", "before", "after the kill");
    for (name, owner) in before {
        let now = &after[name];
        text += &line(name, owner, &if now == owner { "same".to_owned() } else { now.clone() });
    }
    text
}

/// Output of `handoffd workers list`.
fn listed(stage: &Stage, name: &str) -> Result<String> {
    let mut command = executable("handoffd")?;
    let output = command.args(["--config", &config(stage, name), "workers", "list"]).output()?;
    let lines = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<String> = lines.lines().map(|line| format!("  {line}")).collect();
    Ok(lines.join("\n") + "\n")
}
