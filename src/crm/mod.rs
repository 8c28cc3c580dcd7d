//! In: a step, its event and its organization's settings.
//! Out: the step's receipt or fault, and what every request it took came back with.
//! Absent: which step comes next, when to try again; and which CRM it is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::event::{Event, OrganizationId};
use crate::machine::{Fault, Receipt, Settings, Step, StepName};

/// Whatever holds the records: Dynamics 365, for now.
#[async_trait]
pub trait Crm: Send + Sync + 'static {
    /// Performs one step. Safe to repeat: what it creates has a key derived from the event.
    async fn perform(&self, step: &Step, event: &Event, settings: &Settings) -> Performed;

    /// The settings in force of an organization; none when it is not configured.
    fn settings(&self, organization: &OrganizationId) -> Option<Arc<Settings>>;

    /// Whether events of an organization can be taken up now, and how many at once.
    fn standing(&self, organization: &OrganizationId) -> Standing;
}

/// How an organization stands with its CRM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Events can be taken up.
    Open {
        /// How many of its events, at most, are worth having in hand at once: what is under way, and what would get
        /// its turn within a moment.
        room: usize,
    },
    /// Nothing gets through before this time; what comes sooner should wait in a retry queue.
    Shut {
        /// Dynamics' `Retry-After`, or when it is looked at again.
        until: Timestamp,
        /// Why.
        why: Shut,
    },
}

/// Why an organization is shut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shut {
    /// Dynamics told it to wait (429).
    Throttled,
    /// It is misconfigured: credentials, privileges, environment.
    Blocked,
    /// An operator wants its events to wait.
    Paused,
}

/// What came of a step.
#[derive(Clone, Debug)]
pub struct Performed {
    /// Its receipt, or what went wrong.
    pub result: Result<Receipt, Fault>,
    /// The requests it took, oldest first.
    pub exchanges: Vec<Exchange>,
}

/// One request and what came back.
#[derive(Clone, PartialEq, Debug)]
pub struct Exchange {
    /// When the answer was there, or given up.
    pub at: Timestamp,
    /// What it was for.
    pub step: StepName,
    /// How long it took.
    pub elapsed: Duration,
    /// HTTP status; absent when there was no answer.
    pub status: Option<u16>,
    /// The answer's error code.
    pub code: Option<String>,
    /// What went wrong, in one line, without customer text.
    pub error: Option<String>,
    /// `x-ms-service-request-id`
    pub request_id: Option<String>,
}
