//! What is to be done about dead letters.

use serde_json::Value;

use super::selection::Selection;
use crate::event::Limits;

/// What is to be done about which dead letters.
#[derive(Clone, Debug)]
pub struct Order {
    /// Which.
    pub selection: Selection,
    /// What.
    pub action: Action,
    /// What an event may be, for those that have to be read.
    pub limits: Limits,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Action {
    /// Nothing: they are listed.
    List,
    /// Everything about them is shown.
    Show,
    /// They go back to work.
    Replay(Effect),
    /// They are taken out for good.
    Discard(Effect),
    /// The one that matches goes back to work with another body.
    Substitute(Effect, Substitute),
}

/// Whether it is done or only said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// It is done.
    Real,
    /// It is a rehearsal.
    Rehearsed,
}

/// Another body.
#[derive(Clone, PartialEq, Debug)]
pub struct Substitute {
    /// RFC 7386.
    pub patch: Value,
    /// Where the body that was replaced is kept; none: in a header of the message.
    pub keep: Option<std::path::PathBuf>,
}
