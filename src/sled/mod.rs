//! In: changes and queries; the path of the store's folder.
//! Out: a [`Store`](super::Store) in one file, owned by one process and made durable by group commit.
//! Absent: the meaning of records; data that must survive the loss of the disk.

mod acceptance;
mod batch_builder;
mod codec;
mod commit;
mod connect;
mod database;
mod errors;
mod folder;
mod keys;
mod listing;
mod open;
mod operators;
mod options;
mod outcome_index;
mod owner;
mod pending;
mod quarantine;
mod read;
mod reopen;
mod scan_turns;
mod scanning;
mod schema;
mod state;
mod store;
mod sweep;
mod transfer;
mod unfinished_index;
mod view;

pub use acceptance::{Unaccepted, unaccepted};
#[doc(hidden)]
pub use database::Disk;
#[doc(hidden)]
pub use open::open_with;
pub use open::{Opened, open};
pub use options::{CorruptionPolicy, SledOptions};
pub use quarantine::Quarantined;
pub use store::SledStore;

/// Result of one step of work that is done in small steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SweepStep {
    /// More work remains.
    More,
    /// The work is complete.
    Done,
}
