//! One environment: its rows, its switches, its memory of what was asked.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::access;
use super::answer::Answer;
use super::call::Call;
use super::dataverse::{self, Scene};
use super::faults::{Faults, Script};
use super::journal::{Entry, Journal};
use super::options::EnvironmentOptions;
use super::people::People;
use super::privileges;
use super::protection::Protection;
use super::refusal::Refusal;
use super::rep::{RepActed, RepScript};
use super::rows::{RowSet, Rows};
use super::schema::Schema;
use super::settings::{Settings, SettingsError};
use super::target::Target;
use super::token::{self, Tokens};

/// One environment.
pub struct Environment {
    options: EnvironmentOptions,
    addresses: Vec<String>,
    live: RwLock<Arc<Live>>,
    rows: Mutex<Rows>,
    tokens: Mutex<Tokens>,
    faults: Mutex<Faults>,
    journal: Mutex<Journal>,
    protection: Mutex<Protection>,
    people: Mutex<People>,
    pub(super) stopping: CancellationToken,
}

/// Switches, and what follows from them.
pub(super) struct Live {
    /// The switches.
    pub settings: Settings,
    /// The tables they leave.
    pub schema: Schema,
    /// Every URL it goes by, its own first.
    urls: Vec<String>,
}

impl Environment {
    /// As its options say, listening at these URLs.
    pub(super) fn new(options: EnvironmentOptions, addresses: Vec<String>, stopping: CancellationToken) -> Self {
        let live = Live::of(options.settings.clone(), &addresses);
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

    /// Its name.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Its URL, without a trailing slash.
    pub fn url(&self) -> String {
        self.live().url().to_owned()
    }

    /// Its switches.
    pub fn settings(&self) -> Settings {
        self.live().settings.clone()
    }

    /// Changes some of them, as a JSON object names them.
    pub fn configure(&self, changes: &Value) -> Result<(), SettingsError> {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        *live = Arc::new(Live::of(live.settings.changed(changes)?, &self.addresses));
        Ok(())
    }

    /// Adds trouble.
    pub fn script(&self, script: Script) {
        self.faults().add(script);
    }

    /// Ends all trouble.
    pub fn clear_faults(&self) {
        self.faults().clear();
    }

    /// Adds a rep who acts on their own.
    pub fn employ(&self, script: RepScript) {
        self.add_rep(script);
    }

    /// What reps have done so far.
    pub fn rep_actions(&self) -> Vec<RepActed> {
        self.people().acted().to_vec()
    }

    /// Ends all tokens.
    pub fn revoke_tokens(&self) {
        lock(&self.tokens).revoke();
    }

    /// The rows of a table (`incidents`), whole, in the order of their creation.
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

    /// The names of all privileges that there are (`prvCreateIncident`).
    pub fn privileges(&self) -> Vec<String> {
        privileges::held(&[], self.live().schema.tables())
    }

    /// The requests that the journal still has, oldest first.
    pub fn requests(&self) -> Vec<Entry> {
        self.journal().entries().cloned().collect()
    }

    /// How many requests of this operation (`incidents.create`) there were, whatever the answer.
    pub fn count(&self, operation: &str) -> u64 {
        self.journal().count(operation)
    }

    /// Everything as it was at the start: rows, switches, no faults, no tokens, an empty journal.
    pub fn reset(&self) {
        let live = Live::of(self.options.settings.clone(), &self.addresses);
        let mut rows = Rows::default();
        self.options.seeds.plant(&live.schema, &mut rows, user(&live.settings), live.now());
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
        *self.rows() = rows;
        self.faults().clear();
        self.revoke_tokens();
        self.journal().clear();
        *lock(&self.protection) = Protection::default();
        self.people().clear();
    }

    /// Whether this is one of its URLs.
    pub(super) fn is_at(&self, url: &str) -> bool {
        self.live().urls.iter().any(|known| known == url)
    }

    pub(super) fn live(&self) -> Arc<Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn rows(&self) -> MutexGuard<'_, Rows> {
        lock(&self.rows)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    pub(super) fn people(&self) -> MutexGuard<'_, People> {
        lock(&self.people)
    }

    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.journal)
    }

    /// What a request comes to, without faults and latency.
    pub(super) fn perform(self: &Arc<Self>, call: &Call, target: &Target, in_flight: usize) -> Answer {
        let live = self.live();
        if let Target::Token(tenant) = target {
            return token::answer(call, tenant, &live.settings, &live.urls, &mut lock(&self.tokens));
        }
        let answer = self.dataverse(call, target, &live, in_flight).unwrap_or_else(Into::into);
        match live.settings.dop_hint {
            Some(hint) => answer.with("x-ms-dop-hint", hint.to_string()),
            None => answer,
        }
    }

    fn dataverse(
        self: &Arc<Self>,
        call: &Call,
        target: &Target,
        live: &Live,
        in_flight: usize,
    ) -> Result<Answer, Refusal> {
        if !lock(&self.tokens).holds(access::bearer(call)?) {
            return Err(Refusal::unauthorized("The token is unknown, expired, or another environment's."));
        }
        lock(&self.protection).admit(&live.settings.limits, in_flight)?;
        let user = user(&live.settings);
        access::check(call, target, &live.settings, user)?;
        let mut rows = self.rows();
        let mut scene =
            Scene { call, live, base: live.url(), user, now: live.now(), touched: Cell::new(None), rows: &mut rows };
        let answer = dataverse::answer(&mut scene, target)?;
        let touched = scene.touched.get().map(|(table, key)| (table.set.clone(), key));
        // Reps without a delay act before any other request sees the rows.
        self.react(&target.operation(&call.method), call, touched.as_ref(), &mut rows);
        Ok(answer)
    }

    /// Waits; not longer than the simulator lives.
    pub(super) async fn pause(&self, time: Duration) {
        if !time.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(time) => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }
}

impl Live {
    fn of(settings: Settings, addresses: &[String]) -> Self {
        let urls = settings.url.iter().chain(addresses).cloned().collect();
        Self { schema: Schema::of(&settings), settings, urls }
    }

    /// The environment's time.
    pub(super) fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        now.checked_add(SignedDuration::from_secs(self.settings.clock_offset_s)).unwrap_or(now)
    }

    fn url(&self) -> &str {
        self.urls.first().map_or("", String::as_str)
    }
}

/// The application user's key.
fn user(settings: &Settings) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, settings.client_id.as_bytes())
}

/// What a panic in another request left is still good enough for a simulator.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
