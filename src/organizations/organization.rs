//! One organization: its settings, its credentials and the origin of both.

use handoffd_engine::workflow::Settings;
use secrecy::{ExposeSecret, SecretString};

use super::origin::Origin;

/// OpenCX customer as configured by its file or a saved document.
#[derive(Clone, Debug)]
pub struct Organization {
    /// Settings that determine the requests to Dynamics.
    pub settings: Settings,
    /// Credentials for Entra ID.
    pub credentials: Credentials,
    /// Origin of the settings.
    pub source: Origin,
    /// Reason why the organization can't be used and its events wait, if any.
    pub withheld: Option<Withheld>,
}

/// Reason why an organization can't be used: its file or its saved document is invalid.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Withheld {
    /// Description of the fault.
    pub why: String,
    /// Advice to the operator.
    pub advice: String,
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

impl PartialEq for Organization {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
            && self.credentials == other.credentials
            && self.source == other.source
            && self.withheld == other.withheld
    }
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        // Only the worker compares secrets, those of its own files, so the comparison need not take constant time.
        self.tenant_id == other.tenant_id
            && self.client_id == other.client_id
            && self.client_secret.expose_secret() == other.client_secret.expose_secret()
    }
}
