//! In: a directory of organization files, what the last reading of it gave; documents that were saved over HTTP.
//! Out: organizations with typed settings and credentials; what changed; what is wrong; secrets sealed and opened again.
//! Absent: watching the directory, where saved documents are kept, requests to Dynamics.

mod directory;
mod faulty;
mod file;
mod json;
mod place;
mod saved;
pub mod schema;
mod snapshot;
mod source;
mod ticket;
mod vault;

use std::path::Path;

use handoffd_engine::workflow::Settings;
use secrecy::{ExposeSecret, SecretString};

pub use super::document::text;
pub(super) use directory::list;
pub use directory::{Listing, Loaded, read};
pub use file::{parse, parse_document};
pub use place::{Holds, PlaceError, place};
pub use saved::{read_saved, sealed, to_be_resealed};
pub use snapshot::{Change, Snapshot, Update};
pub use source::Source;
pub use vault::{Unopened, Vault};

use super::fault::Faults;
use super::model::Config;

/// An OpenCX customer as its file configures it.
#[derive(Clone, Debug)]
pub struct Organization {
    /// What decides what Dynamics receives.
    pub settings: Settings,
    /// What it signs in with.
    pub credentials: Credentials,
    /// Where it stands.
    pub source: Source,
    /// Why it can't be used as it is: its events wait.
    pub withheld: Option<Withheld>,
}

/// Why an organization can't be used: what was saved of it, or its file, is at fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Withheld {
    /// What is wrong with it.
    pub why: String,
    /// What to do about it.
    pub advice: String,
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

/// Every organization of the directory without a fault, and everything that is wrong there.
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
        self.settings == other.settings
            && self.credentials == other.credentials
            && self.source == other.source
            && self.withheld == other.withheld
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
