//! Keeps the organizations: from files and from the store, tested, saved, paused, and put in force.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::store::{Change, SavedOrganization, Store, StoreError};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use tracing::{debug, error, info, warn};

use super::reload::{Parties, put_in_force, report_changes, report_faults, report_problems};
use super::roster::Roster;
use super::views;
use crate::admin::deps::{OrganizationError, OrganizationView, TestReport};
use crate::config::organizations::{Loaded, Organization, Snapshot, Update, Vault, to_be_resealed};
use crate::config::{Config, Environment};

/// Before a store that can't be read is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Longest time that a list waits for the broker to count the events of a queue.
const COUNT_LIMIT: Duration = Duration::from_secs(2);

/// The organizations of a running worker.
pub(super) struct Register {
    pub(super) config: Config,
    pub(super) env: Environment,
    pub(super) vault: Vault,
    pub(super) store: Arc<dyn Store>,
    pub(super) parties: Parties,
    roster: Mutex<Roster>,
    /// What is wrong with saved ones, as reported last.
    told: std::sync::Mutex<String>,
    /// The faults of files, as reported last.
    told_of_files: std::sync::Mutex<String>,
    /// Something is in force.
    begun: AtomicBool,
    /// The store has been read.
    loaded: AtomicBool,
}

impl Register {
    /// With these of files, whose faults are reported; nothing of the store yet.
    pub(super) fn new(
        config: Config,
        env: Environment,
        store: Arc<dyn Store>,
        parties: Parties,
        files: Loaded,
    ) -> Arc<Self> {
        let keys = &config.organizations;
        let vault = Vault::new(keys.encryption_key.as_ref(), keys.previous_encryption_key.as_ref());
        let read = Snapshot::default().reload(files);
        let mut told_of_files = String::new();
        report_faults(&read, &mut told_of_files);
        let (told, told_of_files, begun, loaded) =
            (std::sync::Mutex::default(), told_of_files.into(), false.into(), false.into());
        let roster = Mutex::new(Roster::of(read.snapshot));
        Arc::new(Self { config, env, vault, store, parties, roster, told, told_of_files, begun, loaded })
    }

    /// Takes over what a reading of the directory gave.
    pub(super) fn take_over(&self, roster: &mut Roster, update: Update) {
        report_faults(&update, &mut self.told_of_files.lock().unwrap_or_else(PoisonError::into_inner));
        let is_news = !update.changes.is_empty() || update.snapshot.is_complete() != roster.files.is_complete();
        roster.files = update.snapshot;
        if is_news {
            self.refresh(roster);
        }
    }

    /// Puts in force what there is to begin with. A store that can't be read yet is asked again ([`Register::loaded`]).
    pub(super) async fn begin(&self) {
        if let Err(problem) = self.load().await {
            error!(error = %problem, "saved organizations can't be read: no event is consumed until they can");
            self.refresh(&mut *self.roster().await);
        }
    }

    /// Reads what the store has, seals anew what an older key has sealed, and puts all of it in force.
    pub(super) async fn load(&self) -> Result<(), StoreError> {
        let (saved, pauses) = (self.store.organizations().await?, self.store.pauses().await?);
        // What is no JSON is reported as one that can't be known.
        let document = |row: SavedOrganization| (row.id, serde_json::from_str(&row.document).unwrap_or(Value::Null));
        let mut saved = saved.into_iter().map(document).collect();
        self.seal_anew(&mut saved).await;
        let mut roster = self.roster.lock().await;
        roster.forget_saved();
        for (id, kept) in saved {
            roster.save(id, &kept, &self.vault, &self.config);
        }
        roster.pauses = pauses.into_iter().collect();
        self.refresh(&mut roster);
        self.loaded.store(true, Ordering::Release);
        for (id, since) in &roster.pauses {
            warn!(organization_id = %id, %since, "an organization is paused: its events wait until it is resumed");
        }
        Ok(())
    }

    /// Whether the store has been read: before that, an event of a saved organization would be taken for a stranger's.
    pub(super) fn is_loaded(&self) -> bool {
        self.loaded.load(Ordering::Acquire)
    }

    /// What was read is of a store that is no more.
    pub(super) fn forget(&self) {
        self.loaded.store(false, Ordering::Release);
    }

    /// Returns when the store has been read.
    pub(super) async fn loaded(&self) {
        while !self.is_loaded() {
            if let Err(problem) = self.load().await {
                debug!(error = %problem, "saved organizations can't be read yet");
                tokio::time::sleep(ASK_AGAIN).await;
            }
        }
    }

    /// Alone with the roster.
    pub(super) async fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().await
    }

    /// Puts in force what files and store say now, and tells what changed.
    pub(super) fn refresh(&self, roster: &mut Roster) {
        let found = roster.refresh();
        report_problems(&found.problems, &mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
        self.parties.dynamics.set_paused(roster.pauses.keys().cloned().collect());
        // What the worker begins with is no change.
        let begun = self.begun.swap(true, Ordering::AcqRel);
        if begun {
            report_changes(&found.changes);
        }
        self.parties.dynamics.set_complete(roster.files.is_complete());
        if !begun || !found.changes.is_empty() {
            put_in_force(roster.in_force(), &self.parties);
        }
        warn_of_shadows(roster);
    }

    /// Tests an organization, known or not.
    pub(super) async fn inspect(&self, organization: &Organization) -> TestReport {
        let findings = self.parties.dynamics.inspect(super::reload::access(organization)).await;
        views::report(organization, findings)
    }

    /// How one stands.
    pub(super) async fn view(
        &self,
        organization: &Organization,
        paused: Option<Timestamp>,
    ) -> Option<OrganizationView> {
        let id = &organization.settings.organization_id;
        let condition = self.parties.dynamics.condition(id)?;
        let counted = tokio::time::timeout(COUNT_LIMIT, self.parties.broker.waiting(id)).await;
        let missing = self.parties.broker.missing_queue(id);
        Some(views::view(organization, condition, paused, (counted.ok().flatten(), missing)))
    }

    /// Makes a change durable.
    pub(super) async fn keep(&self, changes: Vec<Change>) -> Result<(), OrganizationError> {
        if !self.is_loaded() {
            return Err(OrganizationError::Store("the store could not be read yet: try again when it can".to_owned()));
        }
        self.store.keep(changes).await.map_err(|problem| OrganizationError::Store(problem.to_string()))
    }

    /// With the key in use, so that the one before it can be put away.
    async fn seal_anew(&self, saved: &mut BTreeMap<OrganizationId, Value>) {
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
                    "secrets of saved organizations were sealed anew with organizations.encryption_key: \
                     organizations.previous_encryption_key can be removed"
                );
                saved.extend(anew);
            }
            Err(problem) => {
                error!(error = %problem, "saved secrets could not be sealed anew: organizations.previous_encryption_key is still needed");
            }
        }
    }
}

/// Once for each.
fn warn_of_shadows(roster: &mut Roster) {
    for (id, file) in roster.newly_shadowed() {
        warn!(
            organization_id = %id,
            file,
            "an organization has a file and was saved too: the file counts; remove one of the two"
        );
    }
}
