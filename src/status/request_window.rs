//! Results of an organization's requests in the last five minutes, and the requests under way.
//!
//! The last requests are judged, not all: the [`LAST`] most recent ones, so that a recovery shows soon under load, and
//! those of five minutes where requests are few. Each operation is judged by itself too, because an environment that
//! refuses every case still answers look-ups. A request without an answer counts as failing long before its time-out.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use handoffd_engine::ports::metrics::RequestOutcome;
use handoffd_engine::workflow::StepName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Number of slots, which cover five minutes.
const SLOTS: usize = 60;
/// Length of a slot.
const SLOT: Duration = Duration::from_secs(5);
/// Time for which a result counts.
pub(super) const WINDOW: Duration = Duration::from_secs(300);
/// Most requests that a judgement considers.
const LAST: usize = 20;
/// Fewest requests that a judgement needs (contract 9).
const FEWEST: u64 = 5;
/// Successes in a row after which earlier failures no longer count, and time without a failure: what is repaired shows
/// soon, and what fails now and then does not flicker.
const RECOVERED: usize = 5;
const CALM: Duration = Duration::from_secs(30);
/// Time without an answer after which a request counts as failing.
const OVERDUE: Duration = Duration::from_secs(10);
/// Time without an answer after which a single request is enough for a judgement, unless its operation succeeded
/// lately.
const HANGS: Duration = Duration::from_secs(12);
/// Longest time between two throttled requests of one period of throttling.
const THROTTLE_GAP: Duration = Duration::from_secs(15);

/// Results of one organization's requests, in bounded memory: some kilobytes.
pub struct RequestWindow {
    start: Instant,
    results: HashMap<RequestOutcome, SlotCounts>,
    /// Last requests of each operation.
    of_steps: HashMap<StepName, LastRequests>,
    /// Last requests of all operations.
    of_all: LastRequests,
    /// Requests without an answer yet, by their numbers.
    under_way: HashMap<u64, (StepName, Instant)>,
    /// Ends and durations of the last requests.
    durations: VecDeque<(Instant, Duration)>,
    failing_since: Option<Instant>,
    throttling: Option<ThrottlingPeriod>,
}

/// Results of the last requests, oldest first.
#[derive(Default)]
struct LastRequests(VecDeque<(Instant, RequestOutcome)>);

/// Counts of the last five minutes, by slot.
struct SlotCounts {
    counts: [u32; SLOTS],
    newest: usize,
}

/// Period in which Dynamics throttles an organization and no request succeeds.
#[derive(Clone, Copy)]
struct ThrottlingPeriod {
    first: Instant,
    last: Instant,
}

/// Number of requests by result, in the last five minutes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RequestCounts {
    /// Succeeded.
    pub ok: u64,
    /// Refused by Dynamics or Entra ID.
    pub refused: u64,
    /// Throttled.
    pub throttled: u64,
    /// Failed: a server error, a broken connection or an unreadable answer.
    pub failed: u64,
    /// No answer within the time-out.
    pub timeout: u64,
    /// Under way for longer than 10 s.
    pub overdue: u64,
}

/// Requests of which half or more fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FailingRequests {
    /// Time from which they fail.
    pub since: Instant,
    /// Operation; `None` if no single one fails by itself.
    pub step: Option<StepName>,
    /// Counts of the last requests.
    pub counts: RequestCounts,
}

impl RequestWindow {
    /// Creates a window without requests.
    pub fn new(now: Instant) -> Self {
        Self {
            start: now,
            results: HashMap::new(),
            of_steps: HashMap::new(),
            of_all: LastRequests::default(),
            under_way: HashMap::new(),
            durations: VecDeque::new(),
            failing_since: None,
            throttling: None,
        }
    }

    /// Records the start of a request.
    pub fn began(&mut self, number: u64, step: StepName, now: Instant) {
        self.under_way.insert(number, (step, now));
    }

    /// Records that a request is no longer under way.
    pub fn left(&mut self, number: u64) {
        self.under_way.remove(&number);
    }

    /// Records the result of a request that began at `began`.
    pub fn ended(&mut self, step: StepName, end: RequestOutcome, began: Instant, now: Instant) {
        let slot = self.slot(now);
        self.results.entry(end).or_insert_with(|| SlotCounts::new(slot)).add(slot);
        self.of_steps.entry(step).or_default().add(end, now);
        self.of_all.add(end, now);
        if self.durations.len() >= LAST {
            self.durations.pop_front();
        }
        self.durations.push_back((now, now.saturating_duration_since(began)));
        match end {
            RequestOutcome::Throttled => {
                self.throttling.get_or_insert(ThrottlingPeriod { first: now, last: now }).last = now;
            }
            // An answer to an earlier request does not show that the throttling is over.
            RequestOutcome::Ok => self.throttling = self.throttling.filter(|period| began <= period.last),
            RequestOutcome::Refused | RequestOutcome::Failed | RequestOutcome::TimedOut => {}
        }
    }

    /// Forgets refusals, whose cause has been removed.
    pub fn forget_refusals(&mut self) {
        for last in self.of_steps.values_mut().chain([&mut self.of_all]) {
            last.0.retain(|(_, end)| *end != RequestOutcome::Refused);
        }
    }

    /// Returns the mean duration of the last requests; `None` without one in the last five minutes.
    pub fn response_time(&self, now: Instant) -> Option<Duration> {
        let recent = self.durations.iter().filter(|(at, _)| now.saturating_duration_since(*at) < WINDOW);
        let durations: Vec<Duration> = recent.map(|(_, took)| *took).collect();
        durations.iter().sum::<Duration>().checked_div(u32::try_from(durations.len()).ok()?)
    }

    /// Returns the counts of the last five minutes.
    pub fn counts(&self, now: Instant) -> RequestCounts {
        let mut counts = RequestCounts { overdue: self.without_answer(now, None, OVERDUE), ..RequestCounts::default() };
        let current = self.slot(now);
        for (end, found) in &self.results {
            *counts.of(*end) += (current.saturating_sub(SLOTS - 1)..=current).map(|slot| found.at(slot)).sum::<u64>();
        }
        counts
    }

    /// Returns the start of the throttling, if no request has succeeded since. `waits`: no request is admitted now.
    pub fn throttled_since(&mut self, waits: bool, now: Instant) -> Option<Instant> {
        let goes_on = |period: &ThrottlingPeriod| waits || now.saturating_duration_since(period.last) <= THROTTLE_GAP;
        self.throttling = self.throttling.filter(goes_on);
        self.throttling.map(|period| period.first)
    }

    /// Returns the requests that fail, and remembers since when.
    pub fn failing(&mut self, now: Instant) -> Option<FailingRequests> {
        let found = self.worst(now);
        self.failing_since = found.is_some().then(|| self.failing_since.unwrap_or(now));
        let (since, (step, counts)) = self.failing_since.zip(found)?;
        Some(FailingRequests { since, step, counts })
    }

    /// Returns the failing operation with the most failures, else all operations together if they fail.
    fn worst(&self, now: Instant) -> Option<(Option<StepName>, RequestCounts)> {
        let known = self.of_steps.keys().copied().chain(self.under_way.values().map(|(step, _)| *step));
        let mut steps: Vec<StepName> = known.collect();
        steps.sort_by_key(|step| step.as_str());
        steps.dedup();
        let of_steps = steps.into_iter().map(|step| (Some(step), self.judged(now, Some(step))));
        let failing = of_steps.filter(|(step, counts)| self.fails(now, *step, counts));
        failing.max_by_key(|(_, counts)| counts.bad()).or_else(|| {
            let counts = self.judged(now, None);
            self.fails(now, None, &counts).then_some((None, counts))
        })
    }

    fn fails(&self, now: Instant, step: Option<StepName>, counts: &RequestCounts) -> bool {
        if self.has_recovered(now, step) && counts.overdue == 0 {
            return false;
        }
        let hangs = || self.without_answer(now, step, HANGS) > 0;
        counts.total() >= FEWEST && counts.bad() * 2 >= counts.total()
            || counts.ok == 0 && (counts.timeout > 0 || hangs())
    }

    /// Returns true if the last requests of an operation, or of all, have succeeded, as many as a judgement needs, and no
    /// request has failed for some time.
    fn has_recovered(&self, now: Instant, step: Option<StepName>) -> bool {
        let Some(LastRequests(last)) = self.last(step) else { return false };
        let succeeded = last.iter().rev().take_while(|(_, end)| *end == RequestOutcome::Ok).count();
        let failed = last.iter().rev().nth(succeeded).map(|(at, _)| *at);
        succeeded >= RECOVERED && failed.is_none_or(|at| now.saturating_duration_since(at) >= CALM)
    }

    fn last(&self, step: Option<StepName>) -> Option<&LastRequests> {
        match step {
            Some(step) => self.of_steps.get(&step),
            None => Some(&self.of_all),
        }
    }

    /// Counts the last requests of an operation, or of all, and those without an answer.
    fn judged(&self, now: Instant, step: Option<StepName>) -> RequestCounts {
        let mut counts = RequestCounts { overdue: self.without_answer(now, step, OVERDUE), ..RequestCounts::default() };
        for (at, end) in self.last(step).into_iter().flat_map(|last| &last.0) {
            *counts.of(*end) += u64::from(now.saturating_duration_since(*at) < WINDOW);
        }
        counts
    }

    fn without_answer(&self, now: Instant, step: Option<StepName>, longer_than: Duration) -> u64 {
        let is_late = |(of, began): &&(StepName, Instant)| {
            step.is_none_or(|step| step == *of) && now.saturating_duration_since(*began) >= longer_than
        };
        self.under_way.values().filter(is_late).count() as u64
    }

    /// Returns the number of results in memory.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.of_steps.values().chain([&self.of_all]).map(|last| last.0.len()).sum()
    }

    fn slot(&self, now: Instant) -> usize {
        let passed = now.saturating_duration_since(self.start).as_secs() / SLOT.as_secs();
        usize::try_from(passed).unwrap_or(usize::MAX)
    }
}

impl LastRequests {
    fn add(&mut self, end: RequestOutcome, now: Instant) {
        if self.0.len() >= LAST {
            self.0.pop_front();
        }
        self.0.push_back((now, end));
    }
}

impl SlotCounts {
    fn new(newest: usize) -> Self {
        Self { counts: [0; SLOTS], newest }
    }

    fn add(&mut self, slot: usize) {
        for passed in (self.newest + 1..=slot).rev().take(SLOTS) {
            self.counts[passed % SLOTS] = 0;
        }
        self.newest = self.newest.max(slot);
        let count = &mut self.counts[slot % SLOTS];
        *count = count.saturating_add(1);
    }

    fn at(&self, slot: usize) -> u64 {
        let is_kept = slot <= self.newest && self.newest - slot < SLOTS;
        if is_kept { self.counts[slot % SLOTS].into() } else { 0 }
    }
}

impl RequestCounts {
    /// Returns the number of requests that failed, timed out, were refused, or are overdue.
    pub fn bad(&self) -> u64 {
        self.refused + self.failed + self.timeout + self.overdue
    }

    /// Returns the number of all requests.
    pub fn total(&self) -> u64 {
        self.ok + self.throttled + self.bad()
    }

    fn of(&mut self, end: RequestOutcome) -> &mut u64 {
        match end {
            RequestOutcome::Ok => &mut self.ok,
            RequestOutcome::Refused => &mut self.refused,
            RequestOutcome::Throttled => &mut self.throttled,
            RequestOutcome::Failed => &mut self.failed,
            RequestOutcome::TimedOut => &mut self.timeout,
        }
    }
}
