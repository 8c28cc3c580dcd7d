//! In: a step, its event and its organization's settings.
//! Out: the step's receipt or fault, and the answer to every request it took.
//! Absent: the choice of the next step, the time of a retry, and the kind of CRM.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::event::{Event, OrganizationId};
use crate::workflow::{Fault, Receipt, Settings, Step, StepName};

/// System that holds the records: Dynamics 365.
#[async_trait]
pub trait Destination: Send + Sync + 'static {
    /// Performs one step. Safe to repeat, because every record it creates has a key derived from the event. Waits for
    /// its turn among the requests of its organization.
    async fn perform(&self, step: &Step, event: &Event, settings: &Settings) -> Performed;

    /// Returns the settings in effect for an organization, or `None` if it is not configured.
    fn settings(&self, organization: &OrganizationId) -> Option<Arc<Settings>>;

    /// Returns true if every configured organization is known. While it is false, an organization without settings may
    /// be configured after all.
    fn is_complete(&self) -> bool {
        true
    }

    /// Returns the organization's availability, and the number of events it can take at once.
    fn availability(&self, organization: &OrganizationId) -> Availability;

    /// Waits until a retry of a step is worthwhile that the organization's setup refused while it accepted others.
    /// Needs no polling. Completes at once where single steps are never refused.
    async fn step_available(&self, _organization: &OrganizationId, _step: StepName) {}

    /// Waits until the organization is available. Needs no polling: the end of the unavailability wakes it.
    async fn available(&self, organization: &OrganizationId);
}

/// Availability of an organization for requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Availability {
    /// The organization can take requests.
    Available {
        /// Largest number of its events that are worth having in flight: those with a request in progress, and those
        /// that are next.
        room: usize,
    },
    /// No request can be sent now.
    Unavailable(Unavailable),
}

/// Reason that an organization can't take requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unavailable {
    /// Dynamics asked for a pause (429, `Retry-After`).
    Throttled,
    /// The organization is misconfigured: credentials, privileges, environment.
    Blocked,
    /// An operator has paused the organization.
    Paused,
    /// This worker does not own the organization now, or can't tell.
    NotOwned,
}

impl Unavailable {
    /// Returns the `reason` label of `handoffd_retries_total`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Blocked => "blocked",
            Self::Paused => "paused",
            Self::NotOwned => "not_owned",
        }
    }
}

/// Result of a step.
#[derive(Clone, Debug)]
pub struct Performed {
    /// Receipt, or fault.
    pub result: Result<Receipt, Fault>,
    /// Requests that the step took, oldest first.
    pub exchanges: Vec<Exchange>,
}

/// One request and its answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Exchange {
    /// Time of the answer, or of giving up on it.
    pub at: Timestamp,
    /// Step that sent the request.
    pub step: StepName,
    /// Duration of the request.
    pub elapsed: Duration,
    /// HTTP status; absent if there was no answer.
    pub status: Option<u16>,
    /// Error code of the answer.
    pub code: Option<String>,
    /// Error in one line, without customer text.
    pub error: Option<String>,
    /// `x-ms-service-request-id`
    pub request_id: Option<String>,
}
