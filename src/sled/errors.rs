//! Conversion of this store's failures to the errors of the store port.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use handoffd_engine::ports::store::StoreError;

use super::connect::{OpenRefused, is_out_of_space, meaning, panic_text};

/// Returns the error of a failed read.
pub(super) fn unreadable(what: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::Read { what, source: Arc::from(source.into()) }
}

/// Returns the error of a failed write or sync.
pub(super) fn unwritten(source: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::Write { source: Arc::from(source.into()) }
}

/// Returns the error of a store that could not be opened.
pub(super) fn failed(path: &Path, problem: &str) -> StoreError {
    StoreError::Open { path: path.display().to_string(), problem: problem.to_owned() }
}

/// Reports whether the operation failed because the disk is full.
pub(super) fn is_disk_full(problem: &StoreError) -> bool {
    let (StoreError::Write { source } | StoreError::Read { source, .. }) = problem else { return false };
    matches!(source.downcast_ref::<sled::Error>(), Some(sled::Error::Io(cause)) if is_out_of_space(cause))
}

/// Panic inside sled.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Panicked(String);

/// Turns a panic inside sled into an error, so that damage not found at opening does not end the worker.
pub(super) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| Panicked(panic_text(panic.as_ref())))
}

/// Reports whether sled returned an error for damage or panicked.
pub(super) fn is_damage(problem: &StoreError) -> bool {
    let (StoreError::Write { source } | StoreError::Read { source, .. }) = problem else { return false };
    let reported = source.downcast_ref::<sled::Error>().map(meaning);
    source.is::<Panicked>() || matches!(reported, Some(OpenRefused::Damaged(_)))
}
