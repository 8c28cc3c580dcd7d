//! Organizations in force, across changes of their files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use handoffd_engine::event::OrganizationId;

use super::directory::{DirectoryListing, Loaded};
use crate::config::ConfigFaults;
use crate::organizations::organization::Organization;

/// Time after which files that vanished all at once count as removed.
const VANISHED: Duration = Duration::from_secs(60);

/// Organizations in force.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Snapshot {
    organizations: BTreeMap<OrganizationId, Organization>,
    /// Organizations whose files the last glance missed.
    missing_once: BTreeSet<OrganizationId>,
    /// Time of the glance that found none of the files any more.
    vanished: Option<Instant>,
    /// Faulty files whose organization is unknown.
    unidentified: BTreeSet<PathBuf>,
}

/// Snapshot, and its differences from the previous one.
#[derive(Clone, PartialEq, Debug)]
pub struct Update {
    /// Organizations in force from now on.
    pub snapshot: Snapshot,
    /// Differences from the previous snapshot.
    pub changes: Vec<OrganizationChange>,
    /// Faults of the files.
    pub faults: ConfigFaults,
    /// Faulty files whose last valid version stays in force.
    pub kept: Vec<PathBuf>,
}

/// Change of one organization.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OrganizationChange {
    /// New organization.
    Added(OrganizationId),
    /// Organization with different settings or credentials.
    Changed(OrganizationId),
    /// Removed organization; its events are dead letters from now on.
    Removed(OrganizationId),
}

impl Snapshot {
    /// Creates a snapshot of exactly these organizations.
    pub fn new(organizations: Vec<Organization>) -> Self {
        let keyed =
            organizations.into_iter().map(|organization| (organization.settings.organization_id.clone(), organization));
        Self { organizations: keyed.collect(), ..Self::default() }
    }

    /// Reports whether every file gives the id of its organization. Otherwise an unknown organization may be
    /// configured.
    pub fn is_complete(&self) -> bool {
        self.unidentified.is_empty()
    }

    /// Iterates over the faulty files whose organization is unknown.
    pub fn unidentified(&self) -> impl Iterator<Item = &PathBuf> {
        self.unidentified.iter()
    }

    /// Returns one organization.
    pub fn get(&self, id: &OrganizationId) -> Option<&Organization> {
        self.organizations.get(id)
    }

    /// Iterates over all organizations, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Organization> {
        self.organizations.values()
    }

    /// Returns the number of organizations.
    pub fn len(&self) -> usize {
        self.organizations.len()
    }

    /// Reports whether there are no organizations.
    pub fn is_empty(&self) -> bool {
        self.organizations.is_empty()
    }

    /// Applies a new reading of the directory. The last valid version of a faulty file stays in force, and that of
    /// every file if the directory can't be read. A valid file overrides the last valid version of a faulty one with
    /// the same id. An organization without a valid version is withheld.
    pub fn reload(&self, loaded: Loaded) -> Update {
        let removed = self.removed(&loaded);
        self.update(loaded, &removed)
    }

    /// Applies a periodic reading. An organization counts as removed once two consecutive glances miss its file,
    /// because an editor that saves by deleting and rewriting must not turn events into dead letters. Neither must an
    /// unmounted or re-copied directory: if all files vanish at once, none counts as removed for [`VANISHED`], even
    /// while only some are back.
    pub fn poll(&self, loaded: Loaded, now: Instant) -> Update {
        let missed = self.removed(&loaded);
        let vanished = self.vanished.or_else(|| self.all_vanished(&loaded, &missed).then_some(now));
        let waits = vanished.is_some_and(|since| now.saturating_duration_since(since) < VANISHED);
        let removed = if waits { BTreeSet::new() } else { missed.intersection(&self.missing_once).cloned().collect() };
        let mut update = self.update(loaded, &removed);
        update.snapshot.vanished = vanished.filter(|_| !missed.is_empty() && removed.is_empty());
        update.snapshot.missing_once = missed.difference(&removed).cloned().collect();
        update
    }

    /// Reports whether the directory has lost all of its files.
    fn all_vanished(&self, loaded: &Loaded, missed: &BTreeSet<OrganizationId>) -> bool {
        !missed.is_empty()
            && missed.len() == self.organizations.len()
            && loaded.organizations.is_empty()
            && loaded.broken.is_empty()
    }

    /// Returns the organizations whose files the reading neither found nor found faulty.
    fn removed(&self, loaded: &Loaded) -> BTreeSet<OrganizationId> {
        if loaded.listing != DirectoryListing::Read {
            return BTreeSet::new();
        }
        let found =
            |id: &OrganizationId| loaded.organizations.iter().any(|other| other.settings.organization_id == *id);
        let gone = self
            .organizations
            .iter()
            .filter(|(id, organization)| !is_broken(organization, &loaded.broken) && !found(id));
        gone.map(|(id, _)| id.clone()).collect()
    }

    fn update(&self, loaded: Loaded, removed: &BTreeSet<OrganizationId>) -> Update {
        let Loaded { organizations, faults, broken, withheld, nameless, listing } = loaded;
        let mut next = Self::new(organizations);
        let mut kept = Vec::new();
        for (id, organization) in &self.organizations {
            let is_good = organization.withheld.is_none();
            if next.organizations.contains_key(id) || removed.contains(id) {
                continue;
            }
            let at_fault = is_broken(organization, &broken) || listing != DirectoryListing::Read;
            kept.extend(organization.source.file().filter(|_| at_fault && is_good).map(Path::to_owned));
            next.organizations.insert(id.clone(), organization.clone());
        }
        for organization in withheld {
            let id = organization.settings.organization_id.clone();
            if next.organizations.get(&id).is_none_or(|known| known.withheld.is_some()) {
                next.organizations.insert(id, organization);
            }
        }
        let known: BTreeSet<_> = next.organizations.values().filter_map(|known| known.source.file()).collect();
        let nameless = nameless.into_iter().filter(|file| !known.contains(file.as_path())).collect();
        next.unidentified = nameless;
        Update { changes: self.changes(&next), snapshot: next, faults, kept }
    }

    /// Returns the changes from this snapshot to another one.
    pub fn changes(&self, next: &Self) -> Vec<OrganizationChange> {
        let removed = self.organizations.keys().filter(|id| !next.organizations.contains_key(*id));
        let removed = removed.cloned().map(OrganizationChange::Removed);
        let others = next.organizations.iter().filter_map(|(id, organization)| match self.organizations.get(id) {
            None => Some(OrganizationChange::Added(id.clone())),
            Some(before) if before != organization => Some(OrganizationChange::Changed(id.clone())),
            Some(_) => None,
        });
        removed.chain(others).collect()
    }
}

/// Reports whether the file of an organization is faulty now.
fn is_broken(organization: &Organization, broken: &BTreeSet<PathBuf>) -> bool {
    organization.source.file().is_some_and(|file| broken.contains(file))
}
