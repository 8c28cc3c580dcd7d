//! In: a step, its event and its organization's settings.
//! Out: the step's receipt or fault, and what every request it took came back with.
//! Absent: which step comes next, when to try again; and which CRM it is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::event::{Event, OrganizationId};
use crate::workflow::{Fault, Receipt, Settings, Step, StepName};

/// Whatever holds the records: Dynamics 365, for now.
#[async_trait]
pub trait Crm: Send + Sync + 'static {
    /// Performs one step. Safe to repeat: what it creates has a key derived from the event. Waits for its turn among the
    /// requests of its organization.
    async fn perform(&self, step: &Step, event: &Event, settings: &Settings) -> Performed;

    /// The settings in force of an organization; none when it is not configured.
    fn settings(&self, organization: &OrganizationId) -> Option<Arc<Settings>>;

    /// True when every configured organization is known. While it is false, one without settings may be configured after all.
    fn is_complete(&self) -> bool {
        true
    }

    /// Whether events of an organization can be taken up now, and how many at once.
    fn availability(&self, organization: &OrganizationId) -> Availability;

    /// Waits until a step may be worth another try that the organization's setup refused, while it did not refuse others. Costs
    /// nothing meanwhile. At once where no single steps are refused.
    async fn step_available(&self, _organization: &OrganizationId, _step: StepName) {}

    /// Waits until events of an organization can be taken up. Costs nothing meanwhile: whoever ends the trouble wakes it.
    async fn available(&self, organization: &OrganizationId);
}

/// Availability of an organization for requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Availability {
    /// It can take requests.
    Available {
        /// Number of its events, at most, that are worth having in flight at once: those with a request under way, and those
        /// whose turn comes within a moment.
        room: usize,
    },
    /// No request gets through at the moment.
    Unavailable(Unavailable),
}

/// Why an organization can't take requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unavailable {
    /// Dynamics asked for a pause (429, `Retry-After`).
    Throttled,
    /// It is misconfigured: credentials, privileges, environment.
    Blocked,
    /// An operator has paused it.
    Paused,
}

impl Unavailable {
    /// The `reason` label of `handoffd_retries_total`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Blocked => "blocked",
            Self::Paused => "paused",
        }
    }
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
