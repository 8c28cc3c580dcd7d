//! In: measurements of the engine and its adapters.
//! Out: the metrics of contract section 10 in Prometheus' text format.
//! Absent: unbounded labels; an organization has series only while it is configured.

mod activity;
mod answers;
mod counts;
mod depths;
mod families;
mod organization;
mod organization_families;
#[cfg(test)]
mod reference;
mod register;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use handoffd_engine::event::{Kind, OrganizationId, Route};
use handoffd_engine::ports::fleet::FleetStatus;
use handoffd_engine::ports::metrics::{EventEnd, Measurement, Metrics, TakeoverReason};
use handoffd_engine::workflow::{Reason, StepName};
use jiff::Timestamp;
use prometheus::{Histogram, IntCounter, Registry, TextEncoder};

pub use activity::ActivityReport;
use activity::{AgeSource, OrganizationActivity};
pub use answers::RequestTotals;
pub use counts::{MetricCounts, OutcomeCounts};
use depths::KnownDepths;
pub use depths::QueueDepths;
use families::Families;
pub use organization::OrganizationGauges;

/// Content type of [`PrometheusMetrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

const KINDS: [Kind; 2] = [Kind::Handoff, Kind::Resolution];
const ENDS: [(EventEnd, &str); 5] = [
    (EventEnd::Succeeded, "succeeded"),
    (EventEnd::Skipped, "skipped"),
    (EventEnd::DeadLettered, "dead_lettered"),
    (EventEnd::Duplicate, "duplicate"),
    (EventEnd::Retried, "retried"),
];
const ROUTES: [Option<Route>; 3] = [None, Some(Route::Incident), Some(Route::LiveWorkItem)];
/// Steps that send a request.
const OPERATIONS: [StepName; 13] = [
    StepName::Token,
    StepName::Probe,
    StepName::LookUpContact,
    StepName::CreateContact,
    StepName::CreatePlaceholder,
    StepName::PostIncident,
    StepName::LookForQueueItem,
    StepName::AssignQueue,
    StepName::AttachTranscript,
    StepName::PostLiveWorkItem,
    StepName::CloseIncident,
    StepName::LookAtIncident,
    StepName::LookForResolution,
];
/// Reasons of retries; see [`Measurement::Retried`].
const RETRY_REASONS: [&str; 16] = [
    "in_process",
    "transient",
    "throttled",
    "blocked",
    "paused",
    "not_owned",
    "new_queue",
    "unknown_organization",
    "handoff_awaited",
    "first_awaited",
    "store",
    "panic",
    "held",
    "shutdown",
    "queue_refused",
    "destination_refused",
];

/// Statuses of token requests that have series from the start, so that `rate()` sees the first refusal.
const TOKEN_STATUSES: [&str; 5] = ["0", "200", "400", "401", "403"];

/// Distance that events get at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventReach {
    /// The broker delivers none to the worker.
    None,
    /// The broker delivers events, and something keeps them from their end.
    Delivered,
    /// Events are processed to their end.
    Finished,
}

/// Present state of the worker, read when the metrics are.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct WorkerHealth {
    /// True if the worker is ready.
    pub ready: bool,
    /// Distance that events get.
    pub reach: EventReach,
    /// True if the store can be written to.
    pub store_healthy: bool,
    /// Age of the oldest unfinished event; zero if there is none.
    pub oldest_event: Duration,
    /// State of the fleet of workers.
    pub fleet: FleetStatus,
}

/// Counters and gauges. Those of the hot path are kept in arrays, so that it looks up no labels.
pub struct PrometheusMetrics {
    registry: Registry,
    families: Families,
    events: [[IntCounter; 5]; 2],
    event_seconds: [[Histogram; 3]; 2],
    event_age_seconds: [Histogram; 2],
    request_seconds: [Histogram; OPERATIONS.len()],
    organizations: RwLock<BTreeMap<OrganizationId, Arc<OrganizationActivity>>>,
    ages: OnceLock<AgeSource>,
    depths: Mutex<KnownDepths>,
    vitals: OnceLock<Box<dyn Fn() -> WorkerHealth + Send + Sync>>,
}

impl PrometheusMetrics {
    /// Registers every family and starts every series of a small closed set at 0, so that `rate()` sees its first step.
    pub fn new() -> Self {
        let families = Families::new();
        let metrics = Self {
            registry: families.registry(),
            events: KINDS.map(|kind| ENDS.map(|(_, end)| families.events.with_label_values(&[kind.as_str(), end]))),
            event_seconds: KINDS.map(|kind| {
                ROUTES.map(|route| {
                    let route = route.map_or("none", Route::as_str);
                    families.event_seconds.with_label_values(&[kind.as_str(), route])
                })
            }),
            event_age_seconds: KINDS.map(|kind| families.event_age_seconds.with_label_values(&[kind.as_str()])),
            request_seconds: OPERATIONS.map(|step| families.request_seconds.with_label_values(&[step.as_str()])),
            organizations: RwLock::default(),
            ages: OnceLock::new(),
            depths: Mutex::default(),
            vitals: OnceLock::new(),
            families,
        };
        metrics.begin_at_zero();
        metrics
    }

    fn start_activity(&self, organization: &str) -> Arc<OrganizationActivity> {
        let families = &self.families;
        let events = ENDS.map(|(_, end)| families.organization.events.with_label_values(&[organization, end]));
        OrganizationActivity::new(families, organization, events)
    }

    /// Sets the organizations that have series; call it at start and after each change.
    pub fn configured<'a>(&self, organizations: impl Iterator<Item = &'a OrganizationId>) {
        let next: BTreeSet<OrganizationId> = organizations.cloned().collect();
        let mut known = self.organizations.write().unwrap_or_else(PoisonError::into_inner);
        for gone in known.keys().filter(|id| !next.contains(*id)) {
            // An error means that the series does not exist.
            let _ = self.families.throttled.remove_label_values(&[gone.as_str()]);
            let _ = self.families.blocked.remove_label_values(&[gone.as_str()]);
            self.keep_depth(gone, false);
            self.remove_organization(gone.as_str());
        }
        for id in &next {
            self.families.throttled.with_label_values(&[id.as_str()]);
            self.families.blocked.with_label_values(&[id.as_str()]);
            self.keep_depth(id, true);
        }
        known.retain(|id, _| next.contains(id));
        for id in next {
            known.entry(id).or_insert_with_key(|id| self.start_activity(id.as_str()));
        }
    }

    /// Sets the ends of the organizations' credentials, where they are known.
    pub fn set_credential_ends<'a>(&self, ends: impl Iterator<Item = (&'a OrganizationId, Timestamp)>) {
        self.families.credential_expires.reset();
        ends.for_each(|(id, end)| {
            self.families.credential_expires.with_label_values(&[id.as_str()]).set(end.as_second());
        });
    }

    /// Returns the number of organizations that have series.
    pub fn organizations(&self) -> usize {
        self.organizations.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Begins a series for each insecure setting of the configuration.
    pub fn set_insecure_settings<'a>(&self, settings: impl Iterator<Item = &'a str>) {
        settings.for_each(|setting| self.families.insecure_settings.with_label_values(&[setting]).set(1));
    }

    /// Counts a request with a wrong token.
    pub fn http_auth_failed(&self) {
        self.families.http_auth_failures.inc();
    }

    /// Sets the source of the worker's state; until then its metrics are 0. Later calls have no effect.
    pub fn set_health_source(&self, worker: impl Fn() -> WorkerHealth + Send + Sync + 'static) {
        _ = self.vitals.set(Box::new(worker));
    }

    /// Returns the present state of the worker; `None` without a source.
    pub fn vitals(&self) -> Option<WorkerHealth> {
        self.vitals.get().map(|vitals| vitals())
    }

    /// Renders all metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        if let Some(vitals) = self.vitals() {
            self.set_health(vitals);
        }
        let mut text = String::new();
        // The encoder fails only for a family without a name or a metric without a value; all are registered with both.
        let _ = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text);
        text
    }

    fn set_health(&self, vitals: WorkerHealth) {
        let families = &self.families;
        families.ready.set(vitals.ready.into());
        families.consuming.set((vitals.reach != EventReach::None).into());
        families.store_healthy.set(vitals.store_healthy.into());
        families.oldest_event_seconds.set(vitals.oldest_event.as_secs_f64());
        let owned = vitals.fleet.owned.unwrap_or_else(|| self.organizations());
        families.workers.set(i64::try_from(vitals.fleet.workers).unwrap_or(i64::MAX));
        families.organizations_owned.set(i64::try_from(owned).unwrap_or(i64::MAX));
        families.lease_age_seconds.set(vitals.fleet.lease_age_seconds);
    }

    fn begin_at_zero(&self) {
        for reason in RETRY_REASONS {
            self.families.retries.with_label_values(&[reason]);
        }
        for reason in Reason::DEAD {
            self.families.dead_letters.with_label_values(&[reason.as_str()]);
        }
        for why in [TakeoverReason::Lost, TakeoverReason::Left, TakeoverReason::Balance] {
            self.families.takeovers.with_label_values(&[takeover(why)]);
        }
        for status in TOKEN_STATUSES {
            self.families.requests.with_label_values(&[StepName::Token.as_str(), status]);
        }
        for kind in KINDS {
            self.families.body_differs.with_label_values(&[kind.as_str()]);
            self.families.outcomes_unrouted.with_label_values(&[kind.as_str()]);
        }
        self.families.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    }

    fn finished(&self, kind: Kind, route: Option<Route>, elapsed: Duration, age: Option<Duration>) {
        let kind = index_of_kind(kind);
        self.event_seconds[kind][index_of_route(route)].observe(elapsed.as_secs_f64());
        if let Some(age) = age {
            self.event_age_seconds[kind].observe(age.as_secs_f64());
        }
    }

    fn answered(&self, step: StepName, status: u16, elapsed: Duration) {
        if let Some(index) = OPERATIONS.iter().position(|operation| *operation == step) {
            self.request_seconds[index].observe(elapsed.as_secs_f64());
        }
        let digits = Digits::of(status);
        self.families.requests.with_label_values(&[step.as_str(), digits.as_str()]).inc();
    }

    fn if_configured(&self, organization: &OrganizationId, count: impl FnOnce(&Families, &str)) {
        self.if_active(organization, |_| count(&self.families, organization.as_str()));
    }

    fn if_active(&self, organization: &OrganizationId, count: impl FnOnce(&OrganizationActivity)) {
        let known = self.organizations.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(activity) = known.get(organization) {
            count(activity);
        }
    }
}

impl Metrics for PrometheusMetrics {
    fn record(&self, sighting: Measurement<'_>) {
        let families = &self.families;
        match sighting {
            Measurement::Event(kind, end) => self.events[index_of_kind(kind)][index_of_end(end)].inc(),
            Measurement::Finished { kind, route, elapsed, age } => self.finished(kind, route, elapsed, age),
            Measurement::InFlight(change) => families.in_flight.add(change),
            Measurement::Retried(reason) => families.retries.with_label_values(&[reason]).inc(),
            Measurement::Forwarded => families.forwarded.inc(),
            Measurement::DeadLettered(reason) => families.dead_letters.with_label_values(&[reason.as_str()]).inc(),
            Measurement::BodyDiffers(kind) => families.body_differs.with_label_values(&[kind.as_str()]).inc(),
            Measurement::OutcomeUnrouted(kind) => families.outcomes_unrouted.with_label_values(&[kind.as_str()]).inc(),
            Measurement::Answered { step, status, elapsed } => self.answered(step, status, elapsed),
            Measurement::OrganizationEvent(organization, end) => self.if_active(organization, |activity| {
                activity.event(index_of_end(end));
                if end == EventEnd::Succeeded {
                    activity.succeeded(families, organization.as_str());
                }
            }),
            Measurement::Request(organization, change) => {
                self.if_active(organization, |activity| activity.request(change));
            }
            Measurement::Throttled(organization) => {
                self.if_configured(organization, |families, id| families.throttled.with_label_values(&[id]).inc());
            }
            Measurement::Blocked(organization, blocked) => self.if_active(organization, |activity| {
                families.blocked.with_label_values(&[organization.as_str()]).set(i64::from(blocked));
                if !blocked {
                    activity.unblocked();
                }
            }),
            Measurement::QueueDepth(queue, ready) => self.set_depth(queue, ready),
            Measurement::Unbegun(organization, events) => self.set_unbegun(organization, events),
            Measurement::BrokerConnected(connected) => {
                families.broker_connected.set(i64::from(connected));
                if !connected {
                    self.forget_depths();
                }
            }
            Measurement::Fenced => families.fenced.inc(),
            Measurement::TookOver(why) => families.takeovers.with_label_values(&[takeover(why)]).inc(),
            Measurement::StoreFlushed(elapsed) => families.store_flush_seconds.observe(elapsed.as_secs_f64()),
            Measurement::StoreBytes(bytes) => families.store_bytes.set(signed(bytes)),
        }
    }
}

impl Default for PrometheusMetrics {
    fn default() -> Self {
        Self::new()
    }
}

fn takeover(why: TakeoverReason) -> &'static str {
    match why {
        TakeoverReason::Lost => "lost",
        TakeoverReason::Left => "left",
        TakeoverReason::Balance => "balance",
    }
}

fn index_of_kind(kind: Kind) -> usize {
    match kind {
        Kind::Handoff => 0,
        Kind::Resolution => 1,
    }
}

fn index_of_end(end: EventEnd) -> usize {
    match end {
        EventEnd::Succeeded => 0,
        EventEnd::Skipped => 1,
        EventEnd::DeadLettered => 2,
        EventEnd::Duplicate => 3,
        EventEnd::Retried => 4,
    }
}

fn index_of_route(route: Option<Route>) -> usize {
    match route {
        None => 0,
        Some(Route::Incident) => 1,
        Some(Route::LiveWorkItem) => 2,
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Status as text, formatted without allocation because every request is labelled with it.
struct Digits {
    text: [u8; 5],
    from: usize,
}

impl Digits {
    fn of(mut number: u16) -> Self {
        let mut digits = Self { text: [b'0'; 5], from: 5 };
        loop {
            digits.from -= 1;
            // The remainder has one digit.
            digits.text[digits.from] = b'0' + u8::try_from(number % 10).unwrap_or(0);
            number /= 10;
            if number == 0 {
                return digits;
            }
        }
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[self.from..]).unwrap_or("0")
    }
}

#[cfg(test)]
mod tests;
