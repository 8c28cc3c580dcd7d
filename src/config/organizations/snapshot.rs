//! Which organizations are in force, across changes of their files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use handoffd_engine::event::OrganizationId;

use super::Organization;
use super::directory::{Listing, Loaded};
use crate::config::fault::Faults;

/// Time for which files that vanish all at once are waited for (contract 7).
const VANISHED: Duration = Duration::from_secs(60);

/// The organizations in force.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Snapshot {
    organizations: BTreeMap<OrganizationId, Organization>,
    /// Whose files the last glance did not find.
    missed: BTreeSet<OrganizationId>,
    /// When a glance found none of the files any more.
    vanished: Option<Instant>,
    /// Files at fault of organizations that can't be told.
    nameless: BTreeSet<PathBuf>,
}

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
        Self { organizations: keyed.collect(), ..Self::default() }
    }

    /// True when every file gives the id of its organization; else one that nobody knows may be configured after all.
    pub fn is_complete(&self) -> bool {
        self.nameless.is_empty()
    }

    /// One of them.
    pub fn get(&self, id: &OrganizationId) -> Option<&Organization> {
        self.organizations.get(id)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Organization> {
        self.organizations.values()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.organizations.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.organizations.is_empty()
    }

    /// What a new reading of the directory changes. A file at fault keeps its last good version in
    /// force; so does every file when the directory can't be read. A good file wins over the last good
    /// version of a broken one with the same id. Without a last good version the organization is withheld.
    pub fn reload(&self, loaded: Loaded) -> Update {
        let removed = self.removed(&loaded);
        self.update(loaded, &removed)
    }

    /// The same for a reading that nobody asked for: an organization is gone when two glances in a row
    /// miss its file. An editor that saves by deleting and writing anew must not turn events into dead letters.
    /// Nor must a directory that is unmounted or copied anew: when all files vanish at once, none is gone for
    /// [`VANISHED`], also while only some are back.
    pub fn glance(&self, loaded: Loaded, now: Instant) -> Update {
        let missed = self.removed(&loaded);
        let vanished = self.vanished.or_else(|| self.all_vanished(&loaded, &missed).then_some(now));
        let waits = vanished.is_some_and(|since| now.saturating_duration_since(since) < VANISHED);
        let removed = if waits { BTreeSet::new() } else { missed.intersection(&self.missed).cloned().collect() };
        let mut update = self.update(loaded, &removed);
        update.snapshot.vanished = vanished.filter(|_| !missed.is_empty() && removed.is_empty());
        update.snapshot.missed = missed.difference(&removed).cloned().collect();
        update
    }

    /// True when nothing is left in the directory of all that was there.
    fn all_vanished(&self, loaded: &Loaded, missed: &BTreeSet<OrganizationId>) -> bool {
        !missed.is_empty()
            && missed.len() == self.organizations.len()
            && loaded.organizations.is_empty()
            && loaded.broken.is_empty()
    }

    /// Organizations that the reading neither found nor found at fault.
    fn removed(&self, loaded: &Loaded) -> BTreeSet<OrganizationId> {
        if loaded.listing != Listing::Read {
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
            let at_fault = is_broken(organization, &broken) || listing != Listing::Read;
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
        next.nameless = nameless;
        Update { changes: self.changes(&next), snapshot: next, faults, kept }
    }

    /// How another snapshot differs from this one.
    pub fn changes(&self, next: &Self) -> Vec<Change> {
        let removed = self.organizations.keys().filter(|id| !next.organizations.contains_key(*id));
        let removed = removed.cloned().map(Change::Removed);
        let others = next.organizations.iter().filter_map(|(id, organization)| match self.organizations.get(id) {
            None => Some(Change::Added(id.clone())),
            Some(before) if before != organization => Some(Change::Changed(id.clone())),
            Some(_) => None,
        });
        removed.chain(others).collect()
    }
}

/// Whether the file of an organization is at fault now.
fn is_broken(organization: &Organization, broken: &BTreeSet<PathBuf>) -> bool {
    organization.source.file().is_some_and(|file| broken.contains(file))
}
