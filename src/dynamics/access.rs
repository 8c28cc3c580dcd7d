//! Access to an organization's environment: its address, its settings and its credentials.

use std::sync::Arc;

use handoffd_engine::workflow::Settings;

use super::credential::ClientCredential;
use super::withheld::Withheld;

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
#[derive(Clone, PartialEq, Debug)]
pub struct Credentials {
    /// GUID or domain name of the directory.
    pub tenant_id: String,
    /// GUID of the application.
    pub client_id: String,
    /// Credential of the application.
    pub credential: ClientCredential,
}
