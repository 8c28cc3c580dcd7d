//! Access to an organization's environment: its address, its settings and its credentials.

use std::sync::Arc;

use handoffd_engine::workflow::Settings;
use secrecy::{ExposeSecret, SecretString};

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
