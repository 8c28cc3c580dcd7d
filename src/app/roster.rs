//! Which organizations are in force: those of files, and those that were saved where no file says otherwise.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use crate::config::organizations::{Change, Organization, Snapshot, Vault, read_saved};
use crate::config::{Config, Environment};
use crate::event::OrganizationId;

/// All that is known of organizations.
#[derive(Default)]
pub(super) struct Roster {
    /// What the directory says.
    pub(super) files: Snapshot,
    /// What was saved, as it is kept.
    pub(super) saved: BTreeMap<OrganizationId, Value>,
    /// Who is paused, and since when.
    pub(super) pauses: BTreeMap<OrganizationId, Timestamp>,
    /// The saved ones, as last read without fault.
    rows: BTreeMap<OrganizationId, Organization>,
    /// What is in force.
    in_force: Snapshot,
    /// Saved ones that count for nothing.
    shadowed: BTreeSet<OrganizationId>,
}

/// What is read with.
#[derive(Clone, Copy)]
pub(super) struct Glasses<'a> {
    pub(super) vault: &'a Vault,
    pub(super) config: &'a Config,
    pub(super) env: &'a Environment,
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

    /// Reads what was saved again (a secret may stand in a file), and puts in force what files and store say now.
    pub(super) fn refresh(&mut self, glasses: Glasses<'_>) -> Found {
        let mut found = Found::default();
        let before = std::mem::take(&mut self.rows);
        for (id, kept) in &self.saved {
            match read_saved(id, kept, glasses.vault, glasses.config, glasses.env) {
                Ok(organization) => {
                    let problem = organization.withheld.as_ref();
                    found
                        .problems
                        .extend(problem.map(|withheld| format!("{id}: {} {}", withheld.why, withheld.advice)));
                    let last_good = before.get(id).filter(|last| problem.is_some() && is_good(last, &organization));
                    self.rows.insert(id.clone(), last_good.cloned().unwrap_or(organization));
                }
                Err(faults) => found.problems.push(format!("{id}: {faults}; its events are dead letters")),
            }
        }
        let files = self.files.iter().cloned();
        let rows = self.rows.values().filter(|row| self.files.get(&row.settings.organization_id).is_none()).cloned();
        let next = Snapshot::new(files.chain(rows).collect());
        found.changes = self.in_force.changes(&next);
        self.in_force = next;
        found
    }

    /// Which saved ones have come to count for nothing since last asked, because of which file.
    pub(super) fn newly_shadowed(&mut self) -> Vec<(OrganizationId, String)> {
        let file = |id: &OrganizationId| Some((id.clone(), self.files.get(id)?.source.to_string()));
        let now: BTreeMap<OrganizationId, String> = self.saved.keys().filter_map(file).collect();
        let before = std::mem::replace(&mut self.shadowed, now.keys().cloned().collect());
        now.into_iter().filter(|(id, _)| !before.contains(id)).collect()
    }
}

/// Whether what was in force of it still serves: the same settings, with a secret that could be read then.
fn is_good(last: &Organization, now: &Organization) -> bool {
    last.withheld.is_none() && last.settings == now.settings
}
