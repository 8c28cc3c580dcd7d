//! `dynamics-simulator`: simulates Dynamics 365 and Entra ID for trials and tests.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use dynamics_simulator::{EnvironmentOptions, Running, SimulatorOptions};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// Simulates Dynamics 365 (Dataverse's Web API) and Entra ID's token endpoint, strictly, with latency and faults on request.
///
/// Each environment has its own listener at http://<listen>. Every listener issues tokens for all environments, at
/// /<tenant>/oauth2/v2.0/token. Rows, requests, faults and switches are read and set under /_simulator/ (no token); see
/// docs/SIMULATOR.md.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct SimulatorArguments {
    /// Environment to simulate, as key=value,…; repeatable.
    ///
    /// name (required) · profile: opencx (default; accepts everything that handoffd sends) or stock (Dynamics as installed) · listen:
    /// address (default 127.0.0.1:0, a free port) · url: URL that clients use, unless it is http://<listen> · tenant, client,
    /// secret: credentials that Entra ID accepts (defaults: the ids of the example organization, `simulator-secret`) · owner,
    /// queue, account, subject, workstream: id of a row that exists from the start; repeatable (default: those of the
    /// example organization)
    #[arg(long = "environment", value_name = "KEY=VALUE,…", required = true)]
    environments: Vec<EnvironmentOptions>,

    /// Latency of each answer (20ms, 1s).
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = milliseconds)]
    latency: u64,

    /// Lifetime of a token (3599s, 1h).
    #[arg(long, value_name = "DURATION", default_value = "3599s", value_parser = milliseconds)]
    token_lifetime: u64,

    /// Number of requests kept in the journal; counters stay exact.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    journal: usize,

    /// Print the environments as one JSON array instead of one line each.
    #[arg(long)]
    json: bool,

    /// Write the environments as JSON to this file once all of them are listening.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  dynamics-simulator --environment name=acme,listen=127.0.0.1:7001
  dynamics-simulator --latency 100ms --environment name=acme,profile=opencx,listen=127.0.0.1:7001 \\
                     --environment name=globex,profile=stock,listen=127.0.0.1:7002,secret=s3cret

  curl -s 127.0.0.1:7001/_simulator/records?table=incidents
  curl -s 127.0.0.1:7001/_simulator/requests?count=1
  curl -s 127.0.0.1:7001/_simulator/faults -d '{\"operation\":\"incidents.create\",\"times\":2,\"fault\":\"reset_after_commit\"}'
  curl -s 127.0.0.1:7001/_simulator/faults -d '{\"operation\":\"*\",\"times\":null,\"fault\":{\"status\":429,\"retry_after\":5}}'
  curl -s 127.0.0.1:7001/_simulator/faults -X DELETE
  curl -s 127.0.0.1:7001/_simulator/settings -d '{\"latency_ms\":250,\"secret\":\"expired\"}'
  curl -s 127.0.0.1:7001/_simulator/reset -X POST

Exits with status 0 on SIGINT and SIGTERM.";

#[tokio::main]
async fn main() -> ExitCode {
    match run(SimulatorArguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dynamics-simulator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: SimulatorArguments) -> anyhow::Result<()> {
    // Signal handlers are installed before anything is printed: a reader of the address may end the process at once.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let running = dynamics_simulator::serve(options(&arguments)).await?;
    announce(&arguments, &running)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    running.stop().await;
    Ok(())
}

fn options(arguments: &SimulatorArguments) -> SimulatorOptions {
    let mut environments = arguments.environments.clone();
    for environment in &mut environments {
        environment.settings.latency_ms = arguments.latency;
        environment.settings.token_lifetime_s = arguments.token_lifetime.div_ceil(1000);
        environment.settings.journal_entries = arguments.journal;
    }
    SimulatorOptions { environments }
}

fn announce(arguments: &SimulatorArguments, running: &Running) -> anyhow::Result<()> {
    let environments = running.environments().map(|environment| {
        let settings = environment.settings();
        json!({
            "name": environment.name(),
            "url": environment.url(),
            "profile": settings.profile,
            "tenant_id": settings.tenant_id,
            "client_id": settings.client_id,
        })
    });
    let environments: Vec<_> = environments.collect();
    if let Some(file) = &arguments.ready_file {
        write_whole(file, &json!(environments).to_string())
            .with_context(|| format!("could not write the ready file {}", file.display()))?;
    }
    if arguments.json {
        println!("{}", json!(environments));
        return Ok(());
    }
    for environment in environments {
        let text = |key: &str| environment[key].as_str().unwrap_or_default().to_owned();
        println!("{} ({}) is listening at {}", text("name"), text("profile"), text("url"));
    }
    Ok(())
}

/// Writes a file atomically: readers never see part of it.
fn write_whole(file: &std::path::Path, text: &str) -> std::io::Result<()> {
    let draft = file.with_extension("draft");
    std::fs::write(&draft, text)?;
    std::fs::rename(draft, file)
}

/// Parses `250ms`, `5s`, `2m`, `1h`.
fn milliseconds(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("expected a number and a unit, such as 250ms, 5s, 2m or 1h".into()),
    };
    let number: u64 =
        number.parse().map_err(|_| "expected a number and a unit, such as 250ms, 5s, 2m or 1h".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "the duration is too large; specify a smaller one".into())
}
