//! Keys of changes that are not committed yet. A reader of such a key waits for their commit, so every change is
//! visible as soon as its call has returned, and a note costs no trip of its own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use handoffd_engine::ports::store::Change;
use uuid::Uuid;

use super::batch::read_key;

/// Keys of uncommitted changes, each with the number of changes.
#[derive(Default)]
pub(super) struct PendingKeys(Mutex<HashMap<Uuid, usize>>);

impl PendingKeys {
    /// Adds the keys of changes that wait for their commit.
    pub(super) fn add(&self, changes: &[Change]) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in changes.iter().filter_map(read_key) {
            *keys.entry(key).or_default() += 1;
        }
    }

    /// Removes the keys of changes whose commit has ended.
    pub(super) fn remove(&self, changes: &[Change]) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in changes.iter().filter_map(read_key) {
            if let Some(count) = keys.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    keys.remove(&key);
                }
            }
        }
    }

    /// Reports whether a change of one of these keys is uncommitted.
    pub(super) fn any(&self, wanted: impl Iterator<Item = Uuid>) -> bool {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = wanted;
        !keys.is_empty() && wanted.any(|key| keys.contains_key(&key))
    }
}
