//! What the seam calls the failures of this store.

use std::error::Error;
use std::sync::Arc;

use crate::store::StoreError;

/// Something could not be read.
pub(super) fn unreadable(what: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::Read { what, source: Arc::from(source.into()) }
}

/// Something could not be written or made durable.
pub(super) fn unwritten(source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::Write { source: Arc::from(source.into()) }
}
