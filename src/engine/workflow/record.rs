//! Record of an event in the store.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::life::{Life, MilestoneKind};
use super::outcome::Outcome;
use super::progress::Progress;
use super::step::StepName;
use crate::event::{Kind, SessionId};

/// Most requests of a history. Beyond that the oldest but the first are dropped, which keeps a record under 4 KiB.
pub const HISTORY_LIMIT: usize = 16;

/// Record of an event in the store: its phase, progress and history.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Kind of the event.
    pub kind: Kind,
    /// Id of the conversation, if it could be read.
    pub session_id: Option<SessionId>,
    /// First 16 bytes of the body's digest, in hex. The same key with another body causes a warning.
    pub body_digest: String,
    /// Time at which a worker first received the event.
    pub first_seen: Timestamp,
    /// Number of attempts.
    pub attempts: u32,
    /// Phase of the event.
    pub phase: Phase,
    /// False for a dead event until its outcome is announced and its copy confirmed in the dead-letter queue. From then on a
    /// message with the same key starts afresh.
    /// Absent in records of earlier versions, and true there.
    #[serde(default = "settled")]
    pub settled: bool,
    /// True if the event was given up because of process deaths while it was in flight.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub poison: bool,
    /// Progress of the event.
    pub progress: Progress,
    /// Requests made for the event in all its runs, oldest first.
    pub history: Vec<HistoryEntry>,
    /// Milestones of the event in all its runs.
    #[serde(default, skip_serializing_if = "Life::is_empty")]
    pub life: Life,
}

fn settled() -> bool {
    true
}

/// Phase of an event.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// A worker is processing the event, or was when it died.
    InHand,
    /// Quarantined before the first request, because the event was in flight when a process died. A process that finds the
    /// record of an earlier process counts one more death.
    #[serde(rename = "on_trial")] // the name on disk
    Quarantined {
        /// Process that wrote the record.
        life: u64,
        /// Deaths counted before.
        deaths: u32,
        /// True if the event has waited long for an answer, so that a death is weaker evidence.
        #[serde(default)]
        waiting: bool,
        /// Deaths while the event waited for an answer.
        #[serde(default)]
        silent: u32,
    },
    /// The event waits in a retry queue.
    Waiting,
    /// Finished; a message with the same key gets this outcome.
    Finished(Outcome),
    /// Dead-lettered; a message with the same key starts afresh.
    Dead(Outcome),
}

/// Request made for an event.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Request")]
pub struct HistoryEntry {
    /// Time at which the answer arrived.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// Number of the attempt.
    pub attempt: u32,
    /// Step of the request.
    #[schemars(with = "String")]
    pub step: StepName,
    /// Duration in milliseconds.
    pub elapsed_ms: u64,
    /// HTTP status; absent if there was no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Error code from Dynamics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Error in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// `x-ms-service-request-id`, which Microsoft's support asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Record {
    /// Returns the outcome of a finished or dead event.
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.phase {
            Phase::Finished(outcome) | Phase::Dead(outcome) => Some(outcome),
            Phase::InHand | Phase::Quarantined { .. } | Phase::Waiting => None,
        }
    }

    /// Adds an entry to the history, within [`HISTORY_LIMIT`].
    pub fn note(&mut self, entry: HistoryEntry) {
        if self.history.len() >= HISTORY_LIMIT {
            let gone = self.history.remove(1);
            self.life.leave_out(gone.at);
        }
        self.history.push(entry);
    }

    /// Returns the requests of the current run.
    pub fn requests_of_run(&self) -> &[HistoryEntry] {
        let earlier = self.history.iter().take_while(|entry| entry.at < self.first_seen).count();
        &self.history[earlier..]
    }

    /// Returns true if the event is dead and an operator has discarded its dead letter.
    pub fn is_discarded(&self) -> bool {
        let Phase::Dead(outcome) = &self.phase else { return false };
        self.life.last(MilestoneKind::Discarded).is_some_and(|discard| discard.at >= outcome.finished_at)
    }
}
