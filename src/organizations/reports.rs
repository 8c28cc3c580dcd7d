//! Log lines about organizations that changed, that can't be read, or that a file overrides. Each is written once.

use std::collections::BTreeSet;

use handoffd_engine::event::OrganizationId;
use tracing::{error, info, warn};

use super::files::{OrganizationChange, Snapshot, Update};

/// Last lines that were written.
#[derive(Default)]
pub(super) struct OrganizationReports {
    /// Faults of organization files.
    files: String,
    /// Problems of saved organizations.
    saved: String,
    /// Saved organizations that a file overrides.
    shadowed: BTreeSet<OrganizationId>,
}

impl OrganizationReports {
    /// Logs the faults of organization files.
    pub(super) fn faults(&mut self, update: &Update) {
        if !replaced(&mut self.files, update.faults.to_string()) {
            return;
        }
        error!(
            kept = update.kept.len(),
            "invalid organization files; the last valid version of each stays in effect, and an organization without one is \
             blocked: {}",
            self.files
        );
        if !update.snapshot.is_complete() {
            error!(
                "an organization file is too broken to identify its organization; events of unknown organizations wait in \
                 retry queues until the file is fixed or removed"
            );
        }
    }

    /// Logs the problems of saved organizations.
    pub(super) fn problems(&mut self, problems: &[String]) {
        if replaced(&mut self.saved, problems.join("; ")) {
            error!("invalid saved organizations; their events are on hold: {}", self.saved);
        }
    }

    /// Warns of the saved organizations that a file overrides.
    pub(super) fn shadowed<'a>(&mut self, saved: impl Iterator<Item = &'a OrganizationId>, files: &Snapshot) {
        let mut now = BTreeSet::new();
        for (id, of_file) in saved.filter_map(|id| Some((id, files.get(id)?))) {
            if !self.shadowed.contains(id) {
                warn!(
                    organization_id = %id,
                    file = %of_file.source,
                    "organization is configured in a file and saved in the store; the file takes precedence; remove one of \
                     the two"
                );
            }
            now.insert(id.clone());
        }
        self.shadowed = now;
    }
}

/// Logs the changes.
pub(super) fn report_changes(changes: &[OrganizationChange]) {
    for change in changes {
        match change {
            OrganizationChange::Added(id) => info!(organization_id = %id, "organization added"),
            OrganizationChange::Changed(id) => info!(organization_id = %id, "organization settings changed"),
            OrganizationChange::Removed(id) => {
                warn!(organization_id = %id, "organization removed; its events will be dead-lettered");
            }
        }
    }
}

/// Replaces a line. Returns true if the new one has to be written.
fn replaced(line: &mut String, now: String) -> bool {
    let is_new = *line != now && !now.is_empty();
    *line = now;
    is_new
}
