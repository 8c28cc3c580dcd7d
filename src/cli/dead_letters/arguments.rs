//! The command line of `dead-letters`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use handoffd_engine::dead_letters::{Effect, Selection};
use handoffd_engine::workflow::Reason;
use jiff::Timestamp;

use crate::config::parse_duration;

/// What to do about dead letters.
#[derive(Clone, Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// List dead letters, oldest first; without a selection all of them.
    List {
        /// Which.
        #[command(flatten)]
        selection: SelectionArguments,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show everything about dead letters: properties, headers and the body, which is CUSTOMER TEXT.
    Show {
        /// Event ids.
        #[arg(value_name = "ID")]
        names: Vec<String>,
        /// Which.
        #[command(flatten)]
        selection: SelectionArguments,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Put dead letters back to work. Each starts afresh and still makes nothing twice.
    Replay {
        /// Which.
        #[command(flatten)]
        selection: SelectionArguments,
        /// How.
        #[command(flatten)]
        doing: Doing,
        /// Correct the body of the one event that --id names by this JSON merge patch (RFC 7386). The original is kept in
        /// the message's header x-replaced-body; `show` prints it.
        #[arg(long, value_name = "FILE", requires = "ids")]
        patch: Option<PathBuf>,
        /// Write the original body to this new file too; needed where it is too long for a header.
        #[arg(long, value_name = "FILE", requires = "patch")]
        keep: Option<PathBuf>,
    },
    /// Take dead letters out for good. Does not ask.
    Discard {
        /// Which.
        #[command(flatten)]
        selection: SelectionArguments,
        /// How.
        #[command(flatten)]
        doing: Doing,
    },
}

/// How something is done.
#[derive(Clone, Copy, Debug, Args)]
pub struct Doing {
    /// Say what would happen, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which dead letters; everything that is given must match.
#[derive(Clone, Debug, Args)]
pub struct SelectionArguments {
    /// Of this event; may be given more than once.
    #[arg(long = "id", value_name = "ID", alias = "event-id", alias = "event")]
    pub ids: Vec<String>,
    /// Of this organization.
    #[arg(long, value_name = "ID")]
    pub organization: Option<String>,
    /// Given up for this reason.
    #[arg(long)]
    pub reason: Option<ReasonName>,
    /// Of this session.
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Dead before this time: RFC 3339, or how long ago (`2h`, `30m`, `7d`).
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub before: Option<Timestamp>,
    /// Dead at or after this time: RFC 3339, or how long ago.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub after: Option<Timestamp>,
    /// All dead letters (that match what else is given).
    #[arg(long)]
    pub all: bool,
}

/// Why a dead letter was given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum ReasonName {
    /// The message breaks a rule.
    InvalidEvent,
    /// An event the worker does not know.
    UnsupportedEvent,
    /// An organization that is not configured.
    UnknownOrganization,
    /// Dynamics refuses it for good.
    RejectedByDynamics,
    /// Tried for `retry.max_age`.
    RetriesExhausted,
    /// The broker delivered it too often.
    DeliveryLimit,
    /// It expired in the broker before a worker took it.
    Expired,
}

impl SelectionArguments {
    /// In the room's own terms.
    pub fn selection(self) -> Selection {
        let Self { ids, organization, reason, session, before, after, all } = self;
        Selection { ids, organization, reason: reason.map(Reason::from), session, before, after, all }
    }
}

impl Doing {
    /// Whether it is done or only said.
    pub fn effect(self) -> Effect {
        if self.dry_run { Effect::Rehearsed } else { Effect::Real }
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
    time.ok_or("expected an RFC 3339 time such as 2026-11-22T10:15:00Z, or how long ago, such as 30m, 2h or 7d")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_ago() {
        assert_eq!(time("2026-11-22T10:15:00Z").unwrap().to_string(), "2026-11-22T10:15:00Z");
        let two_hours = Timestamp::now().duration_since(time("2h").unwrap());
        assert!((7199..7260).contains(&two_hours.as_secs()), "{two_hours}");
        for wrong in ["", "yesterday", "2026-11-22", "2 hours", "-2h"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
