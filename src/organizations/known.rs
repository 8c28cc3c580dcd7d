//! Merge of the organizations from files with those saved in the store. A file takes precedence.

use std::collections::BTreeMap;
use std::time::Instant;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::store::SavedOrganization;
use jiff::Timestamp;

use super::file_faults::FileFaults;
use super::files::{Loaded, OrganizationChange, Snapshot};
use super::organization::Organization;
use super::reports::OrganizationReports;
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
    /// Merged organizations that are in effect; none before the first merge.
    in_force: Option<Snapshot>,
    reports: OrganizationReports,
    /// Present faults of files and saved organizations.
    pub(super) faults: FileFaults,
}

impl KnownOrganizations {
    /// Applies a reading of the directory, and returns true if a merge is due. Only a reading that was requested
    /// removes organizations at once: an editor may delete a file and write it again.
    pub(super) fn read_files(&mut self, loaded: Loaded, requested: bool) -> bool {
        let update = if requested { self.files.reload(loaded) } else { self.files.poll(loaded, Instant::now()) };
        self.reports.faults(&update);
        self.faults.read(&update, Timestamp::now());
        let is_news = !update.changes.is_empty() || update.snapshot.is_complete() != self.files.is_complete();
        self.files = update.snapshot;
        is_news
    }

    /// Iterates over the organizations that are in effect, by id.
    pub(super) fn in_force(&self) -> impl Iterator<Item = &Organization> {
        self.in_force.iter().flat_map(Snapshot::iter)
    }

    /// Returns an organization that is in effect.
    pub(super) fn get(&self, id: &OrganizationId) -> Option<&Organization> {
        self.in_force.as_ref()?.get(id)
    }

    /// Returns true if an organization with this id was saved.
    pub(super) fn has_saved(&self, id: &OrganizationId) -> bool {
        self.saved.contains_key(id)
    }

    /// Adds a saved organization. The result of reading it does not change during the life of the process.
    pub(super) fn save(&mut self, row: &SavedOrganization, vault: &Vault, config: &Config) {
        let id = &row.id;
        let read =
            read_saved(row, vault, config).map_err(|faults| format!("{id}: {faults}; its events are dead-lettered"));
        self.saved.insert(id.clone(), read);
    }

    /// Removes a saved organization.
    pub(super) fn forget(&mut self, id: &OrganizationId) {
        self.saved.remove(id);
    }

    /// Removes all saved organizations.
    pub(super) fn forget_saved(&mut self) {
        self.saved.clear();
    }

    /// Merges files and saved organizations, logs what is wrong with the latter, and returns the difference; nothing
    /// after the first merge.
    pub(super) fn merge(&mut self) -> Option<Vec<OrganizationChange>> {
        let files = self.files.iter().cloned();
        let rows = self.saved.values().flatten();
        let rows = rows.filter(|row| self.files.get(&row.settings.organization_id).is_none()).cloned();
        let next = Snapshot::new(files.chain(rows).collect());
        let changes = self.in_force.as_ref().map(|before| before.changes(&next));
        self.in_force = Some(next);
        let problems: Vec<String> = self.saved.iter().filter_map(problem).collect();
        self.reports.problems(&problems);
        let unreadable = self.saved.values().filter_map(|saved| saved.as_ref().err().cloned());
        self.faults.read_saved(unreadable, Timestamp::now());
        self.reports.shadowed(self.saved.keys(), &self.files);
        changes
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
