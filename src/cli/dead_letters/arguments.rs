//! The command line of `dead-letters`.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use handoffd_engine::dead_letters::SelectionText;
use handoffd_engine::workflow::Reason;

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
    /// Count dead letters by reason, organization and error, the largest group first; without a selection, all of them.
    Groups {
        /// Selected dead letters.
        #[command(flatten)]
        selection: SelectionArguments,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show dead letters in full: properties, headers and the body, which contains CUSTOMER TEXT.
    Show {
        /// Ids of dead letters, or event ids.
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
        /// Apply this JSON merge patch (RFC 7386) to the body of the single dead letter given by --letter or --id. The
        /// original is kept in the message header x-replaced-body; `show` prints it.
        #[arg(long, value_name = "FILE")]
        patch: Option<PathBuf>,
        /// Also write the original body to this new file; required if it is too long for a header.
        #[arg(long, value_name = "FILE", requires = "patch")]
        keep: Option<PathBuf>,
    },
    /// Delete dead letters permanently; asks for confirmation on a terminal.
    Discard {
        /// Do not ask.
        #[arg(long, short)]
        yes: bool,
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
    /// Filter by dead letter: its letter_id; can be repeated.
    #[arg(long = "letter", value_name = "ID", alias = "letter-id")]
    pub letters: Vec<String>,
    /// Filter by event id; can be repeated.
    #[arg(long = "id", value_name = "ID", alias = "event-id", alias = "event")]
    pub ids: Vec<String>,
    /// Filter by organization.
    #[arg(long, value_name = "ID")]
    pub organization: Option<String>,
    /// Filter by reason.
    #[arg(long, value_parser = PossibleValuesParser::new(Reason::DEAD.map(Reason::as_str)))]
    pub reason: Option<String>,
    /// Filter by session.
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Filter by group: its handle, as `dead-letters groups` and the page show it.
    #[arg(long, value_name = "HANDLE")]
    pub group: Option<String>,
    /// Dead-lettered before this time: RFC 3339, a date, a local time (`2026-11-28T03:00`), or a span before now (`2h`,
    /// `1h30m`, `7d`).
    #[arg(long, value_name = "TIME")]
    pub before: Option<String>,
    /// Dead-lettered at or after this time.
    #[arg(long, value_name = "TIME")]
    pub after: Option<String>,
    /// Select all dead letters that match the other filters.
    #[arg(long)]
    pub all: bool,
}

impl SelectionArguments {
    /// Returns the selection as given.
    pub fn text(self) -> SelectionText {
        let Self { letters, ids, organization, reason, session, group, before, after, all } = self;
        SelectionText { letters, ids, organization, reason, session, group, before, after, all, dry_run: false }
    }
}
