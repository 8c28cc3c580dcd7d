//! Requests and events of each configured organization, and the status that is derived from them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::metrics::{EventEnd, RequestChange, RequestOutcome};
use handoffd_engine::worker::EventAges;
use jiff::Timestamp;
use prometheus::IntCounter;

use super::families::Families;
use super::{ENDS, PrometheusMetrics, index_of_end};
use crate::status::{FailingRequests, RequestCounts, RequestWindow, WorkerVerdict};

/// Results of requests by label, in the order of [`index_of_result`].
const RESULTS: [&str; 5] = ["ok", "refused", "throttled", "failed", "timeout"];

/// Counters and recent requests of one organization.
pub(super) struct OrganizationActivity {
    window: Mutex<RequestWindow>,
    last_success: Mutex<Option<Timestamp>>,
    requests: [IntCounter; RESULTS.len()],
    events: [IntCounter; ENDS.len()],
}

/// Recent requests of an organization.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ActivityReport {
    /// Requests of the last five minutes.
    pub requests: RequestCounts,
    /// Requests that fail, if half or more do.
    pub failing: Option<FailingRequests>,
    /// Time from which Dynamics throttles it without a success.
    pub throttled: Option<Instant>,
    /// Time of its last event that succeeded, since the start of the worker.
    pub last_success: Option<Timestamp>,
}

/// Status of an organization for its gauges.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct OrganizationGauges<'a> {
    /// ID of the organization.
    pub organization: &'a str,
    /// Name of its state.
    pub state: &'a str,
    /// Age of its oldest unfinished event in seconds; `None` if it is unknown.
    pub oldest_seconds: Option<f64>,
}

/// Source of the ages of an organization's events.
pub(super) type AgeSource = Box<dyn Fn(&OrganizationId) -> EventAges + Send + Sync>;

/// States by label.
pub(super) const STATES: [&str; 6] = ["open", "degraded", "throttled", "blocked", "paused", "faulty"];

impl OrganizationActivity {
    pub(super) fn new(families: &Families, organization: &str) -> Arc<Self> {
        Arc::new(Self {
            window: Mutex::new(RequestWindow::new(Instant::now())),
            last_success: Mutex::default(),
            requests: RESULTS.map(|result| families.organization_requests.with_label_values(&[organization, result])),
            events: ENDS.map(|(_, end)| families.organization_events.with_label_values(&[organization, end])),
        })
    }

    pub(super) fn request(&self, change: RequestChange) {
        let now = Instant::now();
        let mut window = self.window();
        match change {
            RequestChange::Began(number, step) => window.began(number, step, now),
            RequestChange::Left(number) => window.left(number),
            RequestChange::Ended(step, end, began) => {
                window.ended(step, end, began, now);
                self.requests[index_of_result(end)].inc();
            }
        }
    }

    pub(super) fn event(&self, families: &Families, organization: &str, end: EventEnd) {
        self.events[index_of_end(end)].inc();
        if end == EventEnd::Succeeded {
            let now = Timestamp::now();
            *self.last_success.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
            families.organization_last_success.with_label_values(&[organization]).set(now.as_second());
        }
    }

    pub(super) fn unblocked(&self) {
        self.window().forget_refusals();
    }

    fn report(&self, waits: bool) -> ActivityReport {
        let (mut window, now) = (self.window(), Instant::now());
        ActivityReport {
            requests: window.counts(now),
            failing: window.failing(now),
            throttled: window.throttled_since(waits, now),
            last_success: *self.last_success.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    fn window(&self) -> MutexGuard<'_, RequestWindow> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PrometheusMetrics {
    /// Returns the recent requests of an organization; `None` if it is not configured. `waits`: Dynamics admits no
    /// request of it now.
    pub fn activity(&self, organization: &OrganizationId, waits: bool) -> Option<ActivityReport> {
        let known = self.organizations.read().unwrap_or_else(PoisonError::into_inner);
        known.get(organization).map(|activity| activity.report(waits))
    }

    /// Sets the source of the ages of events. Later calls have no effect.
    pub fn set_age_source(&self, ages: impl Fn(&OrganizationId) -> EventAges + Send + Sync + 'static) {
        _ = self.ages.set(Box::new(ages));
    }

    /// Returns the ages of an organization's events, as far as they are known.
    pub fn event_ages(&self, organization: &OrganizationId) -> EventAges {
        self.ages.get().map(|ages| ages(organization)).unwrap_or_default()
    }

    /// Sets the gauges of the verdict and of the organizations' states.
    pub fn set_status<'a>(
        &self,
        verdict: WorkerVerdict,
        unidentified_files: usize,
        organizations: impl Iterator<Item = OrganizationGauges<'a>>,
    ) {
        let families = &self.families;
        for one in WorkerVerdict::ALL {
            families.verdict.with_label_values(&[one.as_str()]).set((one == verdict).into());
        }
        families.unidentified_files.set(i64::try_from(unidentified_files).unwrap_or(i64::MAX));
        let known = self.organizations.read().unwrap_or_else(PoisonError::into_inner);
        for OrganizationGauges { organization, state, oldest_seconds } in organizations {
            if !known.contains_key(&OrganizationId::from(organization)) {
                continue;
            }
            for one in STATES {
                families.organization_state.with_label_values(&[organization, one]).set((one == state).into());
            }
            match oldest_seconds {
                Some(seconds) => families.organization_oldest.with_label_values(&[organization]).set(seconds),
                // An error means that the series does not exist.
                None => _ = families.organization_oldest.remove_label_values(&[organization]),
            }
        }
    }

    /// Removes the series of an organization that is no longer configured.
    pub(super) fn remove_organization(&self, organization: &str) {
        let families = &self.families;
        // An error means that the series does not exist.
        for result in RESULTS {
            _ = families.organization_requests.remove_label_values(&[organization, result]);
        }
        for (_, end) in ENDS {
            _ = families.organization_events.remove_label_values(&[organization, end]);
        }
        for state in STATES {
            _ = families.organization_state.remove_label_values(&[organization, state]);
        }
        _ = families.organization_last_success.remove_label_values(&[organization]);
        _ = families.organization_oldest.remove_label_values(&[organization]);
    }
}

fn index_of_result(end: RequestOutcome) -> usize {
    match end {
        RequestOutcome::Ok => 0,
        RequestOutcome::Refused => 1,
        RequestOutcome::Throttled => 2,
        RequestOutcome::Failed => 3,
        RequestOutcome::TimedOut => 4,
    }
}

#[cfg(test)]
mod tests {
    use handoffd_engine::ports::metrics::{Measurement, Metrics};
    use handoffd_engine::workflow::StepName;

    use super::*;

    fn acme() -> OrganizationId {
        "org_acme".into()
    }

    fn gauges(state: &'static str, oldest_seconds: Option<f64>) -> OrganizationGauges<'static> {
        OrganizationGauges { organization: "org_acme", state, oldest_seconds }
    }

    #[track_caller]
    fn has(metrics: &PrometheusMetrics, lines: &[&str]) {
        let text = metrics.render();
        for line in lines {
            assert!(text.lines().any(|found| found == *line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn each_result_and_end_has_its_series_of_its_organization() {
        let metrics = PrometheusMetrics::new();
        metrics.configured([acme()].iter());
        let now = Instant::now();
        for (at, end) in
            [RequestOutcome::Ok, RequestOutcome::Refused, RequestOutcome::Throttled, RequestOutcome::Failed, RequestOutcome::TimedOut]
                .into_iter()
                .enumerate()
        {
            (0..=at).for_each(|_| {
                let change = RequestChange::Ended(StepName::PostIncident, end, now);
                metrics.record(Measurement::Request(&acme(), change));
            });
            let line = format!(
                "handoffd_organization_requests_total{{organization=\"org_acme\",result=\"{}\"}} {}",
                RESULTS[at],
                at + 1
            );
            has(&metrics, &[&line]);
        }
        assert!(!metrics.render().contains("handoffd_organization_last_success_seconds{"), "unknown is not 0");
        metrics.record(Measurement::OrganizationEvent(&acme(), EventEnd::DeadLettered));
        metrics.record(Measurement::OrganizationEvent(&acme(), EventEnd::Succeeded));
        has(&metrics, &[
            "handoffd_organization_events_total{organization=\"org_acme\",outcome=\"dead_lettered\"} 1",
            "handoffd_organization_events_total{organization=\"org_acme\",outcome=\"succeeded\"} 1",
            "handoffd_organization_events_total{organization=\"org_acme\",outcome=\"retried\"} 0",
        ]);
        let report = metrics.activity(&acme(), false).unwrap();
        assert_eq!((report.requests.ok, report.requests.timeout, report.requests.total()), (1, 5, 15));
        let success = report.last_success.unwrap().as_second();
        has(&metrics, &[&format!("handoffd_organization_last_success_seconds{{organization=\"org_acme\"}} {success}")]);
    }

    #[test]
    fn an_organization_is_in_one_state_and_an_unknown_age_has_no_series() {
        let metrics = PrometheusMetrics::new();
        metrics.configured([acme()].iter());
        metrics.set_status(WorkerVerdict::Degraded, 2, [gauges("blocked", Some(7.5))].into_iter());
        has(&metrics, &[
            "handoffd_verdict{verdict=\"degraded\"} 1",
            "handoffd_verdict{verdict=\"working\"} 0",
            "handoffd_unidentified_organization_files 2",
            "handoffd_organization_state{organization=\"org_acme\",state=\"blocked\"} 1",
            "handoffd_organization_state{organization=\"org_acme\",state=\"open\"} 0",
            "handoffd_organization_oldest_seconds{organization=\"org_acme\"} 7.5",
        ]);
        metrics.set_status(WorkerVerdict::Working, 0, [gauges("open", None)].into_iter());
        has(&metrics, &[
            "handoffd_organization_state{organization=\"org_acme\",state=\"blocked\"} 0",
            "handoffd_organization_state{organization=\"org_acme\",state=\"open\"} 1",
        ]);
        assert!(!metrics.render().contains("handoffd_organization_oldest_seconds{"));
    }

    #[test]
    fn refusals_count_no_more_once_the_organization_is_unblocked() {
        let metrics = PrometheusMetrics::new();
        metrics.configured([acme()].iter());
        let refused = RequestChange::Ended(StepName::Token, RequestOutcome::Refused, Instant::now());
        (0..5).for_each(|_| metrics.record(Measurement::Request(&acme(), refused)));
        assert!(metrics.activity(&acme(), false).unwrap().failing.is_some());
        metrics.record(Measurement::Blocked(&acme(), false));
        assert!(metrics.activity(&acme(), false).unwrap().failing.is_none());
    }

    #[test]
    fn an_organization_that_is_removed_leaves_no_series() {
        let metrics = PrometheusMetrics::new();
        metrics.configured([acme()].iter());
        metrics.set_status(WorkerVerdict::Working, 0, [gauges("open", Some(0.0))].into_iter());
        metrics.record(Measurement::OrganizationEvent(&acme(), EventEnd::Succeeded));
        metrics.configured([].iter());
        metrics.set_status(WorkerVerdict::Working, 0, [gauges("open", Some(0.0))].into_iter());
        let change = RequestChange::Began(1, StepName::Token);
        metrics.record(Measurement::Request(&acme(), change));
        assert!(!metrics.render().contains("org_acme"), "{}", metrics.render());
        assert_eq!(metrics.activity(&acme(), false), None);
    }
}
