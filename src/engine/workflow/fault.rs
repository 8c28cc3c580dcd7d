//! Failure of a step and its consequence for the event.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::step::StepName;

/// Failure of a step. `message` is Dynamics' own, with quoted customer text masked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Consequence for the event.
    pub remedy: Remedy,
    /// Step that failed.
    pub step: StepName,
    /// HTTP status; absent if there was no answer.
    pub status: Option<u16>,
    /// Error code from Dynamics or Entra ID (`0x80040220`, `invalid_client`); absent if the answer holds none.
    pub code: Option<String>,
    /// Description in one line.
    pub message: String,
    /// Advice for an operator; empty if waiting is enough.
    pub advice: String,
    /// `x-ms-service-request-id` of the answer.
    pub request_id: Option<String>,
}

impl Fault {
    /// Creates a fault without an answer of Dynamics and without advice.
    pub fn unanswered(step: StepName, remedy: Remedy, message: String) -> Self {
        Self { remedy, step, status: None, code: None, message, advice: String::new(), request_id: None }
    }
}

/// Consequence of a fault for its event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Retry; spends an attempt.
    Retry,
    /// Retry not before this time, for the whole organization; spends no attempt.
    NotBefore(Timestamp),
    /// The organization is misconfigured, not the event; spends no attempt.
    Hold,
    /// The organization's setup has refused this step, and no other, since this time; spends no attempt.
    HoldStep(Timestamp),
    /// The event can never succeed unchanged.
    GiveUp,
}

impl Remedy {
    /// Returns the `reason` label of `handoffd_retries_total`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "transient",
            Self::NotBefore(_) => "throttled",
            Self::Hold | Self::HoldStep(_) => "blocked",
            Self::GiveUp => "permanent",
        }
    }
}
