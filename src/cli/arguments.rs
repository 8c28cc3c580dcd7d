//! The command line's definition: help, completions and the man page come from here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::dead_letters::arguments::DeadLettersCommand;
use crate::config::DEFAULT_PATH;
use crate::rabbit::topology::BrokerVersion;

/// Carries OpenCX handoffs and resolutions from RabbitMQ into Microsoft Dynamics 365, exactly once in effect.
#[derive(Clone, Debug, Parser)]
#[command(name = "handoffd", version, propagate_version = true, max_term_width = 100)]
pub struct Arguments {
    /// Configuration file.
    #[arg(long, global = true, value_name = "FILE", env = "HANDOFFD_CONFIG", default_value = DEFAULT_PATH)]
    pub config: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Run the worker until SIGTERM or SIGINT.
    Run,
    /// Publish event files with the broker's confirms.
    Publish(Publish),
    /// Show which way an event goes and the exact requests it would cause, as JSON. Sends nothing.
    Explain {
        /// An event file (JSON).
        file: PathBuf,
    },
    /// Check or show the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Test, save or list organizations.
    #[command(subcommand)]
    Org(OrgCommand),
    /// Find out what became of events.
    #[command(subcommand)]
    Outcomes(OutcomesCommand),
    /// List, show, replay or discard events that were given up. Talks to the broker itself: needs no running worker.
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Print RabbitMQ definitions (JSON, to import) of all exchanges, queues and bindings for the configured organizations.
    Topology(Topology),
    /// Deal with the embedded store.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Ask the running worker whether it is alive; exit status 1 when it is not.
    Health {
        /// Ask whether it is ready: connected, consuming, its store in order.
        #[arg(long)]
        ready: bool,
    },
    /// Print completions for a shell.
    Completions {
        /// For which.
        shell: Shell,
    },
    /// Print the man page.
    Man,
    /// Print the JSON Schemas of events and outcomes, and the AsyncAPI document.
    Schema,
}

/// What to publish.
#[derive(Clone, Debug, Args)]
pub struct Publish {
    /// Event files: JSON, or one event a line. `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How many events to publish in all, going through the files again and again; events after the first round
    /// get ids of their own. [default: each event once]
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    /// Events per second at most. [default: as fast as the broker confirms]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
}

/// For which broker.
#[derive(Clone, Debug, Args)]
pub struct Topology {
    /// The broker's version, such as 4.0. [default: the broker is asked]
    #[arg(long, value_name = "VERSION", value_parser = broker_version)]
    pub broker_version: Option<BrokerVersion>,
    /// Virtual host. [default: that of `broker.url`]
    #[arg(long, value_name = "NAME")]
    pub vhost: Option<String>,
}

/// What to do with the configuration.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Validate the configuration and every organization; report every fault.
    Check,
    /// Print the configuration in force, secrets masked.
    Show,
}

/// What to do with organizations.
#[derive(Clone, Debug, Subcommand)]
pub enum OrgCommand {
    /// Do what "Test & Save" tests, and go on: token, probe, owner, queue, workstream, privileges, limits, properties.
    /// Writes nothing in Dynamics. Ends with 1 when a check fails.
    Test {
        /// The organization's id.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Test an organization's file, and only on success put it in place.
    Save {
        /// The file (TOML). It keeps its name in `organizations.directory`.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List the organizations, where each is configured and whether it can be read.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// What to do with the embedded store.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum StoreCommand {
    /// Accept the new store that took the place of a damaged one: the worker consumes events again. Organizations that
    /// were paused are resumed, and those that were saved over HTTP are gone: pause and save them again first.
    Accept,
}

/// Which outcomes.
#[derive(Clone, Debug, Subcommand)]
pub enum OutcomesCommand {
    /// List outcomes, newest first.
    List(OutcomesList),
    /// Show one outcome with its whole history.
    Show {
        /// Event id, or organization/event id, session id, incident id, ticket number or chat id.
        key: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Which outcomes to list; everything that is given must match.
#[derive(Clone, Default, Debug, Args)]
pub struct OutcomesList {
    /// Of this organization.
    #[arg(long, value_name = "ID")]
    pub organization: Option<String>,
    /// Of this session.
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Of this event.
    #[arg(long, value_name = "ID", alias = "event-id", alias = "id")]
    pub event: Option<String>,
    /// That created or closed this incident.
    #[arg(long, value_name = "GUID", alias = "incident-id", value_parser = guid)]
    pub incident: Option<String>,
    /// That created or closed the incident of this number.
    #[arg(long, value_name = "NUMBER", alias = "ticket-number")]
    pub ticket: Option<String>,
    /// That created this live work item.
    #[arg(long, value_name = "GUID", alias = "chat-id", value_parser = guid)]
    pub chat: Option<String>,
    /// That ended so.
    #[arg(long)]
    pub status: Option<StatusName>,
    /// Ended at or after this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub after: Option<String>,
    /// Ended before this time (RFC 3339).
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub before: Option<String>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// How an event ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum StatusName {
    /// Dynamics holds what was wanted.
    Succeeded,
    /// There was nothing to do.
    Skipped,
    /// Given up: a dead letter.
    Failed,
}

fn time(text: &str) -> Result<String, &'static str> {
    let time = text.parse::<jiff::Timestamp>().map(|_| text.to_owned());
    time.map_err(|_| "expected an RFC 3339 time such as 2026-11-22T10:15:00Z")
}

fn broker_version(text: &str) -> Result<BrokerVersion, &'static str> {
    BrokerVersion::parse(text).ok_or("expected a version such as 3.13 or 4.0")
}

fn guid(text: &str) -> Result<String, &'static str> {
    text.parse::<uuid::Uuid>().map(|_| text.to_owned()).map_err(|_| "expected a GUID")
}
