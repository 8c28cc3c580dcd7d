//! Access to an organization's environment: its address, its settings and its credentials.

use std::sync::Arc;

use handoffd_engine::workflow::Settings;
use secrecy::{ExposeSecret, SecretString};

/// Address and credentials of an organization's environment. Its `Debug` output contains no secret.
#[derive(Clone, PartialEq, Debug)]
pub struct Access {
    /// Settings for its records, including the environment's URL.
    pub settings: Arc<Settings>,
    /// Credentials for Entra ID.
    pub credentials: Credentials,
    /// Reason why the organization is blocked and its events wait, whatever its credentials, if any.
    pub withheld: Option<Withheld>,
}

/// Credentials of one organization at Entra ID.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// GUID or domain name of the directory.
    pub tenant_id: String,
    /// GUID of the application.
    pub client_id: String,
    /// Value of the application's secret.
    pub client_secret: SecretString,
}

/// Reason why an organization can't be used: its file or its saved document is invalid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Withheld {
    /// Description of the fault.
    pub why: String,
    /// Advice to the operator.
    pub advice: String,
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        // Only the worker compares secrets, those of its own files, so the comparison need not take constant time.
        self.tenant_id == other.tenant_id
            && self.client_id == other.client_id
            && self.client_secret.expose_secret() == other.client_secret.expose_secret()
    }
}
