//! In: a directory of organization files, read again at intervals; rows of the store; operators' requests.
//! Out: the organizations in effect, passed to the adapters; their changes and faults; their state as operators see it.
//! Absent: the transport of their events; HTTP and the command line.

mod document;
mod file_faults;
mod files;
mod known;
mod load;
mod observer;
mod operations;
mod organization;
mod origin;
mod owner_report;
mod queues;
mod registry;
mod reload;
mod reports;
mod saved;
mod vault;
mod view;

pub use crate::dynamics::{CheckProgress, CheckResult, Finding, SetupHalf};
pub use document::{parse, schema};
pub use files::{DirectoryListing, Holds, Loaded, OrganizationChange, Snapshot, Update, WriteError, read, write_file};
pub use load::{load_everything, load_to_run};
pub use operations::{OrganizationError, Organizations, OrganizationsReport};
pub use organization::Organization;
pub use origin::Origin;
pub use registry::{OrganizationRegistry, RegistryDeps};
pub use reload::OrganizationReloader;
pub use saved::read_saved;
pub use vault::Vault;
pub use view::{OrganizationState, OrganizationView, TestReport};
