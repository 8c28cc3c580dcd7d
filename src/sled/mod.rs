//! In: changes and queries; the path of the store's folder.
//! Out: a [`Store`](super::Store) in one file, owned by one process and made durable by group commit.
//! Absent: the meaning of records; data that must survive the loss of the disk.

mod acceptance;
mod codec;
mod commit;
mod connect;
mod batch_builder;
mod errors;
mod folder;
mod outcome_index;
mod keys;
mod listing;
mod open;
mod owner;
mod pending;
mod read;
mod reopen;
mod schema;
mod state;
mod store;
mod sweep;
mod unfinished_index;
mod view;

pub use acceptance::{Unaccepted, unaccepted};
#[doc(hidden)]
pub use commit::Disk;
#[doc(hidden)]
pub use open::open_with;
pub use open::{CorruptionPolicy, Opened, Quarantined, SledOptions, open};
pub use store::SledStore;

/// Result of one step of work that is done in small steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum SweepStep {
    /// More work remains.
    More,
    /// The work is complete.
    Done,
}
