use std::collections::BTreeSet;

use handoffd_engine::ports::metrics::BrokerQueue;

use super::*;

/// Metrics of contract section 10; the two that count events that are otherwise only logged; the four that alerts use.
const NAMES: [&str; 32] = [
    "handoffd_broker_connected",
    "handoffd_build_info",
    "handoffd_consuming",
    "handoffd_dead_letters_total",
    "handoffd_dynamics_request_seconds",
    "handoffd_dynamics_requests_total",
    "handoffd_dynamics_throttled_total",
    "handoffd_event_age_seconds",
    "handoffd_event_body_differs_total",
    "handoffd_event_seconds",
    "handoffd_events_total",
    "handoffd_fenced_total",
    "handoffd_forwarded_total",
    "handoffd_http_auth_failures_total",
    "handoffd_in_flight",
    "handoffd_insecure_settings",
    "handoffd_lease_age_seconds",
    "handoffd_oldest_event_seconds",
    "handoffd_organization_blocked",
    "handoffd_organization_events_total",
    "handoffd_organization_requests_total",
    "handoffd_organizations_owned",
    "handoffd_outcomes_unrouted_total",
    "handoffd_queue_messages",
    "handoffd_ready",
    "handoffd_retries_total",
    "handoffd_store_bytes",
    "handoffd_store_flush_seconds",
    "handoffd_store_healthy",
    "handoffd_takeovers_total",
    "handoffd_unidentified_organization_files",
    "handoffd_workers",
];

fn acme() -> OrganizationId {
    OrganizationId::from("org_acme")
}

/// Records one measurement of each kind.
fn seen() -> PrometheusMetrics {
    let metrics = PrometheusMetrics::new();
    metrics.configured([acme()].iter());
    let second = Duration::from_secs(1);
    let (kind, route) = (Kind::Handoff, Some(Route::Incident));
    for sighting in [
        Measurement::Event(kind, EventEnd::Succeeded),
        Measurement::Finished { kind, route, elapsed: second, age: Some(second) },
        Measurement::InFlight(3),
        Measurement::InFlight(-1),
        Measurement::Retried("throttled"),
        Measurement::DeadLettered(Reason::InvalidEvent),
        Measurement::BodyDiffers(kind),
        Measurement::OutcomeUnrouted(Kind::Resolution),
        Measurement::Answered { step: StepName::PostIncident, status: 201, elapsed: second },
        Measurement::Answered { step: StepName::Token, status: 0, elapsed: second },
        Measurement::Throttled(&acme()),
        Measurement::Blocked(&acme(), true),
        Measurement::QueueDepth(&BrokerQueue::Inbox("handoffd.events".to_owned()), Some(7)),
        Measurement::BrokerConnected(true),
        Measurement::Fenced,
        Measurement::TookOver(TakeoverReason::Lost),
        Measurement::StoreFlushed(second),
        Measurement::StoreBytes(4096),
    ] {
        metrics.record(sighting);
    }
    metrics.set_insecure_settings(["http.token"].into_iter());
    metrics
}

#[test]
fn names_are_those_of_the_contract() {
    let text = seen().render();
    let names: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .filter_map(|rest| rest.split(' ').next())
        .collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), NAMES);
}

#[test]
fn every_sighting_moves_its_series() {
    let text = seen().render();
    for line in [
        "handoffd_events_total{outcome=\"succeeded\",type=\"handoff\"} 1",
        "handoffd_events_total{outcome=\"duplicate\",type=\"resolution\"} 0",
        "handoffd_event_seconds_count{route=\"incident\",type=\"handoff\"} 1",
        "handoffd_event_seconds_bucket{route=\"incident\",type=\"handoff\",le=\"1\"} 1",
        "handoffd_event_age_seconds_count{type=\"handoff\"} 1",
        "handoffd_in_flight 2",
        "handoffd_retries_total{reason=\"throttled\"} 1",
        "handoffd_retries_total{reason=\"blocked\"} 0",
        "handoffd_dead_letters_total{reason=\"invalid_event\"} 1",
        "handoffd_dead_letters_total{reason=\"delivery_limit\"} 0",
        "handoffd_event_body_differs_total{type=\"handoff\"} 1",
        "handoffd_outcomes_unrouted_total{type=\"resolution\"} 1",
        "handoffd_dynamics_requests_total{operation=\"post_incident\",status=\"201\"} 1",
        "handoffd_dynamics_requests_total{operation=\"token\",status=\"0\"} 1",
        "handoffd_dynamics_request_seconds_count{operation=\"post_incident\"} 1",
        "handoffd_dynamics_throttled_total{organization=\"org_acme\"} 1",
        "handoffd_organization_blocked{organization=\"org_acme\"} 1",
        "handoffd_fenced_total 1",
        "handoffd_takeovers_total{reason=\"lost\"} 1",
        "handoffd_takeovers_total{reason=\"balance\"} 0",
        "handoffd_queue_messages{queue=\"handoffd.events\"} 7",
        "handoffd_broker_connected 1",
        "handoffd_store_flush_seconds_count 1",
        "handoffd_store_bytes 4096",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let version = format!("handoffd_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&version));
}

#[test]
fn only_configured_organizations_have_series() {
    let metrics = seen();
    metrics.record(Measurement::Throttled(&OrganizationId::from("org_stranger")));
    assert!(!metrics.render().contains("org_stranger"));
    metrics.configured([OrganizationId::from("org_other")].iter());
    let text = metrics.render();
    assert!(!text.contains("org_acme"));
    assert!(text.contains("handoffd_organization_blocked{organization=\"org_other\"} 0"));
}

#[test]
fn tables_and_indices_agree() {
    for (index, kind) in KINDS.into_iter().enumerate() {
        assert_eq!(index_of_kind(kind), index);
    }
    for (index, (end, _)) in ENDS.into_iter().enumerate() {
        assert_eq!(index_of_end(end), index);
    }
    for (index, route) in ROUTES.into_iter().enumerate() {
        assert_eq!(index_of_route(route), index);
    }
}

#[test]
fn statuses_are_formatted_as_digits() {
    for status in [0, 9, 10, 201, 599, u16::MAX] {
        assert_eq!(Digits::of(status).as_str(), status.to_string());
    }
}

#[test]
fn vitals_are_read_when_metrics_are_rendered() {
    let metrics = PrometheusMetrics::new();
    assert!(metrics.render().contains("\nhandoffd_ready 0\n"), "no source yet");
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = asked.clone();
    metrics.set_health_source(move || {
        let times = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        WorkerHealth {
            ready: true,
            reach: EventReach::Finished,
            store_healthy: times == 0,
            oldest_event: Duration::from_millis(1500),
            fleet: FleetStatus { workers: 3, owned: Some(7), lease_age_seconds: 0.5 },
        }
    });
    let (first, second) = (metrics.render(), metrics.render());
    for line in [
        "handoffd_ready 1",
        "handoffd_consuming 1",
        "handoffd_store_healthy 1",
        "handoffd_oldest_event_seconds 1.5",
        "handoffd_workers 3",
        "handoffd_organizations_owned 7",
        "handoffd_lease_age_seconds 0.5",
    ] {
        assert!(first.lines().any(|found| found == line), "{line} is not in\n{first}");
    }
    assert!(second.contains("\nhandoffd_store_healthy 0\n"), "{second}");
}

/// An increase is visible only if the series existed before the first refusal.
#[test]
fn token_requests_have_series_from_the_start() {
    let text = PrometheusMetrics::new().render();
    for status in TOKEN_STATUSES {
        let line = format!("handoffd_dynamics_requests_total{{operation=\"token\",status=\"{status}\"}} 0");
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

/// The number of series is bounded for any input of publishers and servers; statuses are those of HTTP.
#[test]
fn labels_are_bounded() {
    let metrics = PrometheusMetrics::new();
    metrics.configured([acme()].iter());
    let tell = |number: u16| {
        let stranger = OrganizationId::from(format!("org_{number}"));
        metrics.record(Measurement::Throttled(&stranger));
        metrics.record(Measurement::Blocked(&stranger, true));
        for kind in KINDS {
            metrics.record(Measurement::BodyDiffers(kind));
            for (end, _) in ENDS {
                metrics.record(Measurement::Event(kind, end));
            }
            for route in ROUTES {
                let second = Duration::from_secs(1);
                metrics.record(Measurement::Finished { kind, route, elapsed: second, age: Some(second) });
            }
        }
        for step in OPERATIONS {
            metrics.record(Measurement::Answered { step, status: 100 + number % 900, elapsed: Duration::ZERO });
        }
    };
    (0..900).for_each(tell);
    let series = metrics.render().lines().count();
    (900..3_000).for_each(tell);
    assert_eq!(metrics.render().lines().count(), series);
}

#[test]
fn ends_of_credentials_have_series_while_they_are_known() {
    let metrics = PrometheusMetrics::new();
    let (acme, end) = (acme(), Timestamp::from_second(1_800_000_000).unwrap());
    metrics.set_credential_ends([(&acme, end)].into_iter());
    let line = "handoffd_credential_expires_timestamp_seconds{organization=\"org_acme\"} 1800000000";
    assert!(metrics.render().lines().any(|found| found == line), "{}", metrics.render());
    metrics.set_credential_ends(std::iter::empty());
    assert!(!metrics.render().contains("handoffd_credential_expires_timestamp_seconds{"));
}
