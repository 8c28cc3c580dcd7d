//! Account of the requests of one step, for the metrics of their organization.
//!
//! The result of a request is known only when its answer has been interpreted: a refusal that the workflow continues
//! with, such as a duplicate key, is no failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use handoffd_engine::event::OrganizationId;
use handoffd_engine::ports::metrics::{Measurement, Metrics, RequestChange, RequestOutcome};
use handoffd_engine::workflow::{Fault, Remedy, StepName};

/// Number of the last request.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// Requests of one step.
pub(super) struct RequestTally {
    metrics: Arc<dyn Metrics>,
    organization: OrganizationId,
    requests: Vec<TalliedRequest>,
}

#[derive(Clone, Copy)]
struct TalliedRequest {
    step: StepName,
    began: Instant,
    outcome: Exchanged,
}

/// Outcome of a request before its interpretation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Exchanged {
    /// An answer of this status.
    Answered(u16),
    /// No answer.
    Unanswered(RequestOutcome),
}

/// Request that has no answer yet. Dropping it records that it is no longer under way.
pub(super) struct SentRequest {
    metrics: Arc<dyn Metrics>,
    organization: OrganizationId,
    number: u64,
    pub(super) began: Instant,
}

impl RequestTally {
    pub(super) fn new(metrics: Arc<dyn Metrics>, organization: OrganizationId) -> Self {
        Self { metrics, organization, requests: Vec::new() }
    }

    /// Records that a request is sent.
    pub(super) fn sent(&self, step: StepName) -> SentRequest {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        self.metrics.record(Measurement::Request(&self.organization, RequestChange::Began(number, step)));
        let (metrics, organization) = (self.metrics.clone(), self.organization.clone());
        SentRequest { metrics, organization, number, began: Instant::now() }
    }

    /// Records an answer, or its absence.
    pub(super) fn exchanged(&mut self, step: StepName, began: Instant, outcome: Exchanged) {
        self.requests.push(TalliedRequest { step, began, outcome });
    }

    /// Records the results of the requests, given that of their step.
    pub(super) fn finish<T>(&mut self, result: &Result<T, Fault>) {
        let requests = std::mem::take(&mut self.requests);
        let last = requests.len().saturating_sub(1);
        for (at, request) in requests.into_iter().enumerate() {
            let end = match request.outcome {
                Exchanged::Unanswered(end) => end,
                Exchanged::Answered(_) if at == last => result.as_ref().err().map_or(RequestOutcome::Ok, end_of),
                Exchanged::Answered(status) => earlier(status),
            };
            let change = RequestChange::Ended(request.step, end, request.began);
            self.metrics.record(Measurement::Request(&self.organization, change));
        }
    }
}

impl Drop for SentRequest {
    fn drop(&mut self) {
        self.metrics.record(Measurement::Request(&self.organization, RequestChange::Left(self.number)));
    }
}

/// Returns the result of a step's last request that was answered.
fn end_of(fault: &Fault) -> RequestOutcome {
    match fault.remedy {
        Remedy::NotBefore(_) => RequestOutcome::Throttled,
        Remedy::Retry => RequestOutcome::Failed,
        Remedy::Hold | Remedy::HoldStep(_) | Remedy::GiveUp => RequestOutcome::Refused,
    }
}

/// Returns the result of a request after which the step sent another one.
fn earlier(status: u16) -> RequestOutcome {
    match status {
        401 | 403 => RequestOutcome::Refused,
        429 => RequestOutcome::Throttled,
        500.. => RequestOutcome::Failed,
        _ => RequestOutcome::Ok,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use jiff::Timestamp;

    use super::*;

    #[derive(Default)]
    struct Recorder(Mutex<Vec<String>>);

    impl Metrics for Recorder {
        fn record(&self, sighting: Measurement<'_>) {
            let Measurement::Request(organization, change) = sighting else { return };
            assert_eq!(organization.as_str(), "org_acme");
            self.0.lock().unwrap().push(match change {
                RequestChange::Began(_, step) => format!("{} began", step.as_str()),
                RequestChange::Left(_) => "left".to_owned(),
                RequestChange::Ended(step, end, _) => format!("{} {end:?}", step.as_str()),
            });
        }
    }

    fn results(exchanges: &[(StepName, Exchanged)], result: &Result<(), Fault>) -> Vec<String> {
        let recorder = Arc::new(Recorder::default());
        let mut tally = RequestTally::new(recorder.clone(), "org_acme".into());
        for (step, outcome) in exchanges {
            tally.exchanged(*step, Instant::now(), *outcome);
        }
        tally.finish(result);
        std::mem::take(&mut recorder.0.lock().unwrap())
    }

    fn fault(remedy: Remedy) -> Result<(), Fault> {
        Err(Fault::unanswered(StepName::PostIncident, remedy, String::new()))
    }

    #[test]
    fn a_request_is_under_way_until_it_is_answered_or_dropped() {
        let recorder = Arc::new(Recorder::default());
        drop(RequestTally::new(recorder.clone(), "org_acme".into()).sent(StepName::Token));
        assert_eq!(*recorder.0.lock().unwrap(), ["token began", "left"]);
    }

    #[test]
    fn the_last_request_has_the_result_of_its_step() {
        use Exchanged::{Answered, Unanswered};
        use StepName::{PostIncident, Token};
        let post = |status| [(PostIncident, Answered(status))];
        let until = Timestamp::now();
        for (exchanges, result, expected) in [
            (&post(201)[..], Ok(()), &["post_incident Ok"][..]),
            // A duplicate key, and the record read back.
            (&[post(412)[0], post(200)[0]], Ok(()), &["post_incident Ok", "post_incident Ok"]),
            (&post(400), fault(Remedy::GiveUp), &["post_incident Refused"]),
            (&post(403), fault(Remedy::Hold), &["post_incident Refused"]),
            (&post(429), fault(Remedy::NotBefore(until)), &["post_incident Throttled"]),
            (&post(503), fault(Remedy::Retry), &["post_incident Failed"]),
            // A success that can't be read.
            (&post(201), fault(Remedy::Retry), &["post_incident Failed"]),
            (
                &[(Token, Answered(200)), (PostIncident, Unanswered(RequestOutcome::TimedOut))],
                fault(Remedy::Retry),
                &["token Ok", "post_incident TimedOut"],
            ),
            (
                &[post(401)[0], (Token, Answered(200)), post(201)[0]],
                Ok(()),
                &["post_incident Refused", "token Ok", "post_incident Ok"],
            ),
            (&[(Token, Answered(400))], fault(Remedy::Hold), &["token Refused"]),
            (&[], fault(Remedy::Hold), &[]),
        ] {
            assert_eq!(results(exchanges, &result), expected, "{exchanges:?}");
        }
    }
}
