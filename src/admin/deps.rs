//! What an operator may ask and do about organizations, whoever keeps them, and about a store that is new.

use async_trait::async_trait;
use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::store::StoreError;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// The organizations, as an operator deals with them.
#[async_trait]
pub trait Organizations: Send + Sync + 'static {
    /// All of them, by id.
    async fn list(&self) -> Vec<OrganizationView>;

    /// Does what "Test & Save" does, and goes on: [`TestReport`]. It changes nothing.
    async fn test(&self, id: &OrganizationId) -> Result<TestReport, OrganizationError>;

    /// Its events wait until it is resumed, over restarts too. Done already: nothing happens.
    async fn pause(&self, id: &OrganizationId) -> Result<OrganizationView, OrganizationError>;

    /// Ends a pause. There is none: nothing happens.
    async fn resume(&self, id: &OrganizationId) -> Result<OrganizationView, OrganizationError>;

    /// Tests what an organization file would say, as JSON, and saves it in the store if the test passes.
    async fn save(&self, id: &OrganizationId, document: Value) -> Result<TestReport, OrganizationError>;

    /// Removes one that was saved in the store.
    async fn delete(&self, id: &OrganizationId) -> Result<(), OrganizationError>;
}

/// A store that took the place of a damaged one, as an operator deals with it.
#[async_trait]
pub trait StoreAcceptance: Send + Sync + 'static {
    /// Accepts it: the worker consumes again. Nothing to accept: nothing happens.
    async fn accept_store(&self) -> Result<StoreAccepted, StoreError>;
}

/// What was accepted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct StoreAccepted {
    /// Whether there was a new store to accept.
    pub accepted: bool,
    /// Where the damaged store is; null when there was nothing to accept.
    pub set_aside: Option<String>,
}

/// An organization as lists show it. No secret, no customer's text.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct OrganizationView {
    /// OpenCX's id of it.
    pub organization_id: String,
    /// Its Dynamics 365.
    pub environment_url: String,
    /// Where its settings come from.
    pub source: Source,
    /// Whether its events flow.
    #[serde(flatten)]
    pub state: State,
    /// How many of its requests may be under way with Dynamics now.
    pub concurrency: usize,
    /// How many are.
    pub under_way: usize,
    /// Events that wait in its queue; absent when that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
}

/// Where an organization's settings come from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A file of `organizations.directory`.
    File(String),
    /// A row of the store, saved over HTTP.
    Store,
}

/// Whether an organization's events flow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// They do.
    Open,
    /// Dynamics has told it to wait.
    Throttled {
        /// Until then.
        #[schemars(with = "String")]
        until: Timestamp,
    },
    /// It is misconfigured, and looked at again and again.
    Blocked {
        /// Since then.
        #[schemars(with = "String")]
        since: Timestamp,
        /// What Dynamics or Entra ID said last.
        error: String,
        /// What to do about it.
        advice: String,
    },
    /// An operator has paused it.
    Paused {
        /// Since then.
        #[schemars(with = "String")]
        since: Timestamp,
    },
}

/// What a test of an organization found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct TestReport {
    /// Which organization.
    pub organization_id: String,
    /// Whether nothing failed.
    pub passed: bool,
    /// In the order they were made.
    pub checks: Vec<Check>,
}

/// One check of a test.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Check {
    /// What was looked at: `token`, `probe`, `owner`, `queue`, `workstream`, …
    pub check: String,
    /// Which half of the setup it belongs to.
    pub half: Half,
    /// What came of it.
    pub result: CheckResult,
    /// What was found, in one line.
    pub message: String,
    /// What to do about it; empty when there is nothing to do.
    pub advice: String,
}

/// The halves of an organization's setup, as "Test & Save" has them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Half {
    /// Entra ID: tenant, application, secret.
    Credentials,
    /// Dynamics 365: environment, application user, privileges, records.
    Environment,
}

/// What came of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// All is well.
    Passed,
    /// Events will fail or wait.
    Failed,
    /// Events will go through, but a person should look.
    Warned,
    /// Not made, as an earlier one failed or there is nothing to check.
    Skipped,
}

/// Why an organization can't be dealt with so.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OrganizationError {
    /// There is none of this id.
    #[error("organization {0:?} is not configured")]
    Unknown(OrganizationId),
    /// The document is no organization.
    #[error("{0}")]
    Invalid(String),
    /// Its test failed: nothing was saved.
    #[error("the organization was not saved, as its test failed: {}", .0.failure())]
    Untested(TestReport),
    /// A file says otherwise, or there is no key to encrypt with.
    #[error("{0}")]
    Refused(String),
    /// The store can't be reached.
    #[error("{0}")]
    Store(String),
}

impl TestReport {
    /// The first failure, in words.
    pub fn failure(&self) -> String {
        let failed = self.checks.iter().find(|check| check.result == CheckResult::Failed);
        failed.map(|check| format!("{}: {} {}", check.check, check.message, check.advice)).unwrap_or_default()
    }
}
