//! Reason why the store can't be used, from the parts that each may have one.

use std::sync::{Mutex, PoisonError};

use handoffd_engine::ports::store::StoreError;
use tokio::sync::watch;

/// Part of the store without which no event can be processed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StorePart {
    /// Connection that reads.
    Reader,
    /// Connection that commits.
    Committer,
    /// Commits themselves.
    Commits,
    /// Lease of this worker.
    Heartbeat,
}

/// Health of the store.
pub(super) struct StoreHealth {
    parts: Mutex<[Option<StoreError>; 4]>,
    problem: watch::Sender<Option<StoreError>>,
}

impl StoreHealth {
    /// Creates the health of a store that is healthy so far.
    pub(super) fn new() -> Self {
        Self { parts: Mutex::default(), problem: watch::Sender::new(None) }
    }

    /// Subscribes to the reason why the store can't be used.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<StoreError>> {
        self.problem.subscribe()
    }

    /// Fails with the reason why the store can't be used.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        match &*self.problem.borrow() {
            Some(problem) => Err(problem.clone()),
            None => Ok(()),
        }
    }

    /// Sets or clears the problem of a part.
    pub(super) fn set(&self, part: StorePart, problem: Option<StoreError>) {
        let first = {
            let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
            parts[part as usize] = problem;
            parts.iter().flatten().next().cloned()
        };
        self.problem.send_if_modified(|known| {
            let changed = known.as_ref().map(ToString::to_string) != first.as_ref().map(ToString::to_string);
            *known = first;
            changed
        });
    }
}
