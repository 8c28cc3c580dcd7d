//! Counters and recent requests of one organization.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::metrics::{RequestChange, RequestOutcome};
use handoffd_engine::worker::EventAges;
use jiff::Timestamp;
use prometheus::IntCounter;

use super::families::Families;
use crate::status::{FailingRequests, RequestCounts, RequestWindow};

/// Results of requests by label, in the order of [`index_of_result`].
pub(super) const RESULTS: [&str; 5] = ["ok", "refused", "throttled", "failed", "timeout"];

/// Index of the dead-lettered events among their ends; those before it succeeded or were skipped.
const DEAD: usize = 2;

/// Counters and recent requests of one organization.
pub(super) struct OrganizationActivity {
    window: Mutex<RequestWindow>,
    last_success: Mutex<Option<Timestamp>>,
    requests: [IntCounter; RESULTS.len()],
    events: [IntCounter; 5],
}

/// Recent requests of an organization.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ActivityReport {
    /// Requests of the last five minutes.
    pub requests: RequestCounts,
    /// Mean duration of the last requests; `None` without one in the last five minutes.
    pub response_time: Option<Duration>,
    /// Events that are over since the start of the worker.
    pub finished: u64,
    /// Those of them that became dead letters.
    pub dead: u64,
    /// Requests that fail, if half or more do.
    pub failing: Option<FailingRequests>,
    /// Time from which Dynamics throttles it without a success.
    pub throttled: Option<Instant>,
    /// Time of its last event that succeeded, since the start of the worker.
    pub last_success: Option<Timestamp>,
}

/// Source of the ages of an organization's events.
pub(super) type AgeSource = Box<dyn Fn(&OrganizationId) -> EventAges + Send + Sync>;

impl OrganizationActivity {
    /// Creates the counters; those of events are in the order of their ends.
    pub(super) fn new(families: &Families, organization: &str, events: [IntCounter; 5]) -> Arc<Self> {
        Arc::new(Self {
            window: Mutex::new(RequestWindow::new(Instant::now())),
            last_success: Mutex::default(),
            requests: RESULTS.map(|result| families.organization.requests.with_label_values(&[organization, result])),
            events,
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

    /// Counts an event by the index of its end.
    pub(super) fn event(&self, end: usize) {
        self.events[end].inc();
    }

    /// Records that an event succeeds now.
    pub(super) fn succeeded(&self, families: &Families, organization: &str) {
        let now = Timestamp::now();
        *self.last_success.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        families.organization.last_success.with_label_values(&[organization]).set(now.as_second());
    }

    pub(super) fn unblocked(&self) {
        self.window().forget_refusals();
    }

    pub(super) fn report(&self, waits: bool) -> ActivityReport {
        let (mut window, now) = (self.window(), Instant::now());
        ActivityReport {
            requests: window.counts(now),
            response_time: window.response_time(now),
            finished: self.events[..=DEAD].iter().map(IntCounter::get).sum(),
            dead: self.events[DEAD].get(),
            failing: window.failing(now),
            throttled: window.throttled_since(waits, now),
            last_success: *self.last_success.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    fn window(&self) -> MutexGuard<'_, RequestWindow> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
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
