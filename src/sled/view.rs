//! What is on disk, with what is pending over it.

use std::collections::BTreeMap;

use handoffd_engine::ports::store::StoreError;
use sled::{IVec, Tree};

use super::errors::unreadable;
use super::pending::Pending;

/// The store as its callers see it.
pub(super) struct View<'a> {
    tree: &'a Tree,
    pending: &'a mut Pending,
}

impl<'a> View<'a> {
    /// Everything that is pending hides what is on disk.
    pub(super) fn new(tree: &'a Tree, pending: &'a mut Pending) -> Self {
        Self { tree, pending }
    }

    /// What is on disk alone, for walks that have made everything durable before.
    pub(super) fn tree(&self) -> &'a Tree {
        self.tree
    }

    /// What is pending.
    pub(super) fn pending(&mut self) -> &mut Pending {
        self.pending
    }

    /// The value of a key; `what` names it in the error.
    pub(super) fn get(&self, what: &'static str, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        match self.pending.get(key) {
            Some(value) => Ok(value.as_deref().map(IVec::from)),
            None if !self.pending.may_be_on_disk(key) => Ok(None),
            None => self.tree.get(key).map_err(|error| unreadable(what, error)),
        }
    }

    /// Everything that begins so, in the keys' order.
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
