//! Metric families: names, help texts, labels, buckets.

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
};

use super::organization_families::OrganizationFamilies;
use super::register::{counters, gauges, registered};

/// Buckets from a fast outcome to one day, which an event takes that waited for its organization to recover.
const EVENT: [f64; 20] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
    21_600.0, 86_400.0,
];
/// Buckets from a simulator's response time to twice the default time-out, which is Dynamics' limit for one operation.
const REQUEST: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];
/// Buckets from a fast disk's sync to that of a failing disk.
const FLUSH_SECONDS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Metric families; those with labels have no series yet.
pub(super) struct Families {
    pub events: IntCounterVec,
    pub event_seconds: HistogramVec,
    pub event_age_seconds: HistogramVec,
    pub in_flight: IntGauge,
    pub oldest_event_seconds: Gauge,
    pub ready: IntGauge,
    pub consuming: IntGauge,
    pub retries: IntCounterVec,
    pub forwarded: IntCounter,
    pub dead_letters: IntCounterVec,
    pub body_differs: IntCounterVec,
    pub outcomes_unrouted: IntCounterVec,
    pub requests: IntCounterVec,
    pub request_seconds: HistogramVec,
    pub throttled: IntCounterVec,
    pub blocked: IntGaugeVec,
    pub credential_expires: IntGaugeVec,
    pub queue_messages: IntGaugeVec,
    pub organization_waiting: IntGaugeVec,
    pub organization: OrganizationFamilies,
    pub unidentified_files: IntGauge,
    pub verdict: IntGaugeVec,
    pub broker_connected: IntGauge,
    pub workers: IntGauge,
    pub organizations_owned: IntGauge,
    pub lease_age_seconds: Gauge,
    pub takeovers: IntCounterVec,
    pub fenced: IntCounter,
    pub store_flush_seconds: Histogram,
    pub store_bytes: IntGauge,
    pub store_healthy: IntGauge,
    pub insecure_settings: IntGaugeVec,
    pub http_auth_failures: IntCounter,
    pub build_info: IntGaugeVec,
}

impl Families {
    pub(super) fn new() -> Self {
        Self {
            events: counters("handoffd_events_total", "Events by outcome, retries included.", &["type", "outcome"]),
            event_seconds: seconds("handoffd_event_seconds", "Receipt to final outcome.", &["type", "route"], &EVENT),
            event_age_seconds: seconds(
                "handoffd_event_age_seconds",
                "Event timestamp to final outcome.",
                &["type"],
                &EVENT,
            ),
            in_flight: gauge("handoffd_in_flight", "Events in flight."),
            oldest_event_seconds: registered(Gauge::new(
                "handoffd_oldest_event_seconds",
                "Age of the oldest unfinished event that this worker has taken from a queue; 0 without any.",
            )),
            ready: gauge("handoffd_ready", "1 while /readyz reports ready."),
            consuming: gauge("handoffd_consuming", "1 while the broker delivers events to this worker."),
            retries: counters("handoffd_retries_total", "Attempts to be repeated, by reason.", &["reason"]),
            forwarded: registered(IntCounter::new(
                "handoffd_forwarded_total",
                "Events moved from the inbox to their organizations' queues.",
            )),
            dead_letters: counters("handoffd_dead_letters_total", "Dead-lettered events, by reason.", &["reason"]),
            body_differs: counters(
                "handoffd_event_body_differs_total",
                "Events received again with a different body.",
                &["type"],
            ),
            outcomes_unrouted: counters(
                "handoffd_outcomes_unrouted_total",
                "Outcomes without a queue bound for them.",
                &["type"],
            ),
            requests: counters(
                "handoffd_dynamics_requests_total",
                "Requests to Dynamics and Entra ID by operation and HTTP status; 0 means no response.",
                &["operation", "status"],
            ),
            request_seconds: seconds(
                "handoffd_dynamics_request_seconds",
                "Duration of requests to Dynamics and Entra ID.",
                &["operation"],
                &REQUEST,
            ),
            throttled: counters(
                "handoffd_dynamics_throttled_total",
                "Responses that throttled the worker.",
                &["organization"],
            ),
            blocked: gauges(
                "handoffd_organization_blocked",
                "1 while blocked by a faulty configuration; its events are on hold.",
                &["organization"],
            ),
            credential_expires: gauges(
                "handoffd_credential_expires_timestamp_seconds",
                "Unix time at which an organization's certificate ends; absent where the end is unknown.",
                &["organization"],
            ),
            queue_messages: gauges("handoffd_queue_messages", "Messages ready in a queue.", &["queue"]),
            organization_waiting: gauges(
                "handoffd_organization_waiting",
                "Events ready in an organization's queue.",
                &["organization"],
            ),
            organization: OrganizationFamilies::new(),
            unidentified_files: gauge(
                "handoffd_unidentified_organization_files",
                "Organization files that are too broken to identify their organizations.",
            ),
            verdict: gauges("handoffd_verdict", "1 for the worker's verdict, 0 for the others.", &["verdict"]),
            broker_connected: gauge("handoffd_broker_connected", "1 while the broker is connected."),
            workers: gauge("handoffd_workers", "Live workers, as this one sees it."),
            organizations_owned: gauge("handoffd_organizations_owned", "Organizations that this worker processes."),
            lease_age_seconds: registered(Gauge::new(
                "handoffd_lease_age_seconds",
                "Time since this worker's lease was renewed; 0 without other workers.",
            )),
            takeovers: counters(
                "handoffd_takeovers_total",
                "Organizations taken over from another worker, by reason.",
                &["reason"],
            ),
            fenced: registered(IntCounter::new(
                "handoffd_fenced_total",
                "Events left to another worker that had taken their organization over.",
            )),
            store_flush_seconds: registered(Histogram::with_opts(
                HistogramOpts::new("handoffd_store_flush_seconds", "Duration of a flush of the store to disk.")
                    .buckets(FLUSH_SECONDS.to_vec()),
            )),
            store_bytes: gauge("handoffd_store_bytes", "Size of the store on disk in bytes."),
            store_healthy: gauge("handoffd_store_healthy", "0 while the store can't be written to."),
            insecure_settings: gauges("handoffd_insecure_settings", "1 for each insecure setting.", &["setting"]),
            http_auth_failures: registered(IntCounter::new(
                "handoffd_http_auth_failures_total",
                "Requests with a wrong token.",
            )),
            build_info: gauges("handoffd_build_info", "Constant 1, labelled with the version.", &["version"]),
        }
    }

    /// Returns a new registry, so that two workers in one process do not share numbers.
    pub(super) fn registry(&self) -> Registry {
        let registry = Registry::new();
        for collector in self.collectors() {
            registered(registry.register(collector));
        }
        registry
    }

    /// Returns all families.
    pub(super) fn collectors(&self) -> [Box<dyn Collector>; 38] {
        [
            Box::new(self.events.clone()),
            Box::new(self.event_seconds.clone()),
            Box::new(self.event_age_seconds.clone()),
            Box::new(self.in_flight.clone()),
            Box::new(self.oldest_event_seconds.clone()),
            Box::new(self.ready.clone()),
            Box::new(self.consuming.clone()),
            Box::new(self.retries.clone()),
            Box::new(self.forwarded.clone()),
            Box::new(self.dead_letters.clone()),
            Box::new(self.body_differs.clone()),
            Box::new(self.outcomes_unrouted.clone()),
            Box::new(self.requests.clone()),
            Box::new(self.request_seconds.clone()),
            Box::new(self.throttled.clone()),
            Box::new(self.blocked.clone()),
            Box::new(self.credential_expires.clone()),
            Box::new(self.queue_messages.clone()),
            Box::new(self.organization_waiting.clone()),
            Box::new(self.organization.state.clone()),
            Box::new(self.organization.events.clone()),
            Box::new(self.organization.requests.clone()),
            Box::new(self.organization.last_success.clone()),
            Box::new(self.organization.oldest.clone()),
            Box::new(self.unidentified_files.clone()),
            Box::new(self.verdict.clone()),
            Box::new(self.broker_connected.clone()),
            Box::new(self.workers.clone()),
            Box::new(self.organizations_owned.clone()),
            Box::new(self.lease_age_seconds.clone()),
            Box::new(self.takeovers.clone()),
            Box::new(self.fenced.clone()),
            Box::new(self.store_flush_seconds.clone()),
            Box::new(self.store_bytes.clone()),
            Box::new(self.store_healthy.clone()),
            Box::new(self.insecure_settings.clone()),
            Box::new(self.http_auth_failures.clone()),
            Box::new(self.build_info.clone()),
        ]
    }
}

fn gauge(name: &str, help: &str) -> IntGauge {
    registered(IntGauge::new(name, help))
}

fn seconds(name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
    registered(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels))
}
