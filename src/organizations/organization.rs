//! One organization: its settings, its credentials and the origin of both.

use std::sync::Arc;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::workflow::Settings;
use jiff::Timestamp;

use super::origin::Origin;
use crate::dynamics::{Access, Credentials, Withheld};

/// OpenCX customer as configured by its file or a saved document.
#[derive(Clone, PartialEq, Debug)]
pub struct Organization {
    /// Settings that determine the requests to Dynamics.
    pub settings: Arc<Settings>,
    /// Credentials for Entra ID.
    pub credentials: Credentials,
    /// Origin of the settings.
    pub source: Origin,
    /// Reason why the organization can't be used and its events wait, if any.
    pub withheld: Option<Withheld>,
}

impl Organization {
    /// Returns the access to its environment.
    pub fn access(&self) -> Access {
        Access {
            settings: self.settings.clone(),
            credentials: self.credentials.clone(),
            withheld: self.withheld.clone(),
        }
    }

    /// Returns the end of its credential, with its id, if it can be known.
    pub(super) fn credential_end(&self) -> Option<(&OrganizationId, Timestamp)> {
        Some((&self.settings.organization_id, self.credentials.credential.expires_at()?))
    }
}
