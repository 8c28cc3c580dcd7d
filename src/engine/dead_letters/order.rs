//! Operation on dead letters, as requested by an operator.

use serde_json::Value;

use super::selection::Selection;
use crate::event::Limits;

/// Operation on a selection of dead letters.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Dead letters to work on.
    pub selection: Selection,
    /// Action on each of them.
    pub action: Action,
    /// Limits for decoding dead letters that carry no headers of the worker.
    pub limits: Limits,
}

/// Action on dead letters.
#[derive(Clone, Debug)]
pub enum Action {
    /// Lists them and changes nothing.
    List,
    /// Shows them completely and changes nothing.
    Show,
    /// Puts them back into the inbox.
    Replay(RunMode),
    /// Deletes them permanently.
    Discard(RunMode),
    /// Puts the only match back into the inbox with a corrected body.
    Substitute(RunMode, BodyPatch),
}

/// Mode of an action.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunMode {
    /// The action is carried out.
    Apply,
    /// Dry run: the results are reported and nothing changes.
    DryRun,
}

/// Correction of a body.
#[derive(Clone, PartialEq, Debug)]
pub struct BodyPatch {
    /// Merge patch (RFC 7386).
    pub patch: Value,
    /// File for the original body; `None` keeps it in a header of the message.
    pub keep: Option<std::path::PathBuf>,
}
