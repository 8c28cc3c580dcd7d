//! A row for each cause, in the pure part.

use std::time::{Duration, Instant};

use handoffd_engine::ports::metrics::RequestOutcome;
use handoffd_engine::worker::EventAges;
use handoffd_engine::workflow::StepName;
use jiff::{Timestamp, ToSpan};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn now() -> Timestamp {
    "2026-11-29T03:00:00Z".parse().unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    now() - seconds.seconds()
}

fn ready() -> WorkerReadiness {
    WorkerReadiness { unready: Vec::new(), is_processing: true, broker_connected: true, store_healthy: true }
}

fn unready(why: &str) -> WorkerReadiness {
    WorkerReadiness { unready: vec![why.to_owned()], is_processing: false, ..ready() }
}

fn failing(counts: RequestCounts) -> OrganizationHealth {
    let step = Some(StepName::PostIncident);
    OrganizationHealth { failing: Some((ago(5), step, counts)), ..OrganizationHealth::good("org_acme") }
}

/// Returns the verdict, and for each reason its organization, cause, advice and start.
fn judged(worker: &WorkerReadiness, health: &OrganizationHealth) -> (WorkerVerdict, Vec<StatusReason>) {
    let status = StatusMemory::default().status(worker, health.troubles(now()), now());
    (status.verdict, status.reasons)
}

#[test]
fn each_trouble_of_an_organization_degrades_and_says_what_to_do() {
    let good = || OrganizationHealth::good("org_acme");
    let block = BlockReport { since: ago(9), error: "AADSTS7000222".to_owned(), advice: "Renew it.".to_owned() };
    let counts = RequestCounts::default();
    let rows = [
        (OrganizationHealth { paused: Some(ago(7)), ..good() }, "paused by an operator", "org resume org_acme", 7),
        (
            OrganizationHealth { blocked: Some(block), ..good() },
            "blocked; its events are on hold: AADSTS7000222",
            "Renew",
            9,
        ),
        (
            OrganizationHealth { faulty: Some((ago(8), "a.toml".into())), ..good() },
            "faulty file: a.toml",
            "config check",
            8,
        ),
        (OrganizationHealth { throttled: Some(ago(60)), ..good() }, "throttled by Dynamics", "wait", 60),
        (
            failing(RequestCounts { timeout: 5, ..counts }),
            "5 of 5 requests timed out (post_incident)",
            "service health",
            5,
        ),
        (failing(RequestCounts { overdue: 4, ok: 1, ..counts }), "4 of 5 requests have had no answer", "not answer", 5),
        (failing(RequestCounts { failed: 3, ok: 3, ..counts }), "3 of 6 requests failed", "retried automatically", 5),
        (failing(RequestCounts { refused: 5, ..counts }), "5 of 5 requests were refused", "org test org_acme", 5),
        (
            OrganizationHealth { refusing: Some((ago(4), "q".into())), ..good() },
            "the broker refuses messages for its queue `q`",
            "length limit",
            4,
        ),
        (
            OrganizationHealth { oldest: OldestEvent::Since(ago(360)), ..good() },
            "oldest event is 6 min old",
            "kept",
            60,
        ),
    ];
    for (health, cause, advice, since) in rows {
        let (verdict, reasons) = judged(&ready(), &health);
        assert_eq!((verdict, reasons.len()), (WorkerVerdict::Degraded, 1), "{reasons:?}");
        let reason = &reasons[0];
        assert_eq!((reason.organization_id.as_deref(), reason.since), (Some("org_acme"), ago(since)), "{reason:?}");
        assert!(reason.cause.starts_with(cause) && reason.advice.contains(advice), "{reason:?}");
    }
}

#[test]
fn what_is_ordinary_is_no_trouble() {
    let good = || OrganizationHealth::good("org_acme");
    for health in [
        good(),
        OrganizationHealth { throttled: Some(ago(59)), ..good() },
        OrganizationHealth { oldest: OldestEvent::Since(ago(299)), ..good() },
        OrganizationHealth { oldest: OldestEvent::Unknown, ..good() },
    ] {
        assert_eq!(judged(&ready(), &health), (WorkerVerdict::Working, Vec::new()), "{health:?}");
    }
}

#[test]
fn an_unready_worker_is_not_working_whatever_else() {
    let paused = OrganizationHealth { paused: Some(ago(7)), ..OrganizationHealth::good("org_acme") };
    let away = WorkerReadiness { broker_connected: false, ..unready("can't reach the broker") };
    let failing = WorkerReadiness { store_healthy: false, ..unready("consuming is paused") };
    for (worker, advice) in [
        (away, "RabbitMQ"),
        (failing, "disk"),
        (unready("the store fails: no space left"), "disk"),
        (unready("the worker is stopping; it is finishing events in progress"), "stopped"),
        (unready("`opencx.outcomes` has not confirmed"), "HandoffdNotConsuming"),
    ] {
        let (verdict, reasons) = judged(&worker, &paused);
        assert_eq!((verdict, reasons.len()), (WorkerVerdict::NotWorking, 2));
        assert_eq!((&reasons[0].organization_id, &reasons[0].cause), (&None, &worker.unready[0]));
        assert!(reasons[0].advice.contains(advice), "{reasons:?}");
    }
}

#[test]
fn a_worker_that_still_processes_events_is_degraded() {
    let worker = WorkerReadiness { is_processing: true, ..unready("`handoffd.retry.5s` has not confirmed") };
    let status = StatusMemory::default().status(&worker, Vec::new(), now());
    assert_eq!((status.verdict, status.reasons.len()), (WorkerVerdict::Degraded, 1));
}

#[test]
fn a_verdict_holds_since_it_changed() {
    let (mut memory, trouble) = (StatusMemory::default(), |now| {
        OrganizationHealth { paused: Some(ago(7)), ..OrganizationHealth::good("org_acme") }.troubles(now)
    });
    let at = |seconds: i64| now() + seconds.seconds();
    assert_eq!(memory.status(&ready(), Vec::new(), at(0)).since, at(0));
    assert_eq!(memory.status(&ready(), Vec::new(), at(1)).since, at(0));
    assert_eq!(memory.status(&ready(), trouble(at(2)), at(2)).since, at(2));
    assert_eq!(memory.status(&unready("a"), Vec::new(), at(3)).since, at(3));
    // Another reason for the same.
    let status = memory.status(&unready("b"), trouble(at(4)), at(4));
    assert_eq!((status.since, status.reasons[0].since, status.reasons[1].since), (at(3), at(3), ago(7)));
}

#[test]
fn the_age_of_the_oldest_event_is_unknown_rather_than_0() {
    let ages = |held, waiting| EventAges { held, waiting };
    for (known, depth, oldest, age) in [
        (ages(None, None), Some(0), OldestEvent::None, Some(0)),
        (ages(None, None), Some(3), OldestEvent::Unknown, None),
        (ages(None, None), None, OldestEvent::Unknown, None),
        (ages(Some(ago(5)), None), None, OldestEvent::Since(ago(5)), Some(5)),
        (ages(Some(ago(5)), Some(ago(9))), Some(1), OldestEvent::Since(ago(9)), Some(9)),
        // The depth may be older than the arrival, but not by minutes.
        (ages(None, Some(ago(9))), Some(0), OldestEvent::Since(ago(9)), Some(9)),
        (ages(None, Some(ago(900))), Some(0), OldestEvent::None, Some(0)),
        (ages(None, Some(ago(900))), None, OldestEvent::Since(ago(900)), Some(900)),
    ] {
        let found = OldestEvent::new(known, depth, now());
        assert_eq!((found, found.age(now()).map(|age| age.as_secs())), (oldest, age), "{known:?} {depth:?}");
    }
}

/// Window and a clock that starts with it.
struct Stage {
    window: RequestWindow,
    now: Instant,
    numbers: u64,
}

impl Stage {
    fn new() -> Self {
        let now = Instant::now();
        Self { window: RequestWindow::new(now), now, numbers: 0 }
    }

    fn ends(&mut self, step: StepName, ends: &[(RequestOutcome, u64)]) -> &mut Self {
        for (end, count) in ends {
            (0..*count).for_each(|_| self.window.ended(step, *end, self.now, self.now));
        }
        self
    }

    fn begins(&mut self, step: StepName, count: u64) -> &mut Self {
        for _ in 0..count {
            self.numbers += 1;
            self.window.began(self.numbers, step, self.now);
        }
        self
    }

    fn after(&mut self, seconds: u32) -> &mut Self {
        self.now += SECOND * seconds;
        self
    }

    /// Returns the failing operation with the numbers of bad and of all requests.
    fn failing(&mut self) -> Option<(Option<StepName>, u64, u64)> {
        let failing = self.window.failing(self.now)?;
        Some((failing.step, failing.counts.bad(), failing.counts.total()))
    }
}

use RequestOutcome::{Failed, Ok as Answered, Refused, Throttled, TimedOut};
use StepName::{LookUpContact, PostIncident};

#[test]
fn half_of_five_requests_or_more_are_failing() {
    for (ends, fails) in [
        (&[(Failed, 4)][..], false),
        (&[(Failed, 5)], true),
        (&[(Refused, 5)], true),
        (&[(Refused, 2), (Failed, 1), (Answered, 3)], true),
        (&[(Failed, 3), (Answered, 4)], false),
        // Waiting as Dynamics demands is no failure.
        (&[(Throttled, 20)], false),
        // Nothing but a request that timed out.
        (&[(TimedOut, 1)], true),
        (&[(TimedOut, 1), (Answered, 1)], false),
    ] {
        let mut stage = Stage::new();
        assert_eq!(stage.ends(PostIncident, ends).failing().is_some(), fails, "{ends:?}");
    }
}

#[test]
fn an_operation_that_fails_is_not_hidden_by_others_that_succeed() {
    let mut stage = Stage::new();
    stage.ends(LookUpContact, &[(Answered, 100)]).ends(PostIncident, &[(Refused, 5)]);
    assert_eq!(stage.failing(), Some((Some(PostIncident), 5, 5)));
    // No operation fails by itself, but all of them do together.
    let mut stage = Stage::new();
    stage.ends(LookUpContact, &[(Failed, 3)]).ends(PostIncident, &[(Failed, 3)]);
    assert_eq!(stage.failing(), Some((None, 6, 6)));
}

#[test]
fn a_request_that_hangs_fails_before_its_time_out() {
    let mut stage = Stage::new();
    stage.ends(LookUpContact, &[(Answered, 8)]).begins(PostIncident, 8);
    assert_eq!(stage.after(9).failing(), None);
    assert_eq!(stage.after(1).failing(), Some((Some(PostIncident), 8, 8)));
    // It ends as a time-out, and the verdict stays.
    (1..=8).for_each(|number| stage.window.left(number));
    assert_eq!(stage.ends(PostIncident, &[(TimedOut, 8)]).failing(), Some((Some(PostIncident), 8, 8)));
}

#[test]
fn a_single_request_that_hangs_shows_where_nothing_succeeds() {
    let mut stage = Stage::new();
    stage.begins(PostIncident, 1);
    assert_eq!(stage.after(11).failing(), None);
    assert_eq!(stage.after(1).failing(), Some((Some(PostIncident), 1, 1)));
    stage.ends(PostIncident, &[(Answered, 1)]);
    assert_eq!(stage.failing(), None);
}

#[test]
fn the_last_requests_count_and_none_for_longer_than_five_minutes() {
    let mut stage = Stage::new();
    stage.ends(PostIncident, &[(Failed, 500)]);
    assert_eq!(stage.after(10).failing(), Some((Some(PostIncident), 20, 20)));
    assert_eq!(stage.ends(PostIncident, &[(Answered, 10)]).failing(), Some((Some(PostIncident), 10, 20)));
    assert_eq!(stage.ends(PostIncident, &[(Answered, 1)]).failing(), None);

    let mut stage = Stage::new();
    stage.ends(PostIncident, &[(Failed, 5)]);
    assert!(stage.after(299).failing().is_some());
    assert_eq!(stage.after(1).failing(), None);
    assert_eq!(stage.window.counts(stage.now), RequestCounts::default());
    // A slot is used again after any number of rounds.
    let counts = |stage: &Stage| stage.window.counts(stage.now).failed;
    assert_eq!(counts(stage.after(3_000).ends(PostIncident, &[(Failed, 2)])), 2);
    assert_eq!(counts(stage.after(5).ends(PostIncident, &[(Failed, 2)])), 4);
}

#[test]
fn five_successes_in_a_row_and_thirty_seconds_show_that_it_is_repaired() {
    let mut stage = Stage::new();
    stage.ends(PostIncident, &[(Failed, 20), (Answered, 4)]);
    assert!(stage.after(30).failing().is_some());
    stage.ends(PostIncident, &[(Answered, 1)]);
    assert_eq!(stage.failing(), None);
    stage.ends(PostIncident, &[(Failed, 1), (Answered, 5)]);
    assert!(stage.after(29).failing().is_some());
    assert_eq!(stage.after(1).failing(), None);
    // A request that hangs is not repaired.
    assert!(stage.begins(PostIncident, 5).after(10).failing().is_some());
}

#[test]
fn refusals_end_with_their_cause() {
    let mut stage = Stage::new();
    stage.ends(PostIncident, &[(Failed, 1), (Refused, 19), (Failed, 1)]);
    assert!(stage.failing().is_some());
    stage.window.forget_refusals();
    assert_eq!((stage.failing(), stage.window.counts(stage.now).refused), (None, 19));
}

#[test]
fn failing_requests_are_so_since_it_was_first_seen() {
    let mut stage = Stage::new();
    let since = |stage: &mut Stage| stage.window.failing(stage.now).map(|failing| failing.since);
    stage.ends(PostIncident, &[(Failed, 5)]);
    let first = stage.now;
    assert_eq!(since(&mut stage), Some(first));
    assert_eq!(since(stage.after(60)), Some(first));
    assert_eq!(since(stage.ends(PostIncident, &[(Answered, 30)])), None);
    assert_eq!(since(stage.after(1).ends(PostIncident, &[(Failed, 60)])), Some(first + SECOND * 61));
}

#[test]
fn a_throttling_goes_on_until_a_later_request_succeeds() {
    let mut stage = Stage::new();
    let first = stage.now;
    let early = stage.now;
    stage.after(1).ends(PostIncident, &[(Throttled, 1)]);
    let began = first + SECOND;
    // Sent before, answered after.
    stage.window.ended(PostIncident, Answered, early, stage.now + SECOND);
    assert_eq!(stage.window.throttled_since(true, stage.now + SECOND * 300), Some(began), "it waits as it was told");
    // Between two waits.
    assert_eq!(stage.window.throttled_since(false, stage.now + SECOND * 15), Some(began));
    stage.after(14).ends(PostIncident, &[(Throttled, 1)]);
    assert_eq!(stage.window.throttled_since(true, stage.now), Some(began));
    stage.after(1).ends(PostIncident, &[(Answered, 1)]);
    assert_eq!(stage.window.throttled_since(true, stage.now), None);
    // Without another event nothing shows that it is over.
    stage.ends(PostIncident, &[(Throttled, 1)]);
    assert_eq!(stage.window.throttled_since(false, stage.now + SECOND * 16), None);
}

/// The last results of each operation, and of all.
#[test]
fn the_memory_of_an_organization_is_bounded() {
    let mut stage = Stage::new();
    for _ in 0..1_000 {
        stage.after(7).ends(PostIncident, &[(Failed, 3), (Answered, 3)]).ends(LookUpContact, &[(TimedOut, 1)]);
    }
    assert_eq!(stage.window.kept(), 3 * 20);
}
