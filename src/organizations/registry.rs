//! Registry of the organizations of a running worker: those from files and those saved in the store, with their pauses.
//!
//! It owns the merged list that is in effect, and passes every change of it to the rest of the worker before it returns,
//! so that an operator who paused an organization finds it paused. No event may be consumed before the store has been
//! read: events of saved organizations would be dead-lettered as unknown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::fleet::Fleet;
use handoffd_engine::ports::store::{Change, SavedOrganization, Store, StoreError};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use tracing::{debug, error, info, warn};

use super::document::parse_document;
use super::files::{Loaded, read};
use super::known::KnownOrganizations;
use super::observer::OrganizationObserver;
use super::operations::{OrganizationError, Organizations, OrganizationsReport};
use super::organization::Organization;
use super::queues::OrganizationQueueKeeper;
use super::reports::report_changes;
use super::saved::{encrypted, named, reencrypted};
use super::vault::Vault;
use super::view::{OrganizationView, TestReport, shadowed};
use crate::config::{Config, EnvironmentVariables};
use crate::dynamics::{CheckProgress, Dynamics, Finding};
use crate::rabbit::Rabbit;
use crate::status::StatusReason;
use crate::telemetry::metrics::PrometheusMetrics;

/// Pause before the store is tried again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Registry of organizations.
pub struct OrganizationRegistry {
    config: Config,
    env: EnvironmentVariables,
    vault: Vault,
    deps: RegistryDeps,
    queues: OrganizationQueueKeeper,
    observer: OrganizationObserver,
    known: Mutex<KnownOrganizations>,
    /// True once the store has been read.
    loaded: AtomicBool,
    /// Number of times since the last success that the store could not be read again.
    failed_rereads: AtomicU64,
}

/// Store of the organizations, and the components that receive the list of them.
pub struct RegistryDeps {
    /// Store of saved organizations and pauses.
    pub store: Arc<dyn Store>,
    /// Destination.
    pub dynamics: Arc<Dynamics>,
    /// Broker, which has a queue for each organization.
    pub broker: Arc<Rabbit>,
    /// Metrics, which have series for each organization.
    pub metrics: Arc<PrometheusMetrics>,
    /// Fleet of workers, one of which owns each organization.
    pub fleet: Arc<dyn Fleet>,
}

impl OrganizationRegistry {
    /// Creates the registry from the organizations of files, and reports their faults. Saved organizations are not
    /// loaded yet. Needs a tokio runtime.
    pub fn new(config: Config, env: EnvironmentVariables, deps: RegistryDeps, files: Loaded) -> Arc<Self> {
        let mut known = KnownOrganizations::default();
        known.read_files(files, true);
        let vault = Vault::of(&config.organizations);
        let queues = OrganizationQueueKeeper::keep(deps.store.clone(), deps.broker.clone());
        let observer = OrganizationObserver {
            dynamics: deps.dynamics.clone(),
            broker: deps.broker.clone(),
            metrics: deps.metrics.clone(),
            fleet: deps.fleet.clone(),
            unreported: std::sync::Mutex::default(),
        };
        let (known, loaded, failed_rereads) = (Mutex::new(known), AtomicBool::new(false), AtomicU64::new(0));
        Arc::new(Self { config, env, vault, deps, queues, observer, known, loaded, failed_rereads })
    }

    /// Loads the store and applies the first list. A store that can't be read yet is retried later
    /// ([`OrganizationRegistry::loaded`]).
    pub async fn begin(&self) {
        if let Err(problem) = self.load().await {
            error!(error = %problem, "can't read saved organizations; consuming is paused until they can be read");
            self.refresh(&mut *self.known.lock().await);
        }
    }

    /// Returns true if the store has been read. Before that, the organization of an event may be a saved one that is
    /// not loaded.
    pub fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// Marks the store as unread, because another store has replaced the one that was read.
    pub fn forget(&self) {
        self.loaded.store(false, Ordering::Release);
    }

    /// Completes once the store has been read.
    pub async fn loaded(&self) {
        while !self.is_loaded() {
            if let Err(problem) = self.load().await {
                debug!(error = %problem, "can't read saved organizations yet");
                tokio::time::sleep(ASK_AGAIN).await;
            }
        }
    }

    /// Reads the store, re-encrypts secrets that an older key has encrypted, and applies the result.
    async fn load(&self) -> Result<(), StoreError> {
        let (mut rows, pauses) = (self.deps.store.organizations().await?, self.deps.store.pauses().await?);
        self.reencrypt(&mut rows).await;
        let mut known = self.known.lock().await;
        known.forget_saved();
        for row in &rows {
            known.save(row, &self.vault, &self.config);
        }
        known.pauses = pauses.into_iter().collect();
        self.refresh(&mut known);
        self.loaded.store(true, Ordering::Release);
        for (id, since) in &known.pauses {
            warn!(organization_id = %id, %since, "organization is paused; its events are on hold until it is resumed");
        }
        Ok(())
    }

    /// Reads the store again, because another worker may have changed what operators set. Returns false if that is not
    /// possible now.
    pub async fn reread(&self) -> bool {
        if !self.is_loaded() {
            return false;
        }
        self.queues.reread();
        // Locked before the store is read: an operator's change of this worker is in both or in none.
        let mut known = self.known.lock().await;
        let read = async { Ok((self.deps.store.organizations().await?, self.deps.store.pauses().await?)) };
        let read: Result<_, StoreError> = read.await;
        let (rows, pauses) = match read {
            Ok(read) => read,
            Err(problem) => {
                if self.failed_rereads.fetch_add(1, Ordering::Relaxed) == 0 {
                    warn!(error = %problem, "can't read what operators have changed; trying again");
                }
                return false;
            }
        };
        let failures = self.failed_rereads.swap(0, Ordering::Relaxed);
        if failures > 0 {
            info!(failures, "read what operators have changed again");
        }
        known.forget_saved();
        for row in &rows {
            known.save(row, &self.vault, &self.config);
        }
        let before = std::mem::replace(&mut known.pauses, pauses.into_iter().collect());
        for id in known.pauses.keys().filter(|id| !before.contains_key(*id)) {
            info!(organization_id = %id, "organization paused; its events are on hold until it is resumed");
        }
        for id in before.keys().filter(|id| !known.pauses.contains_key(*id)) {
            info!(organization_id = %id, "organization resumed");
        }
        self.refresh(&mut known);
        true
    }

    /// Re-encrypts secrets with the current key, so that the previous one can be removed.
    async fn reencrypt(&self, rows: &mut [SavedOrganization]) {
        let mut anew = Vec::new();
        for row in rows {
            if let Some(encrypted) = reencrypted(row, &self.vault) {
                *row = encrypted.clone();
                anew.push(Change::Organization(encrypted));
            }
        }
        if anew.is_empty() {
            return;
        }
        let organizations = anew.len();
        match self.deps.store.persist(anew).await {
            Ok(()) => info!(
                organizations,
                "re-encrypted the secrets of saved organizations with organizations.encryption_key; \
                 organizations.previous_encryption_key can be removed"
            ),
            Err(problem) => {
                error!(error = %problem, "could not re-encrypt saved secrets; keep organizations.previous_encryption_key");
            }
        }
    }

    /// Reads the directory. Blocks.
    pub(super) fn read_files(&self) -> Loaded {
        read(&self.config.organizations.directory, &self.config, &self.env)
    }

    /// Applies a reading of the directory.
    pub(super) async fn apply_files(&self, loaded: Loaded, requested: bool) {
        let mut known = self.known.lock().await;
        if known.read_files(loaded, requested) {
            self.refresh(&mut known);
        }
    }

    /// Merges files and store, passes the result to the other components, and reports the changes.
    fn refresh(&self, known: &mut KnownOrganizations) {
        let changes = known.merge();
        let RegistryDeps { dynamics, metrics, .. } = &self.deps;
        dynamics.set_paused(known.pauses.keys().cloned().collect());
        dynamics.set_complete(known.files.is_complete());
        // The first list is not reported as a change.
        report_changes(changes.as_deref().unwrap_or_default());
        if changes.is_some_and(|changes| changes.is_empty()) {
            return;
        }
        let ids = || known.in_force().map(|organization| &organization.settings.organization_id);
        metrics.configured(ids());
        metrics.set_credential_ends(known.in_force().filter_map(Organization::credential_end));
        dynamics.set_organizations(known.in_force().map(Organization::access).collect());
        self.queues.configured(ids().cloned());
        if ids().next().is_none() {
            warn!("no organization is configured; every event will be dead-lettered as unknown_organization");
        }
    }

    /// Locks the organizations, and returns one of them.
    async fn lock(
        &self,
        id: &OrganizationId,
    ) -> Result<(MutexGuard<'_, KnownOrganizations>, Organization), OrganizationError> {
        let known = self.known.lock().await;
        let organization = known.get(id).cloned().ok_or_else(|| OrganizationError::Unknown(id.clone()))?;
        Ok((known, organization))
    }

    /// Tests an organization, configured or not.
    async fn inspect(&self, organization: &Organization, progress: CheckProgress) -> TestReport {
        TestReport::new(organization, self.deps.dynamics.inspect(organization.access(), progress).await)
    }

    /// Returns the current state of an organization, unless it was removed meanwhile.
    fn view(
        &self,
        organization: &Organization,
        known: &KnownOrganizations,
    ) -> Result<OrganizationView, OrganizationError> {
        let id = &organization.settings.organization_id;
        self.observer.view(organization, known).ok_or_else(|| OrganizationError::Unknown(id.clone()))
    }

    /// Returns the reports on these organizations, which this worker owns, as text for the other workers.
    pub async fn owner_reports(&self, organizations: &[OrganizationId]) -> Vec<(OrganizationId, String)> {
        let known = self.known.lock().await;
        let report = |id: &OrganizationId| Some((id.clone(), self.observer.report(id, &known)?));
        organizations.iter().filter_map(report).collect()
    }

    fn views(&self, known: &KnownOrganizations) -> Vec<OrganizationView> {
        known.in_force().filter_map(|one| self.view(one, known).ok()).collect()
    }

    /// Makes changes durable.
    async fn persist(&self, changes: Vec<Change>) -> Result<(), OrganizationError> {
        if !self.is_loaded() {
            return Err(OrganizationError::Store("the store has not been read yet; try again later".to_owned()));
        }
        self.deps.store.persist(changes).await.map_err(|problem| OrganizationError::Store(problem.to_string()))
    }
}

#[async_trait]
impl Organizations for OrganizationRegistry {
    async fn list(&self) -> Vec<OrganizationView> {
        self.views(&*self.known.lock().await)
    }

    async fn report(&self) -> OrganizationsReport {
        let known = self.known.lock().await;
        let refusing = self.deps.broker.refusing();
        let refusing = refusing.iter().map(|(name, since)| StatusReason::refusing_destination(name, *since));
        OrganizationsReport {
            organizations: self.views(&known),
            faults: known.faults.reasons().into_iter().chain(refusing).collect(),
            unidentified_files: known.faults.unidentified(),
        }
    }

    async fn test(&self, id: &OrganizationId, progress: CheckProgress) -> Result<TestReport, OrganizationError> {
        let (known, organization) = self.lock(id).await?;
        let fault = known.faults.of(organization.source.file());
        drop(known);
        let fault = fault.map(|(_, fault)| Finding::of_faulty_file(&fault));
        if let Some(finding) = &fault {
            progress(finding);
        }
        let mut report = self.inspect(&organization, progress).await;
        report.checks.splice(0..0, fault);
        if report.passed {
            self.deps.dynamics.tested(&organization.access());
        }
        Ok(report)
    }

    async fn pause(&self, id: &OrganizationId) -> Result<OrganizationView, OrganizationError> {
        let (mut known, organization) = self.lock(id).await?;
        let before = known.pauses.get(id).copied();
        let since = before.unwrap_or_else(Timestamp::now);
        // Stored even if it is paused already: a store that replaced a damaged one lacks the pause.
        self.persist(vec![Change::Pause(id.clone(), since)]).await?;
        if before.is_none() {
            known.pauses.insert(id.clone(), since);
            self.refresh(&mut known);
            info!(organization_id = %id, "organization paused; its events are on hold until it is resumed");
        }
        self.view(&organization, &known)
    }

    async fn resume(&self, id: &OrganizationId) -> Result<OrganizationView, OrganizationError> {
        let (mut known, organization) = self.lock(id).await?;
        if known.pauses.contains_key(id) {
            self.persist(vec![Change::Resume(id.clone())]).await?;
            known.pauses.remove(id);
            self.refresh(&mut known);
            info!(organization_id = %id, "organization resumed");
        }
        self.view(&organization, &known)
    }

    async fn save(&self, id: &OrganizationId, document: Value) -> Result<TestReport, OrganizationError> {
        let document = named(id, document)?;
        let organization =
            parse_document(&document, &self.config).map_err(|faults| OrganizationError::Invalid(faults.to_string()))?;
        let row = encrypted(id, &document, &self.vault)?;
        let mut report = self.inspect(&organization, Arc::new(|_| ())).await;
        if !report.passed {
            return Err(OrganizationError::Untested(report));
        }
        let mut known = self.known.lock().await;
        self.persist(vec![Change::Organization(row.clone())]).await?;
        known.save(&row, &self.vault, &self.config);
        info!(organization_id = %id, "organization saved in the store");
        self.refresh(&mut known);
        report.checks.extend(known.files.get(id).map(|of_file| shadowed(&of_file.source)));
        Ok(report)
    }

    async fn delete(&self, id: &OrganizationId) -> Result<(), OrganizationError> {
        let mut known = self.known.lock().await;
        if !known.has_saved(id) {
            return Err(match known.get(id) {
                Some(of_file) => OrganizationError::Refused(format!(
                    "organization {:?} is configured by {}, not in the store; remove that file instead",
                    id.as_str(),
                    of_file.source
                )),
                None => OrganizationError::Unknown(id.clone()),
            });
        }
        let mut changes = vec![Change::ForgetOrganization(id.clone())];
        let is_gone = known.files.get(id).is_none();
        // A pause that outlives its organization would surprise whoever saves it again.
        changes.extend(is_gone.then(|| Change::Resume(id.clone())));
        self.persist(changes).await?;
        known.forget(id);
        if is_gone {
            known.pauses.remove(id);
        }
        info!(organization_id = %id, "organization deleted from the store");
        self.refresh(&mut known);
        Ok(())
    }
}
