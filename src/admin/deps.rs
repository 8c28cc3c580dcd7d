//! Operations on organizations and on a replaced store that operators may request, independent of the implementation.

use async_trait::async_trait;
use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::store::StoreError;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// Operator's view of the organizations.
#[async_trait]
pub trait Organizations: Send + Sync + 'static {
    /// Lists all organizations by ID.
    async fn list(&self) -> Vec<OrganizationView>;

    /// Runs the checks of "Test & Save", then further checks ([`TestReport`]). Changes nothing.
    async fn test(&self, id: &OrganizationId) -> Result<TestReport, OrganizationError>;

    /// Holds the organization's events until it is resumed, across restarts. Does nothing if it is already paused.
    async fn pause(&self, id: &OrganizationId) -> Result<OrganizationView, OrganizationError>;

    /// Ends a pause. Does nothing if the organization is not paused.
    async fn resume(&self, id: &OrganizationId) -> Result<OrganizationView, OrganizationError>;

    /// Tests an organization's document, which has the keys of its file, and saves it in the store if the test passes.
    async fn save(&self, id: &OrganizationId, document: Value) -> Result<TestReport, OrganizationError>;

    /// Deletes an organization that was saved in the store.
    async fn delete(&self, id: &OrganizationId) -> Result<(), OrganizationError>;
}

/// Operator's view of a store that replaced a damaged one.
#[async_trait]
pub trait StoreAcceptance: Send + Sync + 'static {
    /// Accepts the new store, so that the worker consumes again. Does nothing if there is none to accept.
    async fn accept_store(&self) -> Result<StoreAccepted, StoreError>;
}

/// Result of accepting a store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct StoreAccepted {
    /// True if there was a new store to accept.
    pub accepted: bool,
    /// Path of the damaged store; null if there was nothing to accept.
    pub set_aside: Option<String>,
}

/// Organization as lists show it. Holds no secret and no customer text.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct OrganizationView {
    /// OpenCX's ID of the organization.
    pub organization_id: String,
    /// URL of its Dynamics 365 environment.
    pub environment_url: String,
    /// Origin of its settings.
    pub source: SettingsSource,
    /// Availability for events.
    #[serde(flatten)]
    pub state: OrganizationState,
    /// Limit of concurrent requests to Dynamics now.
    pub concurrency: usize,
    /// Number of requests to Dynamics in flight.
    pub under_way: usize,
    /// Number of events waiting in its queue; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
}

/// Origin of an organization's settings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettingsSource {
    /// A file in `organizations.directory`.
    File(String),
    /// An entry of the store, saved over HTTP.
    Store,
}

/// Availability of an organization for events.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum OrganizationState {
    /// Events are processed.
    Open,
    /// Rate-limited by Dynamics.
    Throttled {
        /// Time at which processing resumes.
        #[schemars(with = "String")]
        until: Timestamp,
    },
    /// Blocked by a faulty configuration, which is checked again periodically.
    Blocked {
        /// Time at which it was blocked.
        #[schemars(with = "String")]
        since: Timestamp,
        /// Last error of Dynamics or Entra ID.
        error: String,
        /// Recommended action.
        advice: String,
    },
    /// Paused by an operator.
    Paused {
        /// Time at which it was paused.
        #[schemars(with = "String")]
        since: Timestamp,
    },
}

/// Report of an organization's test.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct TestReport {
    /// ID of the organization.
    pub organization_id: String,
    /// True if no check failed.
    pub passed: bool,
    /// Checks in the order in which they ran.
    pub checks: Vec<Check>,
}

/// One check of a test.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Check {
    /// Name of the check: `token`, `probe`, `owner`, `queue`, `workstream`, …
    pub check: String,
    /// Half of the setup that the check belongs to.
    pub half: SetupHalf,
    /// Result.
    pub result: CheckResult,
    /// Finding, in one line.
    pub message: String,
    /// Recommended action; empty if none is needed.
    pub advice: String,
}

/// Halves of an organization's setup, as "Test & Save" divides it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SetupHalf {
    /// Entra ID: tenant, application, secret.
    Credentials,
    /// Dynamics 365: environment, application user, privileges, records.
    Environment,
}

/// Result of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// No problem found.
    Passed,
    /// Events will fail or wait.
    Failed,
    /// Events will be processed, but someone should review the finding.
    Warned,
    /// Not run, because an earlier check failed or there is nothing to check.
    Skipped,
}

/// Failed operation on an organization.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OrganizationError {
    /// No organization has this ID.
    #[error("organization {0:?} is not configured")]
    Unknown(OrganizationId),
    /// The document does not describe a valid organization.
    #[error("{0}")]
    Invalid(String),
    /// The test failed, so nothing was saved.
    #[error("organization not saved, because its test failed: {}", .0.failure())]
    Untested(TestReport),
    /// A file defines the organization, or no key is configured to encrypt its secret with.
    #[error("{0}")]
    Refused(String),
    /// The store can't be reached.
    #[error("{0}")]
    Store(String),
}

impl TestReport {
    /// Returns the first failure as text.
    pub fn failure(&self) -> String {
        let failed = self.checks.iter().find(|check| check.result == CheckResult::Failed);
        failed.map(|check| format!("{}: {} {}", check.check, check.message, check.advice)).unwrap_or_default()
    }
}
