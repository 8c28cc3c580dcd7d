//! What the seam calls the failures of this store.

use std::error::Error;
use std::sync::Arc;

use super::connect::is_room;
use crate::store::StoreError;

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
