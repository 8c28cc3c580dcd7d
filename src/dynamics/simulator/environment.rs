//! One environment: its rows, its switches, its memory of what was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use jiff::Timestamp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::access;
use super::answer::Answer;
use super::call::Call;
use super::dataverse::{self, Scene};
use super::faults::{Effect, Faults, Script};
use super::journal::{Entry, HEADERS, Journal, Room};
use super::options::EnvironmentOptions;
use super::refusal::Refusal;
use super::rows::{RowSet, Rows};
use super::schema::Schema;
use super::settings::{Settings, SettingsError};
use super::target::Target;
use super::token::{self, Tokens};

/// The window of Dataverse's request limit.
const WINDOW: Duration = Duration::from_secs(300);

/// One environment.
pub struct Environment {
    options: EnvironmentOptions,
    addresses: Vec<String>,
    live: RwLock<Arc<Live>>,
    rows: Mutex<Rows>,
    tokens: Mutex<Tokens>,
    faults: Mutex<Faults>,
    journal: Mutex<Journal>,
    recent: Mutex<VecDeque<Instant>>,
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

/// A request in hand; it is in the journal once this is dropped.
pub(super) struct Visit<'a> {
    environment: &'a Environment,
    entry: Option<Entry>,
    /// How many are in hand, this one included.
    pub in_flight: usize,
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
            recent: Mutex::default(),
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
        self.options.seeds.plant(&live.schema, &mut rows, user(&live.settings));
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
        *self.rows() = rows;
        self.faults().clear();
        self.revoke_tokens();
        self.journal().clear();
        lock(&self.recent).clear();
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

    pub(super) fn journal(&self) -> MutexGuard<'_, Journal> {
        lock(&self.journal)
    }

    /// A request begins.
    pub(super) fn visit(&self, call: &Call, target: &Target, operation: String) -> Visit<'_> {
        let headers = HEADERS.iter().filter_map(|name| Some((*name, call.header(name)?.to_owned())));
        let body = match target {
            Target::Token(_) => token::masked(&call.body).into(),
            // A copy: a slice would keep the connection's whole read buffer.
            _ => Bytes::copy_from_slice(&call.body),
        };
        Visit {
            environment: self,
            in_flight: self.journal().begin(),
            entry: Some(Entry {
                number: 0,
                time: Timestamp::now(),
                environment: self.options.name.clone(),
                method: call.method.to_string(),
                uri: call.uri.clone(),
                operation,
                status: None,
                fault: None,
                request_id: Uuid::new_v4().to_string(),
                headers: headers.collect::<BTreeMap<_, _>>(),
                body: (!body.is_empty()).then_some(body),
            }),
        }
    }

    /// What a request comes to, without faults and latency.
    pub(super) fn perform(&self, call: &Call, target: &Target, in_flight: usize) -> Answer {
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

    fn dataverse(&self, call: &Call, target: &Target, live: &Live, in_flight: usize) -> Result<Answer, Refusal> {
        if !lock(&self.tokens).holds(access::bearer(call)?) {
            return Err(Refusal::unauthorized("The token is unknown, expired, or another environment's."));
        }
        self.protect(live, in_flight)?;
        let user = user(&live.settings);
        access::check(call, target, &live.settings, user)?;
        let mut rows = self.rows();
        let mut scene = Scene { call, live, base: live.url(), user, rows: &mut rows };
        dataverse::answer(&mut scene, target)
    }

    /// Service protection. A request that is refused counts too: sending on makes it worse.
    fn protect(&self, live: &Live, in_flight: usize) -> Result<(), Refusal> {
        let limits = &live.settings.limits;
        let throttled = |code: &str, message: String| {
            let mut refusal = Refusal::new(429, code, message);
            refusal.headers.push(("retry-after", limits.retry_after_s.to_string()));
            refusal
        };
        if limits.concurrent.is_some_and(|most| in_flight > most) {
            let message = "Number of concurrent requests exceeded the limit.".to_owned();
            return Err(throttled("0x80072326", message));
        }
        let Some(most) = limits.requests else { return Ok(()) };
        let (mut recent, now) = (lock(&self.recent), Instant::now());
        while recent.front().is_some_and(|first| now.duration_since(*first) > WINDOW) {
            recent.pop_front();
        }
        recent.push_back(now);
        if recent.len() > most {
            let message = format!("Number of requests exceeded the limit of {most} over time window of 300 seconds.");
            return Err(throttled("0x80072322", message));
        }
        Ok(())
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

    fn url(&self) -> &str {
        self.urls.first().map_or("", String::as_str)
    }
}

impl Visit<'_> {
    /// The fault that happens to it.
    pub(super) fn faulty(&mut self, effect: Option<&Effect>) {
        if let (Some(entry), Some(effect)) = (&mut self.entry, effect) {
            entry.fault = Some(effect.name());
        }
    }

    /// It is answered with this.
    pub(super) fn answered(&mut self, status: u16) {
        if let Some(entry) = &mut self.entry {
            entry.status = Some(status);
        }
    }

    /// The id its answer carries.
    pub(super) fn request_id(&self) -> &str {
        self.entry.as_ref().map_or("", |entry| &entry.request_id)
    }
}

impl Drop for Visit<'_> {
    /// A client that goes away drops the request in the middle: that is in the journal too.
    fn drop(&mut self) {
        let live = self.environment.live();
        let room = Room { entries: live.settings.journal_entries, body_bytes: live.settings.journal_body_bytes };
        if let Some(entry) = self.entry.take() {
            self.environment.journal().end(entry, room);
        }
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
