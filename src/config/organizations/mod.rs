//! In: a directory of organization files and the result of its last reading; documents saved over HTTP.
//! Out: organizations with typed settings and credentials; changes; faults; encrypted and decrypted secrets.
//! Absent: watching the directory, storage of saved documents, requests to Dynamics.

mod directory;
mod faulty;
mod file;
mod json;
mod place;
mod saved;
pub mod schema;
mod snapshot;
mod origin;
mod ticket;
mod vault;

use std::path::Path;

use handoffd_engine::workflow::Settings;
use secrecy::{ExposeSecret, SecretString};

pub use super::document::text;
pub(super) use directory::list;
pub use directory::{DirectoryListing, Loaded, read};
pub use file::{parse, parse_document};
pub use origin::Origin;
pub use place::{Holds, WriteError, write_file};
pub use saved::{encrypt_document, read_saved, to_be_resealed};
pub use snapshot::{OrganizationChange, Snapshot, Update};
pub use vault::{DecryptError, Vault};

use super::fault::ConfigFaults;
use super::model::Config;

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

/// Reads the directory and returns every organization without a fault, and all faults.
pub fn load_all(
    directory: &Path,
    config: &Config,
    env: impl Iterator<Item = (String, String)>,
) -> (Vec<Organization>, ConfigFaults) {
    let loaded = read(directory, config, &env.collect());
    (loaded.organizations, loaded.faults)
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
