//! Which organizations are in force: those of files, and those that were saved where no file says otherwise.

use std::collections::{BTreeMap, BTreeSet};

use handoffd_engine::event::OrganizationId;
use jiff::Timestamp;
use serde_json::Value;

use crate::config::Config;
use crate::config::organizations::{Change, Organization, Snapshot, Vault, read_saved};

/// All that is known of organizations. Nothing here waits for a file or the store.
#[derive(Default)]
pub(super) struct Roster {
    /// What the directory says.
    pub(super) files: Snapshot,
    /// Who is paused, and since when.
    pub(super) pauses: BTreeMap<OrganizationId, Timestamp>,
    /// The saved ones, or why nothing is known of one but its id.
    saved: BTreeMap<OrganizationId, Result<Organization, String>>,
    /// What is in force.
    in_force: Snapshot,
    /// Saved ones that count for nothing.
    shadowed: BTreeSet<OrganizationId>,
}

/// What a look at the roster found.
#[derive(Default)]
pub(super) struct Found {
    /// What is different in force.
    pub(super) changes: Vec<Change>,
    /// What is wrong with saved organizations, one line each.
    pub(super) problems: Vec<String>,
}

impl Roster {
    /// These of files; nothing in force yet.
    pub(super) fn of(files: Snapshot) -> Self {
        Self { files, ..Self::default() }
    }

    /// What is in force.
    pub(super) fn in_force(&self) -> &Snapshot {
        &self.in_force
    }

    /// One that is in force.
    pub(super) fn get(&self, id: &OrganizationId) -> Option<&Organization> {
        self.in_force.get(id)
    }

    /// Returns true if an organization with this id was saved.
    pub(super) fn has_saved(&self, id: &OrganizationId) -> bool {
        self.saved.contains_key(id)
    }

    /// Takes over a saved one as it is kept. The same row reads the same for as long as the process lives.
    pub(super) fn save(&mut self, id: OrganizationId, kept: &Value, vault: &Vault, config: &Config) {
        let read = read_saved(&id, kept, vault, config)
            .map_err(|faults| format!("{id}: {faults}; its events are dead letters"));
        self.saved.insert(id, read);
    }

    /// Forgets a saved one.
    pub(super) fn forget(&mut self, id: &OrganizationId) {
        self.saved.remove(id);
    }

    /// Forgets all saved ones.
    pub(super) fn forget_saved(&mut self) {
        self.saved.clear();
    }

    /// Puts in force what files and store say now.
    pub(super) fn refresh(&mut self) -> Found {
        let files = self.files.iter().cloned();
        let rows = self.saved.values().flatten();
        let rows = rows.filter(|row| self.files.get(&row.settings.organization_id).is_none()).cloned();
        let next = Snapshot::new(files.chain(rows).collect());
        let changes = self.in_force.changes(&next);
        self.in_force = next;
        Found { changes, problems: self.saved.iter().filter_map(problem).collect() }
    }

    /// Which saved ones have come to count for nothing since last asked, because of which file.
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
