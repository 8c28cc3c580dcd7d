//! Operation on dead letters, as requested by an operator.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::entry::OperationResult;
use super::selection::Selection;
use crate::event::Limits;

/// Operation on a selection of dead letters.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Dead letters to work on.
    pub selection: Selection,
    /// Action on each of them.
    pub action: Action,
    /// Number of matches after which the walk ends; `None` for all.
    pub most: Option<usize>,
    /// Limits for decoding dead letters that carry no headers of the worker.
    pub limits: Limits,
    /// Operator, for the history of the events.
    pub by: Option<String>,
}

/// Action on dead letters.
#[derive(Clone, Debug)]
pub enum Action {
    /// Lists them and changes nothing.
    List,
    /// Shows them completely and changes nothing.
    Show,
    /// Replays or discards them.
    Change(LetterChange, RunMode),
    /// Puts the only match back into the inbox with a corrected body.
    Substitute(RunMode, BodyPatch),
}

/// Change of a dead letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LetterChange {
    /// Returns dead letters to the inbox.
    Replay,
    /// Permanently deletes dead letters.
    Discard,
}

/// Mode of an action.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunMode {
    /// The action is carried out.
    Apply,
    /// Dry run: the results are reported and nothing changes.
    DryRun,
}

impl Action {
    /// Returns true if every dead letter stays as it is.
    pub fn changes_nothing(&self) -> bool {
        matches!(self, Self::List | Self::Show | Self::Change(_, RunMode::DryRun))
    }
}

impl LetterChange {
    /// Returns the name used in forms.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Discard => "discard",
        }
    }

    /// Returns the result of a dry run.
    pub fn rehearsed(self) -> OperationResult {
        match self {
            Self::Replay => OperationResult::WouldReplay,
            Self::Discard => OperationResult::WouldDiscard,
        }
    }
}

impl RunMode {
    /// Returns the mode that a `dry_run` flag selects.
    pub fn of(dry_run: bool) -> Self {
        if dry_run { Self::DryRun } else { Self::Apply }
    }
}

/// Correction of a body.
#[derive(Clone, PartialEq, Debug)]
pub struct BodyPatch {
    /// Change of the body.
    pub change: BodyChange,
    /// File for the original body; `None` keeps it in a header of the message.
    pub keep: Option<std::path::PathBuf>,
}

/// Change of a body.
#[derive(Clone, PartialEq, Debug)]
pub enum BodyChange {
    /// Merge patch (RFC 7386).
    Merge(Value),
    /// New body.
    Replace(Value),
}
