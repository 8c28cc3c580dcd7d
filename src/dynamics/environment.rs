//! Environment of one organization: its address, its credentials, and the state shared by all who send requests to it.

use std::sync::Arc;
use std::time::Instant;

use handoffd_engine::workflow::{Settings, StepName};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::limiter::Limiter;
use super::token::TokenCache;

/// Address and credentials of an organization's environment. Its `Debug` output contains no secret.
#[derive(Clone, Debug)]
pub struct Access {
    /// Settings for its records, including the environment's URL.
    pub settings: Arc<Settings>,
    /// Entra ID tenant.
    pub tenant_id: String,
    /// Client id of the application in Entra ID.
    pub client_id: String,
    /// Client secret of the application.
    pub client_secret: Secret,
}

/// Client secret of an application.
#[derive(Clone, Debug)]
pub enum Secret {
    /// The secret is available.
    Known(SecretString),
    /// The secret is unavailable. The organization is blocked, and its events wait.
    Withheld {
        /// Reason why the secret is unavailable.
        why: String,
        /// Advice for operators.
        advice: String,
    },
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        // The worker compares its own settings, so the comparison need not run in constant time.
        match (self, other) {
            (Self::Known(one), Self::Known(other)) => one.expose_secret() == other.expose_secret(),
            (Self::Withheld { why: one, .. }, Self::Withheld { why: other, .. }) => one == other,
            _ => false,
        }
    }
}

impl Access {
    /// Returns true if both are identical.
    pub(super) fn is_identical(&self, other: &Self) -> bool {
        self.settings == other.settings
            && self.tenant_id == other.tenant_id
            && self.client_id == other.client_id
            && self.client_secret == other.client_secret
    }
}

/// Access to an organization's environment, with the limiter and the token shared by all requests.
pub(super) struct OrganizationEnvironment {
    pub(super) access: Access,
    pub(super) gate: Arc<Limiter>,
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
        let since = self.gate.held_since(step, now)?;
        Timestamp::now().saturating_sub(now.saturating_duration_since(since)).ok()
    }

    /// Creates an environment with an existing limiter.
    pub(super) fn with(access: Access, authority: &str, gate: Arc<Limiter>) -> Arc<Self> {
        let token = TokenCache::new(authority, &access);
        Arc::new(Self { access, gate, token })
    }
}
