//! In: the command line.
//! Out: text for a person or a program on standard output, an exit status: 0, 1 (it failed), 2 (usage or
//! configuration), 3 (nothing found), 4 (`status`: degraded).
//! Absent: rules of any kind; commands delegate to other modules.

pub mod arguments;
mod audit;
pub mod config;
mod dead_letters;
mod explain;
mod health;
mod listener;
mod manual;
mod org;
mod outcomes;
mod publish;
mod remote;
mod schema;
mod shell;
mod status;
mod store;
mod store_export;
mod store_import;
mod table;
mod topology;
mod why;
mod workers;

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::config::{Config, EnvironmentVariables, OF_COMMANDS};
use crate::organizations::{Organization, load_everything, load_to_run};
use arguments::{Arguments, Command, ConfigCommand, WorkersCommand};
use shell::{CommandError, DEGRADED, FAILED, NOTHING_FOUND, USAGE, block_on, print, print_status, print_unescaped};

/// Runs the command given on the command line.
pub fn main() -> ExitCode {
    crate::private_files::restrict_umask();
    let arguments = parse();
    let env = EnvironmentVariables::of_process();
    let status = match dispatch(arguments, env) {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError::Configuration(faults)) => {
            print_status(faults);
            ExitCode::from(USAGE)
        }
        Err(CommandError::Usage(problem)) => {
            print_status(format_args!("error: {problem}"));
            ExitCode::from(USAGE)
        }
        Err(CommandError::NothingFound) => ExitCode::from(NOTHING_FOUND),
        Err(CommandError::Degraded) => ExitCode::from(DEGRADED),
        Err(CommandError::AlreadyReported) => ExitCode::from(FAILED),
        Err(CommandError::Failed(problem)) => {
            print_status(format_args!("error: {}", shell::with_causes(&problem)));
            ExitCode::from(FAILED)
        }
    };
    match shell::unwritten() {
        None => status,
        Some(problem) => {
            print_status(format_args!("error: cannot write to standard output: {problem}"));
            ExitCode::from(FAILED)
        }
    }
}

/// Parses the command line. An empty `HANDOFFD_CONFIG`, as an environment file may set it, counts as unset.
fn parse() -> Arguments {
    let mut command = Arguments::command();
    if std::env::var_os(OF_COMMANDS).is_some_and(|file| file.is_empty()) {
        command = command.mut_arg("config", |option| option.env(None::<&str>));
    }
    Arguments::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

fn dispatch(arguments: Arguments, env: EnvironmentVariables) -> Result<(), CommandError> {
    let path = arguments.config.as_path();
    match arguments.command {
        Command::Run => run(path, env)?,
        Command::Publish(options) => {
            let config = crate::config::load(path, env.pairs())?;
            block_on(publish::publish(&config, &options))?;
        }
        Command::Explain { file } => {
            let (config, loaded) = load_to_run(path, &env)?;
            print(&block_on(async { Ok(explain::explain_file(&file, &config, loaded).await) })??);
        }
        Command::Config(ConfigCommand::Check { strict }) => {
            let (summary, insecure) = config::check(path, &env)?;
            shell::report_insecure(&insecure, strict)?;
            print(&summary);
        }
        Command::Config(ConfigCommand::Show) => print(&config::show(path, &env)?),
        Command::Status { json } => status::status(&crate::config::load(path, env.pairs())?, json)?,
        Command::Org(command) => org::org(path, &env, &command)?,
        Command::Why(options) => {
            let config = crate::config::load(path, env.pairs())?;
            why::why(&config, &options)?;
        }
        Command::Outcomes(command) => {
            let config = crate::config::load(path, env.pairs())?;
            print(&block_on(async { Ok(outcomes::outcomes(&config, &command).await) })??);
        }
        Command::DeadLetters(command) => {
            let config = crate::config::load(path, env.pairs())?;
            dead_letters::dead_letters(&config, command)?;
        }
        Command::Topology(options) => {
            let (config, organizations) = load_all(path, &env)?;
            print(&block_on(topology::topology(&config, &organizations, &options))?);
        }
        Command::Store(command) => {
            let config = crate::config::load(path, env.pairs())?;
            print(&block_on(store::store(&config, command))?);
        }
        Command::Workers(WorkersCommand::List { json }) => {
            let config = crate::config::load(path, env.pairs())?;
            print(&block_on(workers::list(&config, json))?);
        }
        Command::Health { ready } => {
            let config = crate::config::load(path, env.pairs())?;
            let question = if ready { health::HealthCheck::Ready } else { health::HealthCheck::Alive };
            print(&block_on(health::health(&config, question))?);
        }
        Command::Completions { shell } => print_unescaped(&manual::completions(shell)),
        Command::Man => print_unescaped(&manual::man()?),
        Command::Schema => print(&schema::schema()?),
    }
    Ok(())
}

fn run(path: &Path, env: EnvironmentVariables) -> Result<(), CommandError> {
    let (config, organizations) = load_to_run(path, &env)?;
    let endpoint = config.tracing.otlp_endpoint.as_ref();
    let traces = endpoint.map(crate::telemetry::traces::start).transpose().map_err(anyhow::Error::from)?;
    crate::telemetry::logs::init(&config.log, traces.as_ref()).map_err(anyhow::Error::from)?;
    handoffd_engine::worker::report_panics();
    let result = block_on(crate::app::run(config, organizations, env));
    // Also flushed after a failure: the last spans describe the work that led to it.
    if let Some(traces) = traces {
        traces.end();
    }
    Ok(result?)
}

fn load_all(path: &Path, env: &EnvironmentVariables) -> Result<(Config, Vec<Organization>), CommandError> {
    let (effective, organizations) = load_everything(path, env)?;
    Ok((effective.config, organizations))
}
