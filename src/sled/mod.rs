//! In: changes and questions; the folder of the store.
//! Out: a [`Store`](super::Store) in one file of one process, durable by group commit.
//! Absent: what the records mean; anything that must not be lost with the disk.

mod acceptance;
mod codec;
mod commit;
mod connect;
mod draft;
mod errors;
mod folder;
mod journal;
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
mod unended;
mod view;

pub use acceptance::{Unaccepted, unaccepted};
#[doc(hidden)]
pub use commit::Disk;
#[doc(hidden)]
pub use open::open_with;
pub use open::{OnCorruption, Opened, Options, Quarantined, open};
pub use store::SledStore;

/// Whether work that is done a little at a time goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// There is more to do.
    More,
    /// That was all.
    Done,
}
