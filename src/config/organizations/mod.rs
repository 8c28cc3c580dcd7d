//! In: a directory of organization files, what the last reading of it gave.
//! Out: organizations with typed settings and credentials; what changed; what is wrong.
//! Absent: watching the directory, rows saved through the API, requests to Dynamics.

mod directory;
mod file;
pub mod schema;
mod snapshot;
mod ticket;

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

pub use directory::{Loaded, read};
pub use file::parse;
pub use snapshot::{Change, Snapshot, Update};

use super::fault::Faults;
use super::model::Config;
use crate::machine::Settings;

/// An OpenCX customer as its file configures it.
#[derive(Clone, Debug)]
pub struct Organization {
    /// What decides what Dynamics receives.
    pub settings: Settings,
    /// What it signs in with.
    pub credentials: Credentials,
    /// Where it stands.
    pub file: PathBuf,
}

/// What the worker signs in with at Entra ID, for one organization.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// GUID or domain name of the directory.
    pub tenant_id: String,
    /// GUID of the application.
    pub client_id: String,
    /// Its secret's value.
    pub client_secret: SecretString,
}

/// Every organization of the directory, and everything that is wrong there. The worker does not start
/// with a fault; a running one keeps the last good version ([`Snapshot`]).
pub fn load_all(
    directory: &Path,
    config: &Config,
    env: impl Iterator<Item = (String, String)>,
) -> (Vec<Organization>, Faults) {
    let loaded = read(directory, config, &env.collect());
    (loaded.organizations, loaded.faults)
}

impl PartialEq for Organization {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings && self.credentials == other.credentials && self.file == other.file
    }
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        // Whether a secret changed is asked by the worker itself, of its own files: no timing to hide.
        self.tenant_id == other.tenant_id
            && self.client_id == other.client_id
            && self.client_secret.expose_secret() == other.client_secret.expose_secret()
    }
}
