//! Content of the disk, overlaid with the pending changes.

use std::collections::BTreeMap;

use handoffd_engine::ports::store::StoreError;
use sled::{IVec, Tree};

use super::errors::unreadable;
use super::pending::PendingWrites;

/// Store as its callers see it.
pub(super) struct StoreView<'a> {
    tree: &'a Tree,
    pending: &'a mut PendingWrites,
}

impl<'a> StoreView<'a> {
    /// Creates a view in which pending changes hide the disk.
    pub(super) fn new(tree: &'a Tree, pending: &'a mut PendingWrites) -> Self {
        Self { tree, pending }
    }

    /// Returns the content of the disk alone, for walks that have made everything durable before.
    pub(super) fn tree(&self) -> &'a Tree {
        self.tree
    }

    /// Returns the pending changes.
    pub(super) fn pending(&mut self) -> &mut PendingWrites {
        self.pending
    }

    /// Returns the value of a key; `what` names it in the error.
    pub(super) fn get(&self, what: &'static str, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        match self.pending.get(key) {
            Some(value) => Ok(value.as_deref().map(IVec::from)),
            None if !self.pending.may_be_on_disk(key) => Ok(None),
            None => self.tree.get(key).map_err(|error| unreadable(what, error)),
        }
    }

    /// Returns all rows with this prefix, ordered by key.
    pub(super) fn begins_with(&self, what: &'static str, prefix: &[u8]) -> Result<BTreeMap<IVec, IVec>, StoreError> {
        let rows = self.tree.scan_prefix(prefix).collect::<Result<BTreeMap<IVec, IVec>, _>>();
        let mut rows = rows.map_err(|error| unreadable(what, error))?;
        for (key, value) in self.pending.begins_with(prefix) {
            match value {
                Some(value) => rows.insert(key.into(), value.into()),
                None => rows.remove(key),
            };
        }
        Ok(rows)
    }
}
