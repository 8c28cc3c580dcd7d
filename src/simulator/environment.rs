//! One environment: its rows, switches, faults and journal.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::access;
use super::answer::SimulatedAnswer;
use super::call::IncomingRequest;
use super::context::RequestContext;
use super::dataverse;
use super::faults::{FaultScripts, Script};
use super::journal::{Journal, JournalEntry};
use super::live_settings::LiveSettings;
use super::options::EnvironmentOptions;
use super::people::{PendingAction, People};
use super::privileges;
use super::protection::Protection;
use super::refusal::Refusal;
use super::rep::{RepActionRecord, RepScript};
use super::rows::{RowSet, Rows};
use super::settings::{EnvironmentSettings, SettingsError};
use super::target::Target;
use super::token::{self, Tokens};

/// Simulated Dataverse environment.
pub struct Environment {
    options: EnvironmentOptions,
    addresses: Vec<String>,
    live: RwLock<Arc<LiveSettings>>,
    rows: Mutex<Rows>,
    tokens: Mutex<Tokens>,
    faults: Mutex<FaultScripts>,
    journal: Mutex<Journal>,
    protection: Mutex<Protection>,
    people: Mutex<People>,
    pub(super) stopping: CancellationToken,
}

impl Environment {
    /// Creates an environment from its options, listening at these URLs.
    pub(super) fn new(options: EnvironmentOptions, addresses: Vec<String>, stopping: CancellationToken) -> Self {
        let live = LiveSettings::of(options.settings.clone(), &addresses);
        let environment = Self {
            addresses,
            live: RwLock::new(Arc::new(live)),
            rows: Mutex::default(),
            tokens: Mutex::default(),
            faults: Mutex::default(),
            journal: Mutex::default(),
            protection: Mutex::default(),
            people: Mutex::default(),
            options,
            stopping,
        };
        environment.reset();
        environment
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Returns the URL, without a trailing slash.
    pub fn url(&self) -> String {
        self.live().url().to_owned()
    }

    /// Returns the switches.
    pub fn settings(&self) -> EnvironmentSettings {
        self.live().settings.clone()
    }

    /// Changes the switches named in a JSON object.
    pub fn configure(&self, changes: &Value) -> Result<(), SettingsError> {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        *live = Arc::new(LiveSettings::of(live.settings.changed(changes)?, &self.addresses));
        Ok(())
    }

    /// Adds a fault script.
    pub fn script(&self, script: Script) {
        self.faults().add(script);
    }

    /// Removes all fault scripts.
    pub fn clear_faults(&self) {
        self.faults().clear();
    }

    /// Adds a rep's script.
    pub fn add_rep_script(&self, script: RepScript) {
        self.add_rep(script);
    }

    /// Returns the actions of all reps so far.
    pub fn rep_actions(&self) -> Vec<RepActionRecord> {
        self.people().acted().to_vec()
    }

    /// Revokes all tokens.
    pub fn revoke_tokens(&self) {
        lock(&self.tokens).revoke();
    }

    /// Returns the complete rows of a table (`incidents`) in order of creation.
    pub fn records(&self, set: &str) -> Vec<Value> {
        let live = self.live();
        if live.schema.table(set).is_none() {
            return Vec::new();
        }
        let rows = self.rows();
        let rows = rows.at(set).into_iter().flat_map(RowSet::iter);
        let whole = rows.map(|row| Value::Object(row.values.clone()));
        whole.collect()
    }

    /// Returns the names of all existing privileges (`prvCreateIncident`).
    pub fn privileges(&self) -> Vec<String> {
        privileges::held(&[], self.live().schema.tables())
    }

    /// Returns the requests still in the journal, oldest first.
    pub fn requests(&self) -> Vec<JournalEntry> {
        self.journal().entries().cloned().collect()
    }

    /// Returns the number of requests of an operation (`incidents.create`), regardless of their answers.
    pub fn count(&self, operation: &str) -> u64 {
        self.journal().count(operation)
    }

    /// Returns the largest number of concurrent requests since the last call.
    pub fn take_peak(&self) -> usize {
        self.journal().take_peak()
    }

    /// Restores the initial state: rows and switches; no faults, no tokens, an empty journal.
    pub fn reset(&self) {
        let live = LiveSettings::of(self.options.settings.clone(), &self.addresses);
        let mut rows = Rows::default();
        self.options.seeds.insert(&live.schema, &mut rows, user(&live.settings), live.now());
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
        *self.rows() = rows;
        self.faults().clear();
        self.revoke_tokens();
        self.journal().clear();
        *lock(&self.protection) = Protection::default();
        self.people().clear();
    }

    /// Returns true if this is one of the environment's URLs.
    pub(super) fn is_at(&self, url: &str) -> bool {
        self.live().urls.iter().any(|known| known == url)
    }

    pub(super) fn live(&self) -> Arc<LiveSettings> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn rows(&self) -> MutexGuard<'_, Rows> {
        lock(&self.rows)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, FaultScripts> {
        lock(&self.faults)
    }

    pub(super) fn people(&self) -> MutexGuard<'_, People> {
        lock(&self.people)
    }

    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.journal)
    }

    /// Performs a request without faults and latency.
    pub(super) fn perform(
        self: &Arc<Self>,
        call: &IncomingRequest,
        target: &Target,
        in_flight: usize,
    ) -> SimulatedAnswer {
        let live = self.live();
        if let Target::Token(tenant) = target {
            return token::answer(call, tenant, &live, &mut lock(&self.tokens));
        }
        let answer = self.dataverse(call, target, &live, in_flight).unwrap_or_else(Into::into);
        match live.settings.dop_hint {
            Some(hint) => answer.with("x-ms-dop-hint", hint.to_string()),
            None => answer,
        }
    }

    fn dataverse(
        self: &Arc<Self>,
        call: &IncomingRequest,
        target: &Target,
        live: &LiveSettings,
        in_flight: usize,
    ) -> Result<SimulatedAnswer, Refusal> {
        if !lock(&self.tokens).holds(access::bearer(call)?) {
            return Err(Refusal::unauthorized("The token is unknown, expired, or another environment's."));
        }
        lock(&self.protection).admit(&live.settings.limits, in_flight)?;
        let user = user(&live.settings);
        access::check(call, target, &live.settings, user)?;
        let mut rows = self.rows();
        let mut scene = RequestContext {
            call,
            live,
            base: live.url(),
            user,
            now: live.now(),
            touched: Cell::new(None),
            rows: &mut rows,
        };
        let answer = dataverse::answer(&mut scene, target)?;
        let touched = scene.touched.get().map(|(table, key)| (table.set.clone(), key));
        // Reps without a delay act before any other request sees the rows.
        self.react(&target.operation(&call.method), call, touched.as_ref(), &mut rows);
        Ok(answer)
    }

    /// Adds a rep and returns their id. A rep whose script names no operation acts at once.
    pub(super) fn add_rep(&self, script: RepScript) -> u64 {
        let mut rows = self.rows();
        let mut people = self.people();
        people.add(script, &self.live(), &mut rows)
    }

    /// Lets reps react to a request that took effect, at once or with their delay.
    fn react(
        self: &Arc<Self>,
        operation: &str,
        call: &IncomingRequest,
        touched: Option<&(String, Uuid)>,
        rows: &mut Rows,
    ) {
        let mut people = self.people();
        for errand in people.due(operation, call, touched) {
            if errand.after.is_zero() {
                people.perform(&errand, &self.live(), rows);
            } else {
                tokio::spawn(self.clone().later(errand));
            }
        }
    }

    async fn later(self: Arc<Self>, errand: PendingAction) {
        self.pause(errand.after).await;
        let mut rows = self.rows();
        let mut people = self.people();
        if !self.stopping.is_cancelled() {
            people.perform(&errand, &self.live(), &mut rows);
        }
    }

    /// Sleeps, but no longer than the simulator runs.
    pub(super) async fn pause(&self, time: Duration) {
        if !time.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(time) => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }
}

/// Returns the key of the application user.
fn user(settings: &EnvironmentSettings) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, settings.client_id.as_bytes())
}

/// Locks a mutex, ignoring poison: state left by a panic in another request is good enough for a simulator.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
