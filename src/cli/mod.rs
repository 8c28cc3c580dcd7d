//! In: the command line.
//! Out: text for a person or a program on standard output, an exit status: 0, 1 (it failed), 2 (usage or configuration).
//! Absent: rules of any kind; a command asks other rooms.

pub mod arguments;
pub mod config;
mod dead_letters;
mod explain;
mod health;
mod manual;
mod org;
mod outcomes;
mod publish;
mod remote;
mod schema;
mod store;
mod topology;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use handoffd_engine::event::Limits;

use crate::config::{Config, Environment, Faults, Organization, load_everything, load_to_run};
use arguments::{Arguments, Command, ConfigCommand};

/// Failed.
const FAILED: u8 = 1;
/// Used or configured wrongly.
const USAGE: u8 = 2;
/// Time for which a process that is done waits for calls that can't be broken off.
const END_LIMIT: Duration = Duration::from_secs(2);

/// Does what the command line says.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let env = Environment::of_process();
    match dispatch(arguments, env) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Refusal::Configuration(faults)) => {
            eprintln!("{faults}");
            ExitCode::from(USAGE)
        }
        Err(Refusal::Usage(problem)) => {
            eprintln!("error: {problem}");
            ExitCode::from(USAGE)
        }
        Err(Refusal::Told) => ExitCode::from(FAILED),
        Err(Refusal::Failed(problem)) => {
            eprintln!("error: {problem:#}");
            ExitCode::from(FAILED)
        }
    }
}

/// Why a command did not do what it was asked.
enum Refusal {
    /// Exit status 2.
    Configuration(Faults),
    /// Exit status 2.
    Usage(String),
    /// Exit status 1.
    Failed(anyhow::Error),
    /// Exit status 1; why was told already.
    Told,
}

impl From<Faults> for Refusal {
    fn from(faults: Faults) -> Self {
        Self::Configuration(faults)
    }
}

impl From<anyhow::Error> for Refusal {
    fn from(problem: anyhow::Error) -> Self {
        Self::Failed(problem)
    }
}

fn dispatch(arguments: Arguments, env: Environment) -> Result<(), Refusal> {
    let path = arguments.config.as_path();
    match arguments.command {
        Command::Run => run(path, env)?,
        Command::Publish(options) => {
            let config = crate::config::load(path, env.pairs())?;
            block_on(publish::publish(&config, &options))?;
        }
        Command::Explain { file } => {
            let (config, organizations) = everything(path, &env)?;
            let limits = Limits { max_event_bytes: config.worker.max_event_bytes };
            print(&explain::explain_file(&file, &organizations, limits)?);
        }
        Command::Config(ConfigCommand::Check) => print(&config::check(path, &env)?),
        Command::Config(ConfigCommand::Show) => print(&config::show(path, &env)?),
        Command::Org(command) => org::org(path, &env, &command)?,
        Command::Outcomes(command) => {
            let config = crate::config::load(path, env.pairs())?;
            print(&block_on(outcomes::outcomes(&config, &command))?);
        }
        Command::DeadLetters(command) => {
            let config = crate::config::load(path, env.pairs())?;
            dead_letters::dead_letters(&config, command)?;
        }
        Command::Topology(options) => {
            let (config, organizations) = everything(path, &env)?;
            print(&block_on(topology::topology(&config, &organizations, &options))?);
        }
        Command::Store(command) => {
            let config = crate::config::load(path, env.pairs())?;
            print(&block_on(store::store(&config, command))?);
        }
        Command::Health { ready } => {
            let config = crate::config::load(path, env.pairs())?;
            let question = if ready { health::Question::Ready } else { health::Question::Alive };
            print(&block_on(health::health(&config, question))?);
        }
        Command::Completions { shell } => print(&manual::completions(shell)),
        Command::Man => print(&manual::man()?),
        Command::Schema => print(&schema::schema()?),
    }
    Ok(())
}

fn run(path: &Path, env: Environment) -> Result<(), Refusal> {
    let (config, organizations) = load_to_run(path, &env)?;
    let endpoint = config.tracing.otlp_endpoint.as_ref();
    let traces = endpoint.map(crate::telemetry::traces::start).transpose().map_err(anyhow::Error::from)?;
    crate::telemetry::logs::init(&config.log, traces.as_ref()).map_err(anyhow::Error::from)?;
    handoffd_engine::worker::watch_for_defects();
    let result = block_on(crate::app::run(config, organizations, env));
    // Also of a worker that failed: its last spans say of what it was about.
    if let Some(traces) = traces {
        traces.end();
    }
    Ok(result?)
}

fn everything(path: &Path, env: &Environment) -> Result<(Config, Vec<Organization>), Refusal> {
    let (effective, organizations) = load_everything(path, env)?;
    Ok((effective.config, organizations))
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = crate::app::runtime()?;
    let result = runtime.block_on(work);
    // A read of a mount that hangs, or a look-up of a name, can't be broken off: the process ends without it.
    runtime.shutdown_timeout(END_LIMIT);
    result
}

/// A reader that has gone (`| head`) is no error of ours.
fn print(text: &str) {
    use std::io::Write;
    _ = std::io::stdout().write_all(text.as_bytes());
}
