//! One organization's environment: how to reach it, with what credentials.

use std::sync::Arc;
use std::time::Instant;

use handoffd_engine::workflow::{Settings, StepName};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::gate::Gate;
use super::token::TokenCache;

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
    pub client_secret: Secret,
}

/// An application's secret.
#[derive(Clone, Debug)]
pub enum Secret {
    /// Here it is.
    Known(SecretString),
    /// It can't be had: why, and what to do about it. The organization is blocked, and its events wait.
    Withheld {
        /// What is wrong.
        why: String,
        /// In plain words.
        advice: String,
    },
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        // Whether a secret changed is asked by the worker itself, of its own settings: no timing to hide.
        match (self, other) {
            (Self::Known(one), Self::Known(other)) => one.expose_secret() == other.expose_secret(),
            (Self::Withheld { why: one, .. }, Self::Withheld { why: other, .. }) => one == other,
            _ => false,
        }
    }
}

impl Access {
    /// Whether nothing has changed.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.settings == other.settings
            && self.tenant_id == other.tenant_id
            && self.client_id == other.client_id
            && self.client_secret == other.client_secret
    }
}

/// An organization's access, with what is shared by all who use it.
pub(super) struct Environment {
    pub(super) access: Access,
    pub(super) gate: Arc<Gate>,
    pub(super) token: TokenCache,
}

impl Environment {
    /// One that nothing is known of.
    pub(super) fn new(access: Access, authority: &str, concurrency: usize) -> Arc<Self> {
        Self::with(access, authority, Gate::new(concurrency))
    }

    /// Since when a step is held, while others are not.
    pub(super) fn held(&self, step: StepName) -> Option<Timestamp> {
        let now = Instant::now();
        let since = self.gate.held_since(step, now)?;
        Timestamp::now().saturating_sub(now.saturating_duration_since(since)).ok()
    }

    /// One whose gate is there already.
    pub(super) fn with(access: Access, authority: &str, gate: Arc<Gate>) -> Arc<Self> {
        let token = TokenCache::new(authority, &access);
        Arc::new(Self { access, gate, token })
    }
}
