//! What went wrong with a step, and what that means for the event.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::step::StepName;

/// A step that failed. `message` is Dynamics' own, with quoted customer text masked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What to do about it.
    pub remedy: Remedy,
    /// Which step failed.
    pub step: StepName,
    /// HTTP status; absent when there was no answer.
    pub status: Option<u16>,
    /// Dynamics' or Entra ID's error code (`0x80040220`, `invalid_client`); absent when it gave none.
    pub code: Option<String>,
    /// What happened, in one line.
    pub message: String,
    /// What a person can do about it; empty when there is nothing to do but wait.
    pub advice: String,
    /// `x-ms-service-request-id` of the answer.
    pub request_id: Option<String>,
}

impl Fault {
    /// A fault that no answer of Dynamics tells of, without advice.
    pub fn unanswered(step: StepName, remedy: Remedy, message: String) -> Self {
        Self { remedy, step, status: None, code: None, message, advice: String::new(), request_id: None }
    }
}

/// What a fault means for its event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Try again; spends an attempt.
    Retry,
    /// Try again, not before this time; spends none. Concerns the whole organization.
    NotBefore(Timestamp),
    /// The organization is misconfigured, the event is not; spends none.
    Hold,
    /// The organization's setup refuses this step since then, and no other; spends none.
    HoldStep(Timestamp),
    /// This event can never succeed as it is.
    GiveUp,
}

impl Remedy {
    /// The `reason` label of `handoffd_retries_total`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "transient",
            Self::NotBefore(_) => "throttled",
            Self::Hold | Self::HoldStep(_) => "blocked",
            Self::GiveUp => "permanent",
        }
    }
}
