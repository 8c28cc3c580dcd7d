//! The command line of `dead-letters`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use handoffd_engine::dead_letters::{RunMode, Selection};
use handoffd_engine::workflow::Reason;
use jiff::Timestamp;

use crate::config::parse_duration;

/// Subcommands of `dead-letters`.
#[derive(Clone, Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// List dead letters, oldest first; without a selection, all of them.
    List {
        /// Selected dead letters.
        #[command(flatten)]
        selection: SelectionArguments,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show dead letters in full: properties, headers and the body, which contains CUSTOMER TEXT.
    Show {
        /// Event ids.
        #[arg(value_name = "ID")]
        names: Vec<String>,
        /// Selected dead letters.
        #[command(flatten)]
        selection: SelectionArguments,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Publish dead letters to the inbox again. Replaying never creates duplicates.
    Replay {
        /// Selected dead letters.
        #[command(flatten)]
        selection: SelectionArguments,
        /// Options of the change.
        #[command(flatten)]
        doing: ChangeOptions,
        /// Apply this JSON merge patch (RFC 7386) to the body of the single event given by --id. The original is kept
        /// in the message header x-replaced-body; `show` prints it.
        #[arg(long, value_name = "FILE", requires = "ids")]
        patch: Option<PathBuf>,
        /// Also write the original body to this new file; required if it is too long for a header.
        #[arg(long, value_name = "FILE", requires = "patch")]
        keep: Option<PathBuf>,
    },
    /// Delete dead letters permanently, without confirmation.
    Discard {
        /// Selected dead letters.
        #[command(flatten)]
        selection: SelectionArguments,
        /// Options of the change.
        #[command(flatten)]
        doing: ChangeOptions,
    },
}

/// Options of the commands that change dead letters.
#[derive(Clone, Copy, Debug, Args)]
pub struct ChangeOptions {
    /// Show the result without changing anything.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Filters that select dead letters; a dead letter must match all of them.
#[derive(Clone, Debug, Args)]
pub struct SelectionArguments {
    /// Filter by event id; can be repeated.
    #[arg(long = "id", value_name = "ID", alias = "event-id", alias = "event")]
    pub ids: Vec<String>,
    /// Filter by organization.
    #[arg(long, value_name = "ID")]
    pub organization: Option<String>,
    /// Filter by reason.
    #[arg(long)]
    pub reason: Option<ReasonName>,
    /// Filter by session.
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Dead-lettered before this time: RFC 3339, or a span before now (`2h`, `30m`, `7d`).
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub before: Option<Timestamp>,
    /// Dead-lettered at or after this time: RFC 3339, or a span before now.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub after: Option<Timestamp>,
    /// Select all dead letters that match the other filters.
    #[arg(long)]
    pub all: bool,
}

/// Reason for which an event became a dead letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum ReasonName {
    /// The message is not a valid event.
    InvalidEvent,
    /// The event type is not supported.
    UnsupportedEvent,
    /// The organization is not configured.
    UnknownOrganization,
    /// Dynamics rejected the event permanently.
    RejectedByDynamics,
    /// Retries continued for longer than `retry.max_age`.
    RetriesExhausted,
    /// The broker's delivery limit was exceeded.
    DeliveryLimit,
    /// The message expired in the broker before a worker consumed it.
    Expired,
}

impl SelectionArguments {
    /// Converts the arguments to a [`Selection`].
    pub fn selection(self) -> Selection {
        let Self { ids, organization, reason, session, before, after, all } = self;
        Selection { ids, organization, reason: reason.map(Reason::from), session, before, after, all }
    }
}

impl ChangeOptions {
    /// Effect of the command: real, or rehearsed with `--dry-run`.
    pub fn effect(self) -> RunMode {
        if self.dry_run { RunMode::DryRun } else { RunMode::Apply }
    }
}

impl From<ReasonName> for Reason {
    fn from(name: ReasonName) -> Self {
        match name {
            ReasonName::InvalidEvent => Self::InvalidEvent,
            ReasonName::UnsupportedEvent => Self::UnsupportedEvent,
            ReasonName::UnknownOrganization => Self::UnknownOrganization,
            ReasonName::RejectedByDynamics => Self::RejectedByDynamics,
            ReasonName::RetriesExhausted => Self::RetriesExhausted,
            ReasonName::DeliveryLimit => Self::DeliveryLimit,
            ReasonName::Expired => Self::Expired,
        }
    }
}

fn time(text: &str) -> Result<Timestamp, &'static str> {
    let ago = parse_duration(text).and_then(|ago| Timestamp::now().checked_sub(ago).ok());
    let time = text.parse::<Timestamp>().ok().or(ago);
    time.ok_or("expected an RFC 3339 time such as 2026-11-22T10:15:00Z, or a span before now such as 30m, 2h or 7d")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_relative_to_now() {
        assert_eq!(time("2026-11-22T10:15:00Z").unwrap().to_string(), "2026-11-22T10:15:00Z");
        let two_hours = Timestamp::now().duration_since(time("2h").unwrap());
        assert!((7199..7260).contains(&two_hours.as_secs()), "{two_hours}");
        for wrong in ["", "yesterday", "2026-11-22", "2 hours", "-2h"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
