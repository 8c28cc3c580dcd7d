//! Environment of one organization: access to it, and the state shared by all who send requests to it.

use std::sync::Arc;
use std::time::Instant;

use handoffd_engine::ports::fleet::{Fleet, SoloFleet};
use handoffd_engine::workflow::StepName;
use jiff::Timestamp;

use super::access::Access;
use super::limiter::Limiter;
use super::token::TokenCache;

/// Access to an organization's environment, with the limiter and the token shared by all requests.
pub(super) struct OrganizationEnvironment {
    pub(super) access: Access,
    pub(super) limiter: Arc<Limiter>,
    pub(super) token: TokenCache,
    /// Fleet of workers, one of which may send requests.
    pub(super) fleet: Arc<dyn Fleet>,
}

impl OrganizationEnvironment {
    /// Creates an environment without any state, which this worker may use whoever owns the organization.
    pub(super) fn new(access: Access, authority: &str, concurrency: usize) -> Arc<Self> {
        Self::with(access, authority, Limiter::new(concurrency), Arc::new(SoloFleet::new()))
    }

    /// Returns true if a request may begin now.
    pub(super) fn may_act(&self) -> bool {
        self.fleet.may_act(&self.access.settings.organization_id)
    }

    /// Returns the start of a step's hold, if the step is held while others are not.
    pub(super) fn held(&self, step: StepName) -> Option<Timestamp> {
        let now = Instant::now();
        let since = self.limiter.held_since(step, now)?;
        Timestamp::now().saturating_sub(now.saturating_duration_since(since)).ok()
    }

    /// Creates an environment with an existing limiter.
    pub(super) fn with(access: Access, authority: &str, limiter: Arc<Limiter>, fleet: Arc<dyn Fleet>) -> Arc<Self> {
        let token = TokenCache::new(authority, &access);
        Arc::new(Self { access, limiter, token, fleet })
    }
}
