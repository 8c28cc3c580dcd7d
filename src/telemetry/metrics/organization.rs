//! Gauges of each configured organization and of the verdict; series of organizations that are gone.

use std::sync::PoisonError;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::worker::EventAges;

use super::activity::RESULTS;
use super::{ActivityReport, ENDS, PrometheusMetrics};
use crate::status::WorkerVerdict;

/// Status of an organization for its gauges.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct OrganizationGauges<'a> {
    /// ID of the organization.
    pub organization: &'a str,
    /// Name of its state; `unknown` has no series.
    pub state: &'a str,
    /// True if the worker that owns it reports it as blocked; `None` if this worker owns it, or it is unknown.
    pub blocked_elsewhere: Option<bool>,
    /// Age of its oldest unfinished event in seconds; `None` if it is unknown.
    pub oldest_seconds: Option<f64>,
}

/// States by label.
const STATES: [&str; 6] = ["open", "degraded", "throttled", "blocked", "paused", "faulty"];

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
        for OrganizationGauges { organization, state, blocked_elsewhere, oldest_seconds } in organizations {
            if !known.contains_key(&OrganizationId::from(organization)) {
                continue;
            }
            for one in STATES {
                if STATES.contains(&state) {
                    families.organization.state.with_label_values(&[organization, one]).set((one == state).into());
                } else {
                    _ = families.organization.state.remove_label_values(&[organization, one]);
                }
            }
            if let Some(blocked) = blocked_elsewhere {
                families.blocked.with_label_values(&[organization]).set(blocked.into());
            }
            match oldest_seconds {
                Some(seconds) => families.organization.oldest.with_label_values(&[organization]).set(seconds),
                // An error means that the series does not exist.
                None => _ = families.organization.oldest.remove_label_values(&[organization]),
            }
        }
    }

    /// Removes the series of an organization that is no longer configured.
    pub(super) fn remove_organization(&self, organization: &str) {
        let families = &self.families;
        // An error means that the series does not exist.
        for result in RESULTS {
            _ = families.organization.requests.remove_label_values(&[organization, result]);
        }
        for (_, end) in ENDS {
            _ = families.organization.events.remove_label_values(&[organization, end]);
        }
        for state in STATES {
            _ = families.organization.state.remove_label_values(&[organization, state]);
        }
        _ = families.organization.last_success.remove_label_values(&[organization]);
        _ = families.organization.oldest.remove_label_values(&[organization]);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use handoffd_engine::ports::metrics::{EventEnd, Measurement, Metrics, RequestChange, RequestOutcome};
    use handoffd_engine::workflow::StepName;

    use super::*;

    fn acme() -> OrganizationId {
        "org_acme".into()
    }

    fn gauges(state: &'static str, oldest_seconds: Option<f64>) -> OrganizationGauges<'static> {
        OrganizationGauges { organization: "org_acme", state, blocked_elsewhere: None, oldest_seconds }
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
        for (at, end) in [
            RequestOutcome::Ok,
            RequestOutcome::Refused,
            RequestOutcome::Throttled,
            RequestOutcome::Failed,
            RequestOutcome::TimedOut,
        ]
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
        has(
            &metrics,
            &[
                "handoffd_organization_events_total{organization=\"org_acme\",outcome=\"dead_lettered\"} 1",
                "handoffd_organization_events_total{organization=\"org_acme\",outcome=\"succeeded\"} 1",
                "handoffd_organization_events_total{organization=\"org_acme\",outcome=\"retried\"} 0",
            ],
        );
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
        has(
            &metrics,
            &[
                "handoffd_verdict{verdict=\"degraded\"} 1",
                "handoffd_verdict{verdict=\"working\"} 0",
                "handoffd_unidentified_organization_files 2",
                "handoffd_organization_state{organization=\"org_acme\",state=\"blocked\"} 1",
                "handoffd_organization_state{organization=\"org_acme\",state=\"open\"} 0",
                "handoffd_organization_oldest_seconds{organization=\"org_acme\"} 7.5",
            ],
        );
        metrics.set_status(WorkerVerdict::Working, 0, [gauges("open", None)].into_iter());
        has(
            &metrics,
            &[
                "handoffd_organization_state{organization=\"org_acme\",state=\"blocked\"} 0",
                "handoffd_organization_state{organization=\"org_acme\",state=\"open\"} 1",
            ],
        );
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
