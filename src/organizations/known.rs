//! Merge of the organizations from files with those saved in the store. A file takes precedence.

use std::collections::{BTreeMap, BTreeSet};

use handoffd_engine::event::OrganizationId;
use jiff::Timestamp;
use serde_json::Value;

use super::files::{OrganizationChange, Snapshot};
use super::organization::Organization;
use super::saved::read_saved;
use super::vault::Vault;
use crate::config::Config;

/// Organizations from files and from the store, with their pauses. No method waits for a file or the store.
#[derive(Default)]
pub(super) struct KnownOrganizations {
    /// Organizations of the directory.
    pub(super) files: Snapshot,
    /// Paused organizations, and the start of each pause.
    pub(super) pauses: BTreeMap<OrganizationId, Timestamp>,
    /// Saved organizations, or the reason that one can't be read.
    saved: BTreeMap<OrganizationId, Result<Organization, String>>,
    /// Merged organizations that are in effect.
    in_force: Snapshot,
    /// Saved organizations that a file overrides.
    shadowed: BTreeSet<OrganizationId>,
}

/// Result of a merge.
#[derive(Default)]
pub(super) struct RefreshResult {
    /// Changes since the merge before.
    pub(super) changes: Vec<OrganizationChange>,
    /// Problems of saved organizations, one line each.
    pub(super) problems: Vec<String>,
}

impl KnownOrganizations {
    /// Creates a roster with the organizations of files. None is in effect before the first merge.
    pub(super) fn of(files: Snapshot) -> Self {
        Self { files, ..Self::default() }
    }

    /// Returns the organizations that are in effect.
    pub(super) fn in_force(&self) -> &Snapshot {
        &self.in_force
    }

    /// Returns an organization that is in effect.
    pub(super) fn get(&self, id: &OrganizationId) -> Option<&Organization> {
        self.in_force.get(id)
    }

    /// Returns true if an organization with this id was saved.
    pub(super) fn has_saved(&self, id: &OrganizationId) -> bool {
        self.saved.contains_key(id)
    }

    /// Adds a saved organization in its stored form. The result of reading it does not change during the life of the
    /// process.
    pub(super) fn save(&mut self, id: OrganizationId, kept: &Value, vault: &Vault, config: &Config) {
        let read = read_saved(&id, kept, vault, config)
            .map_err(|faults| format!("{id}: {faults}; its events are dead-lettered"));
        self.saved.insert(id, read);
    }

    /// Removes a saved organization.
    pub(super) fn forget(&mut self, id: &OrganizationId) {
        self.saved.remove(id);
    }

    /// Removes all saved organizations.
    pub(super) fn forget_saved(&mut self) {
        self.saved.clear();
    }

    /// Merges files and saved organizations, and returns the difference.
    pub(super) fn refresh(&mut self) -> RefreshResult {
        let files = self.files.iter().cloned();
        let rows = self.saved.values().flatten();
        let rows = rows.filter(|row| self.files.get(&row.settings.organization_id).is_none()).cloned();
        let next = Snapshot::new(files.chain(rows).collect());
        let changes = self.in_force.changes(&next);
        self.in_force = next;
        RefreshResult { changes, problems: self.saved.iter().filter_map(problem).collect() }
    }

    /// Returns the saved organizations that a file has begun to override since the last call, each with that file.
    pub(super) fn newly_shadowed(&mut self) -> Vec<(OrganizationId, String)> {
        let file = |id: &OrganizationId| Some((id.clone(), self.files.get(id)?.source.to_string()));
        let now: BTreeMap<OrganizationId, String> = self.saved.keys().filter_map(file).collect();
        let before = std::mem::replace(&mut self.shadowed, now.keys().cloned().collect());
        now.into_iter().filter(|(id, _)| !before.contains(id)).collect()
    }
}

fn problem((id, saved): (&OrganizationId, &Result<Organization, String>)) -> Option<String> {
    match saved {
        Ok(organization) => {
            organization.withheld.as_ref().map(|withheld| format!("{id}: {} {}", withheld.why, withheld.advice))
        }
        Err(problem) => Some(problem.clone()),
    }
}
