//! In: a directory of organization files, read again at intervals; rows of the store; operators' requests.
//! Out: the organizations in effect, passed to the adapters; their changes and faults; their state as operators see it.
//! Absent: the transport of their events; HTTP and the command line.

mod document;
mod files;
mod known;
mod load;
mod operations;
mod operators;
mod organization;
mod origin;
mod queues;
mod registry;
mod reload;
mod saved;
mod subscribers;
mod vault;
mod view;

pub use document::{parse, parse_document, schema};
pub use files::{DirectoryListing, Holds, Loaded, OrganizationChange, Snapshot, Update, WriteError, read, write_file};
pub use load::{load_everything, load_to_run};
pub use operations::{OrganizationError, Organizations};
pub use organization::{Credentials, Organization, Withheld};
pub use origin::Origin;
pub use queues::OrganizationQueueKeeper;
pub use registry::OrganizationRegistry;
pub use reload::OrganizationReloader;
pub use saved::{encrypt_document, read_saved, to_be_resealed};
pub use subscribers::{Subscribers, access};
pub use vault::{DecryptError, Vault};
pub use view::{
    Check, CheckResult, OrganizationState, OrganizationView, SettingsSource, SetupHalf, TestReport, report,
};
