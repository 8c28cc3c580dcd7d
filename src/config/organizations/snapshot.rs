//! Which organizations are in force, across changes of their files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Organization;
use super::directory::{Listing, Loaded};
use crate::config::fault::Faults;
use crate::event::OrganizationId;

/// The organizations in force.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Snapshot(BTreeMap<OrganizationId, Organization>);

/// A snapshot and how it differs from the one before.
#[derive(Clone, PartialEq, Debug)]
pub struct Update {
    /// What is in force from now on.
    pub snapshot: Snapshot,
    /// What is different.
    pub changes: Vec<Change>,
    /// What is wrong with the files.
    pub faults: Faults,
    /// Files at fault whose last good version stays in force.
    pub kept: Vec<PathBuf>,
}

/// What became of one organization.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// It is new.
    Added(OrganizationId),
    /// Its settings or credentials are others.
    Changed(OrganizationId),
    /// It is gone: its events are dead letters from now on.
    Removed(OrganizationId),
}

impl Snapshot {
    /// Exactly these.
    pub fn new(organizations: Vec<Organization>) -> Self {
        let keyed =
            organizations.into_iter().map(|organization| (organization.settings.organization_id.clone(), organization));
        Self(keyed.collect())
    }

    /// One of them.
    pub fn get(&self, id: &OrganizationId) -> Option<&Organization> {
        self.0.get(id)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Organization> {
        self.0.values()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a new reading of the directory changes. A file at fault keeps its last good version in
    /// force; so does every file when the directory can't be read. A good file wins over the last good
    /// version of a broken one with the same id.
    pub fn reload(&self, loaded: Loaded) -> Update {
        let mut next = Self::new(loaded.organizations);
        let mut kept = Vec::new();
        for (id, organization) in &self.0 {
            let broken = loaded.broken.contains(&organization.file);
            if (broken || loaded.listing != Listing::Read) && !next.0.contains_key(id) {
                next.0.insert(id.clone(), organization.clone());
                kept.push(organization.file.clone());
            }
        }
        Update { changes: self.changes(&next), snapshot: next, faults: loaded.faults, kept }
    }

    fn changes(&self, next: &Self) -> Vec<Change> {
        let removed = self.0.keys().filter(|id| !next.0.contains_key(*id));
        let removed = removed.cloned().map(Change::Removed);
        let others = next.0.iter().filter_map(|(id, organization)| match self.0.get(id) {
            None => Some(Change::Added(id.clone())),
            Some(before) if before != organization => Some(Change::Changed(id.clone())),
            Some(_) => None,
        });
        removed.chain(others).collect()
    }
}
