//! In: the directory of organization files, and the result of its last reading.
//! Out: its organizations, their changes and the faults; a file put in place.
//! Absent: the keys of a file; the time of the next reading.

mod directory;
mod faulty;
mod snapshot;
mod write;

pub use directory::{DirectoryListing, Loaded, read};
pub use snapshot::{OrganizationChange, Snapshot, Update};
pub use write::{Holds, WriteError, write_file};
