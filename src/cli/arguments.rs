//! Definition of the command line. Help, completions and the man page are generated from it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use handoffd_engine::time_input::{TIME_FORMS, parse_time};
use jiff::{Timestamp, Zoned};

use super::dead_letters::arguments::DeadLettersCommand;
use crate::config::{DEFAULT_PATH, OF_COMMANDS};
use crate::rabbit::topology::BrokerVersion;

/// Transfers OpenCX handoffs and resolutions from RabbitMQ to Microsoft Dynamics 365, exactly once in effect.
#[derive(Clone, Debug, Parser)]
#[command(name = "handoffd", version, propagate_version = true, max_term_width = 100)]
pub struct Arguments {
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE", env = OF_COMMANDS, default_value = DEFAULT_PATH)]
    pub config: PathBuf,
    /// Command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// Commands of `handoffd`.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the worker until SIGTERM or SIGINT.
    Run,
    /// Publish event files, waiting for the broker to confirm each event.
    Publish(Publish),
    /// Show an event's route and the exact requests it would cause, as JSON. Sends nothing.
    Explain {
        /// Event file (JSON).
        file: PathBuf,
    },
    /// Check or show the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Show whether the running worker processes events, and every reason why some are not: exit status 0 if it works, 4
    /// if it is degraded, 1 if it does not work or does not respond.
    Status {
        /// Print JSON, as `GET /api/v1/status`.
        #[arg(long)]
        json: bool,
    },
    /// Test, save, pause, resume or list organizations.
    #[command(subcommand)]
    Org(OrgCommand),
    /// Show what became of an event: finished, waiting, in progress, dead or discarded, with reason and advice. Exit
    /// status 3 if nothing is known.
    Why(Why),
    /// Look up event outcomes.
    #[command(subcommand)]
    Outcomes(OutcomesCommand),
    /// List, show, replay or discard dead letters. Connects to the broker directly and needs no running worker.
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Print the RabbitMQ definitions (JSON, to import) of all exchanges, queues and bindings that the configured
    /// organizations need.
    Topology(Topology),
    /// List the workers that share a store.
    #[command(subcommand)]
    Workers(WorkersCommand),
    /// Manage the store.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Check that the running worker is alive; exit status 1 if it is not.
    Health {
        /// Check that it is ready instead: connected, consuming, with a healthy store.
        #[arg(long)]
        ready: bool,
    },
    /// Print shell completions.
    Completions {
        /// Shell to generate completions for.
        shell: Shell,
    },
    /// Print the man page.
    Man,
    /// Print the JSON Schemas of events and outcomes, and the AsyncAPI document.
    Schema,
}

/// Arguments of `publish`.
#[derive(Clone, Debug, Args)]
pub struct Publish {
    /// Event files: JSON, or one event per line. `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Total number of events to publish, repeating the files as needed; repeated events get new ids, and
    /// those of one session a new session for each round. [default: each event once]
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Maximum events per second. [default: as fast as the broker confirms]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
}

/// Arguments of `why`.
#[derive(Clone, Debug, Args)]
pub struct Why {
    /// Event id, organization/event id, session id, incident id, ticket number, chat id, or a request id of Dynamics; or
    /// the first four or more characters of one.
    #[arg(value_parser = filled)]
    pub id: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `topology`.
#[derive(Clone, Debug, Args)]
pub struct Topology {
    /// Version of the broker, such as 4.0. [default: read from the broker]
    #[arg(long, value_name = "VERSION", value_parser = broker_version)]
    pub broker_version: Option<BrokerVersion>,
    /// Virtual host. [default: the one in `broker.url`]
    #[arg(long, value_name = "NAME", value_parser = filled)]
    pub vhost: Option<String>,
}

/// Subcommands of `workers`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum WorkersCommand {
    /// List the workers. Reads PostgreSQL itself; with the embedded store, asks the running worker.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Subcommands of `config`.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Validate the configuration and every organization, and report all faults.
    Check {
        /// Treat insecure settings as faults too.
        #[arg(long)]
        strict: bool,
    },
    /// Print the effective configuration, secrets masked.
    Show,
}

/// Subcommands of `org`.
#[derive(Clone, Debug, Subcommand)]
pub enum OrgCommand {
    /// Run the "Test & Save" checks, then further checks: token, probe, owner, queue, workstream, privileges, limits,
    /// properties. Writes nothing to Dynamics. Exit status 1 if a check fails.
    Test {
        /// Organization id.
        #[arg(value_parser = filled)]
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Test an organization file and put it in place only if the test passes.
    Save {
        /// Organization file (TOML). It keeps its name in `organizations.directory`.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Hold an organization's events until it is resumed, also across restarts. Needs a running worker.
    Pause {
        /// Organization id.
        #[arg(value_parser = filled)]
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// End a pause. Needs a running worker.
    Resume {
        /// Organization id.
        #[arg(value_parser = filled)]
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the organizations, the source and the state of each, and any problem reading it.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Subcommands of `store`.
#[derive(Clone, Debug, Subcommand)]
pub enum StoreCommand {
    /// Accept the new store that replaced a damaged one, so that the worker resumes consuming. Paused organizations are
    /// resumed and organizations saved over HTTP are lost; pause and save them again first.
    Accept,
    /// Create the tables in PostgreSQL, or migrate them to this version.
    Migrate,
    /// Write the content of the store, of either kind, as JSON Lines. Stop the worker first if the store is the embedded one.
    Export {
        /// New file, readable by its owner alone. Standard output if absent or `-`.
        file: Option<PathBuf>,
        /// Replace an existing file.
        #[arg(long)]
        force: bool,
    },
    /// Read an exported file into the store, of either kind. What the store has already, and newer, stays; a second import
    /// changes nothing. Stop the worker first if the store is the embedded one.
    Import {
        /// Exported file; `-` for standard input.
        file: PathBuf,
    },
}

/// Subcommands of `outcomes`.
#[derive(Clone, Debug, Subcommand)]
pub enum OutcomesCommand {
    /// List outcomes, newest first.
    List(OutcomesList),
    /// Show one outcome with its full history. Exit status 3 if there is none.
    Show {
        /// Event id, organization/event id, session id, incident id, ticket number or chat id.
        #[arg(value_parser = filled)]
        key: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Filters of `outcomes list`; an outcome must match all of them.
#[derive(Clone, Default, Debug, Args)]
pub struct OutcomesList {
    /// Filter by organization.
    #[arg(long, value_name = "ID", value_parser = filled)]
    pub organization: Option<String>,
    /// Filter by session.
    #[arg(long, value_name = "ID", value_parser = filled)]
    pub session: Option<String>,
    /// Filter by event id.
    #[arg(long, value_name = "ID", alias = "event-id", alias = "id", value_parser = filled)]
    pub event: Option<String>,
    /// Filter by the incident that the event created or closed.
    #[arg(long, value_name = "GUID", alias = "incident-id", value_parser = guid)]
    pub incident: Option<String>,
    /// Filter by the ticket number of the incident that the event created or closed.
    #[arg(long, value_name = "NUMBER", alias = "ticket-number", value_parser = filled)]
    pub ticket: Option<String>,
    /// Filter by the live work item that the event created.
    #[arg(long, value_name = "GUID", alias = "chat-id", value_parser = guid)]
    pub chat: Option<String>,
    /// Filter by status.
    #[arg(long)]
    pub status: Option<StatusName>,
    /// Show events that finished at or after this time: RFC 3339, a date, a local time (`2026-11-28T03:00`), or a span
    /// before now (`2h`, `1h30m`).
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub after: Option<Timestamp>,
    /// Show events that finished before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub before: Option<Timestamp>,
    /// Maximum number of outcomes.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Status of an outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum StatusName {
    /// Dynamics has the requested records.
    Succeeded,
    /// The event required no action.
    Skipped,
    /// The event failed and is a dead letter.
    Failed,
}

/// Refuses a blank text: most often it is a variable that is not set.
fn filled(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("expected a value, found a blank one") } else { Ok(text.to_owned()) }
}

fn time(text: &str) -> Result<Timestamp, String> {
    parse_time(text, &Zoned::now()).ok_or_else(|| format!("expected {TIME_FORMS}"))
}

fn broker_version(text: &str) -> Result<BrokerVersion, &'static str> {
    BrokerVersion::parse(text).ok_or("expected a version such as 3.13 or 4.0")
}

fn guid(text: &str) -> Result<String, &'static str> {
    text.parse::<uuid::Uuid>().map(|_| text.to_owned()).map_err(|_| "expected a GUID")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blank_argument_is_a_usage_error() {
        for words in [
            "why X",
            "outcomes show X",
            "outcomes list --session X",
            "outcomes list --organization X",
            "outcomes list --event X",
            "outcomes list --ticket X",
            "org test X",
            "org pause X",
            "org resume X",
            "topology --vhost X",
        ] {
            let parse = |value: &str| {
                let words = words.split(' ').map(|word| if word == "X" { value } else { word });
                Arguments::try_parse_from(["handoffd"].into_iter().chain(words))
            };
            parse(" x ").unwrap();
            for blank in ["", " \t"] {
                assert_eq!(parse(blank).unwrap_err().exit_code(), 2, "{words}");
            }
        }
    }
}
