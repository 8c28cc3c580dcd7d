//! An event as the store keeps it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::outcome::Outcome;
use super::progress::Progress;
use super::step::StepName;
use crate::event::{Kind, SessionId};

/// Most entries of a history; the oldest but the first go when there are more, so a value stays under 4 KiB.
pub const HISTORY_LIMIT: usize = 16;

/// An event as the store keeps it: where it stands, what was done, what came of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Handoff or resolution.
    pub kind: Kind,
    /// The conversation, when it could be read.
    pub session_id: Option<SessionId>,
    /// First 16 bytes of the body's digest, in hex: the same key with another body is worth a warning.
    pub body_digest: String,
    /// When the worker first saw it; `retry.max_age` and `resolution_wait` count from here.
    pub first_seen: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// Where it stands.
    pub phase: Phase,
    /// A dead letter's copy lies in the dead-letter queue and its outcome is announced: the same key again starts afresh. False
    /// for a dead event that is still to be announced or copied.
    /// A record of a version without it is.
    #[serde(default = "settled")]
    pub settled: bool,
    /// It was given up for the deaths that it has seen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub poison: bool,
    /// What was done.
    pub progress: Progress,
    /// Every request made for it, oldest first.
    pub history: Vec<HistoryEntry>,
}

fn settled() -> bool {
    true
}

/// Where an event stands.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// A worker has it in hand, or had when it died.
    InHand,
    /// Written down before its first call, because it was in flight when a process died. A process of another
    /// life that finds it so counts one more death.
    #[serde(rename = "on_trial")] // the name on disk
    Quarantined {
        /// The process that wrote it.
        life: u64,
        /// Deaths before.
        deaths: u32,
        /// It has waited long for an answer, so a death says less.
        #[serde(default)]
        waiting: bool,
        /// Deaths while it was waiting for an answer.
        #[serde(default)]
        silent: u32,
    },
    /// It waits in a retry queue.
    Waiting,
    /// Answered: the same key again gets this.
    Finished(Outcome),
    /// Dead-lettered: no answer; the same key again starts afresh.
    Dead(Outcome),
}

/// One request made for an event.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Request")]
pub struct HistoryEntry {
    /// When its answer came.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// Which attempt it belongs to.
    pub attempt: u32,
    /// What it was for.
    #[schemars(with = "String")]
    pub step: StepName,
    /// How long it took.
    pub elapsed_ms: u64,
    /// HTTP status; absent when there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Dynamics' error code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What went wrong, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// `x-ms-service-request-id`: Microsoft's support asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Record {
    /// The outcome, answered or dead.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            Phase::Finished(outcome) | Phase::Dead(outcome) => Some(outcome),
            Phase::InHand | Phase::Quarantined { .. } | Phase::Waiting => None,
        }
    }

    /// Adds to the history, within [`HISTORY_LIMIT`].
    pub fn note(&mut self, entry: HistoryEntry) {
        if self.history.len() >= HISTORY_LIMIT {
            self.history.remove(1);
        }
        self.history.push(entry);
    }
}
