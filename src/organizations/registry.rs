//! Registry of the organizations of a running worker: those from files and those saved in the store, with their pauses.
//!
//! It owns the merged list that is in effect, and applies every change of it to the rest of the worker. No event may be
//! consumed before the store has been read: events of saved organizations would be dead-lettered as unknown.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::store::{Change, SavedOrganization, Store, StoreError};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use tracing::{debug, error, info, warn};

use super::files::{Loaded, Snapshot, read};
use super::known::KnownOrganizations;
use super::operations::OrganizationError;
use super::organization::Organization;
use super::saved::to_be_resealed;
use super::subscribers::{Subscribers, access, apply, report_changes, report_faults, report_problems};
use super::vault::Vault;
use super::view::{self, OrganizationView, TestReport};
use crate::config::{Config, EnvironmentVariables};

/// Pause before the store is tried again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Longest wait for the broker to count the events of a queue for a list.
const COUNT_LIMIT: Duration = Duration::from_secs(2);

/// Registry of organizations.
pub struct OrganizationRegistry {
    pub(super) config: Config,
    env: EnvironmentVariables,
    pub(super) vault: Vault,
    pub(super) store: Arc<dyn Store>,
    pub(super) parties: Subscribers,
    roster: Mutex<KnownOrganizations>,
    /// Problems of saved organizations, as last reported.
    told: std::sync::Mutex<String>,
    /// Problems of organization files, as last reported.
    told_of_files: std::sync::Mutex<String>,
    /// True once the first list is in effect.
    begun: AtomicBool,
    /// True once the store has been read.
    loaded: AtomicBool,
}

impl OrganizationRegistry {
    /// Creates the registry from the organizations of files, and reports their faults. Saved organizations are not
    /// loaded yet.
    pub(crate) fn new(
        config: Config,
        env: EnvironmentVariables,
        store: Arc<dyn Store>,
        parties: Subscribers,
        files: Loaded,
    ) -> Arc<Self> {
        let keys = &config.organizations;
        let vault = Vault::new(keys.encryption_key.as_ref(), keys.previous_encryption_key.as_ref());
        let read = Snapshot::default().reload(files);
        let mut told_of_files = String::new();
        report_faults(&read, &mut told_of_files);
        let (told, told_of_files, begun, loaded) =
            (std::sync::Mutex::default(), told_of_files.into(), false.into(), false.into());
        let roster = Mutex::new(KnownOrganizations::of(read.snapshot));
        Arc::new(Self { config, env, vault, store, parties, roster, told, told_of_files, begun, loaded })
    }

    /// Reads the directory. Blocks.
    pub(super) fn read_files(&self) -> Loaded {
        read(&self.config.organizations.directory, &self.config, &self.env)
    }

    /// Applies a reading of the directory. Only one that was requested removes organizations at once: an editor may
    /// delete a file and write it again.
    pub(super) async fn apply_files(&self, loaded: Loaded, requested: bool) {
        let mut roster = self.roster.lock().await;
        let update = if requested { roster.files.reload(loaded) } else { roster.files.poll(loaded, Instant::now()) };
        report_faults(&update, &mut self.told_of_files.lock().unwrap_or_else(PoisonError::into_inner));
        let is_news = !update.changes.is_empty() || update.snapshot.is_complete() != roster.files.is_complete();
        roster.files = update.snapshot;
        if is_news {
            self.refresh(&mut roster);
        }
    }

    /// Loads the store and applies the first list. A store that can't be read yet is retried later
    /// ([`OrganizationRegistry::loaded`]).
    pub(crate) async fn begin(&self) {
        if let Err(problem) = self.load().await {
            error!(error = %problem, "can't read saved organizations; consuming is paused until they can be read");
            self.refresh(&mut *self.roster().await);
        }
    }

    /// Reads the store, re-encrypts secrets that an older key has encrypted, and applies the result.
    pub(super) async fn load(&self) -> Result<(), StoreError> {
        let (saved, pauses) = (self.store.organizations().await?, self.store.pauses().await?);
        // Invalid JSON is reported as an organization that can't be read.
        let document = |row: SavedOrganization| (row.id, serde_json::from_str(&row.document).unwrap_or(Value::Null));
        let mut saved = saved.into_iter().map(document).collect();
        self.reencrypt(&mut saved).await;
        let mut roster = self.roster.lock().await;
        roster.forget_saved();
        for (id, kept) in saved {
            roster.save(id, &kept, &self.vault, &self.config);
        }
        roster.pauses = pauses.into_iter().collect();
        self.refresh(&mut roster);
        self.loaded.store(true, Ordering::Release);
        for (id, since) in &roster.pauses {
            warn!(organization_id = %id, %since, "organization is paused; its events are on hold until it is resumed");
        }
        Ok(())
    }

    /// Returns true if the store has been read. Before that, the organization of an event may be a saved one that is
    /// not loaded.
    pub(crate) fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// Marks the store as unread, because another store has replaced the one that was read.
    pub(crate) fn forget(&self) {
        self.loaded.store(false, Ordering::Release);
    }

    /// Completes once the store has been read.
    pub(crate) async fn loaded(&self) {
        while !self.is_loaded() {
            if let Err(problem) = self.load().await {
                debug!(error = %problem, "can't read saved organizations yet");
                tokio::time::sleep(ASK_AGAIN).await;
            }
        }
    }

    /// Locks the roster.
    pub(super) async fn roster(&self) -> MutexGuard<'_, KnownOrganizations> {
        self.roster.lock().await
    }

    /// Merges files and store, applies the result, and reports the changes.
    pub(super) fn refresh(&self, roster: &mut KnownOrganizations) {
        let found = roster.refresh();
        report_problems(&found.problems, &mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
        self.parties.dynamics.set_paused(roster.pauses.keys().cloned().collect());
        // The first list is not reported as a change.
        let begun = self.begun.swap(true, Ordering::AcqRel);
        if begun {
            report_changes(&found.changes);
        }
        self.parties.dynamics.set_complete(roster.files.is_complete());
        if !begun || !found.changes.is_empty() {
            apply(roster.in_force(), &self.parties);
        }
        warn_of_shadows(roster);
    }

    /// Tests an organization, configured or not.
    pub(super) async fn inspect(&self, organization: &Organization) -> TestReport {
        let findings = self.parties.dynamics.inspect(access(organization)).await;
        view::report(organization, findings)
    }

    /// Returns the current state of an organization.
    pub(super) async fn view(
        &self,
        organization: &Organization,
        paused: Option<Timestamp>,
    ) -> Option<OrganizationView> {
        let id = &organization.settings.organization_id;
        let condition = self.parties.dynamics.condition(id)?;
        let counted = tokio::time::timeout(COUNT_LIMIT, self.parties.broker.waiting(id)).await;
        let missing = self.parties.broker.missing_queue(id);
        Some(view::view(organization, condition, paused, (counted.ok().flatten(), missing)))
    }

    /// Makes changes durable.
    pub(super) async fn keep(&self, changes: Vec<Change>) -> Result<(), OrganizationError> {
        if !self.is_loaded() {
            return Err(OrganizationError::Store("the store has not been read yet; try again later".to_owned()));
        }
        self.store.keep(changes).await.map_err(|problem| OrganizationError::Store(problem.to_string()))
    }

    /// Re-encrypts secrets with the current key, so that the previous one can be removed.
    async fn reencrypt(&self, saved: &mut BTreeMap<OrganizationId, Value>) {
        let anew: Vec<(OrganizationId, Value)> =
            saved.iter().filter_map(|(id, kept)| Some((id.clone(), to_be_resealed(id, kept, &self.vault)?))).collect();
        if anew.is_empty() {
            return;
        }
        let change = |(id, kept): &(OrganizationId, Value)| {
            Change::Organization(SavedOrganization { id: id.clone(), document: kept.to_string() })
        };
        match self.store.keep(anew.iter().map(change).collect()).await {
            Ok(()) => {
                info!(
                    organizations = anew.len(),
                    "re-encrypted the secrets of saved organizations with organizations.encryption_key; \
                     organizations.previous_encryption_key can be removed"
                );
                saved.extend(anew);
            }
            Err(problem) => {
                error!(error = %problem, "could not re-encrypt saved secrets; keep organizations.previous_encryption_key");
            }
        }
    }
}

/// Warns once of each saved organization that a file overrides.
fn warn_of_shadows(roster: &mut KnownOrganizations) {
    for (id, file) in roster.newly_shadowed() {
        warn!(
            organization_id = %id,
            file,
            "organization is configured in a file and saved in the store; the file takes precedence; remove one of the two"
        );
    }
}
