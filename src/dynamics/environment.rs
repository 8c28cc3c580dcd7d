//! Environment of one organization: access to it, and the state shared by all who send requests to it.

use std::sync::Arc;
use std::time::Instant;

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
}

impl OrganizationEnvironment {
    /// Creates an environment without any state.
    pub(super) fn new(access: Access, authority: &str, concurrency: usize) -> Arc<Self> {
        Self::with(access, authority, Limiter::new(concurrency))
    }

    /// Returns the start of a step's hold, if the step is held while others are not.
    pub(super) fn held(&self, step: StepName) -> Option<Timestamp> {
        let now = Instant::now();
        let since = self.limiter.held_since(step, now)?;
        Timestamp::now().saturating_sub(now.saturating_duration_since(since)).ok()
    }

    /// Creates an environment with an existing limiter.
    pub(super) fn with(access: Access, authority: &str, limiter: Arc<Limiter>) -> Arc<Self> {
        let token = TokenCache::new(authority, &access);
        Arc::new(Self { access, limiter, token })
    }
}
