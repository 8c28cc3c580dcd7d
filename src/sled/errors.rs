//! What the seam calls the failures of this store.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use handoffd_engine::ports::store::StoreError;

use super::connect::{Refused, is_room, meaning, panic_text};

/// Something could not be read.
pub(super) fn unreadable(what: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::Read { what, source: Arc::from(source.into()) }
}

/// Something could not be written or made durable.
pub(super) fn unwritten(source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::Write { source: Arc::from(source.into()) }
}

/// Whether it failed for want of room on the disk.
pub(super) fn is_for_want_of_room(problem: &StoreError) -> bool {
    let (StoreError::Write { source } | StoreError::Read { source, .. }) = problem else { return false };
    matches!(source.downcast_ref::<sled::Error>(), Some(sled::Error::Io(cause)) if is_room(cause))
}

/// A panic inside sled.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Panicked(String);

/// Turns a panic inside sled into an error: damage that opening did not find must not take the worker down.
pub(super) fn calmly<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| Panicked(panic_text(panic.as_ref())))
}

/// Whether sled says, or shows by a panic, that what it has on disk makes no sense.
pub(super) fn is_damage(problem: &StoreError) -> bool {
    let (StoreError::Write { source } | StoreError::Read { source, .. }) = problem else { return false };
    let reported = source.downcast_ref::<sled::Error>().map(meaning);
    source.is::<Panicked>() || matches!(reported, Some(Refused::Damaged(_)))
}
