//! One organization's environment: how to reach it, with what credentials.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::gate::Gate;
use super::token::TokenCache;
use crate::machine::Settings;

/// What it takes to reach an organization's environment. Its `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Access {
    /// What its records look like, and where it is.
    pub settings: Arc<Settings>,
    /// Entra ID tenant.
    pub tenant_id: String,
    /// The application.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
}

impl Access {
    /// Whether nothing has changed.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.settings == other.settings
            && self.tenant_id == other.tenant_id
            && self.client_id == other.client_id
            && self.client_secret.expose_secret() == other.client_secret.expose_secret()
    }
}

/// An organization's access, with what is shared by all who use it.
pub(super) struct Environment {
    pub(super) access: Access,
    pub(super) gate: Gate,
    pub(super) token: TokenCache,
}

impl Environment {
    pub(super) fn new(access: Access, authority: &str, concurrency: usize) -> Self {
        let token = TokenCache::new(authority, &access);
        Self { access, gate: Gate::new(concurrency), token }
    }
}
