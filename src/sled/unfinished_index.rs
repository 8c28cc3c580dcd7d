//! Index of the unfinished events, and of the notes of queued ones, that may be on disk. Usually there are none, while
//! every event queries it several times.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use sled::Tree;

use super::keys::{UNENDED, WAITING};

/// Keys with their new values; `None` removes a key.
pub(super) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Digests of keys. A superfluous one costs a read of the disk; none is ever missing.
pub(super) struct UnfinishedIndex {
    digests: HashSet<u64>,
}

impl UnfinishedIndex {
    /// Returns the empty index of a new database.
    pub(super) fn none() -> Self {
        Self { digests: HashSet::new() }
    }

    /// Reads the unfinished events on disk.
    pub(super) fn of(tree: &Tree) -> sled::Result<Self> {
        let keys = tree.scan_prefix(UNENDED).keys().chain(tree.scan_prefix(WAITING).keys());
        let digests = keys.map(|key| key.map(|key| digest(&key))).collect::<sled::Result<_>>()?;
        Ok(Self { digests })
    }

    /// Reports whether this key may be on disk; every key of another kind may.
    pub(super) fn may_have(&self, key: &[u8]) -> bool {
        !(key.starts_with(UNENDED) || key.starts_with(WAITING)) || self.digests.contains(&digest(key))
    }

    /// Records that these changes are about to be written.
    pub(super) fn will_have(&mut self, writes: &Writes) {
        self.digests.extend(of(writes).filter(|(_, value)| value.is_some()).map(|(key, _)| digest(key)));
    }

    /// Records that these changes are on disk.
    pub(super) fn has(&mut self, writes: &Writes) {
        for (key, value) in of(writes) {
            if value.is_none() {
                self.digests.remove(&digest(key));
            }
        }
    }
}

fn of(writes: &Writes) -> impl Iterator<Item = (&Vec<u8>, &Option<Vec<u8>>)> {
    let of =
        |prefix: &'static [u8]| writes.range(prefix.to_vec()..).take_while(move |(key, _)| key.starts_with(prefix));
    of(UNENDED).chain(of(WAITING))
}

fn digest(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}
