//! Operations on organizations that operators may request, independent of the implementation.

use async_trait::async_trait;
use handoffd_engine::event::OrganizationId;
use serde_json::Value;

use super::view::{OrganizationView, TestReport};
use crate::dynamics::CheckProgress;
use crate::status::StatusReason;

/// All organizations, and the faults of files and saved organizations that can't be assigned to one of them.
#[derive(Clone, Default, Debug)]
pub struct OrganizationsReport {
    /// Organizations by ID.
    pub organizations: Vec<OrganizationView>,
    /// Faults that concern no known organization: of files, and of destinations that refuse messages.
    pub faults: Vec<StatusReason>,
    /// Number of files whose organization is unknown.
    pub unidentified_files: usize,
}

/// Operator's view of the organizations.
#[async_trait]
pub trait Organizations: Send + Sync + 'static {
    /// Lists all organizations by ID.
    async fn list(&self) -> Vec<OrganizationView>;

    /// Lists all organizations by ID, with the faults of files that can't be assigned to one of them.
    async fn report(&self) -> OrganizationsReport {
        OrganizationsReport { organizations: self.list().await, ..OrganizationsReport::default() }
    }

    /// Runs the checks of "Test & Save", then further checks ([`TestReport`]), each of which is passed to `progress`.
    /// Changes nothing but that a blocked organization is unblocked if all of them pass.
    async fn test(&self, id: &OrganizationId, progress: CheckProgress) -> Result<TestReport, OrganizationError>;

    /// Holds the organization's events until it is resumed, across restarts. Does nothing if it is already paused.
    async fn pause(&self, id: &OrganizationId) -> Result<OrganizationView, OrganizationError>;

    /// Ends a pause. Does nothing if the organization is not paused.
    async fn resume(&self, id: &OrganizationId) -> Result<OrganizationView, OrganizationError>;

    /// Tests an organization's document, which has the keys of its file, and saves it in the store if the test passes.
    async fn save(&self, id: &OrganizationId, document: Value) -> Result<TestReport, OrganizationError>;

    /// Deletes an organization that was saved in the store.
    async fn delete(&self, id: &OrganizationId) -> Result<(), OrganizationError>;
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
