//! Handover of an organization: the state of its environment that the next owner knows before its first request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use handoffd_engine::workflow::{Fault, Remedy, StepName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::limiter::{Limiter, LimiterStart};

/// State of an environment, as JSON in the store. Of another version, it may lack fields or have more.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Handover {
    /// Time until which Dynamics throttles the organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    throttled_until: Option<Timestamp>,
    /// Block of the whole organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    blocked: Option<BlockedState>,
    /// Concurrency that Dynamics recommends.
    #[serde(skip_serializing_if = "Option::is_none")]
    recommended: Option<usize>,
}

/// Block of an organization, with the fault that caused it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct BlockedState {
    since: Timestamp,
    step: StepName,
    status: Option<u16>,
    code: Option<String>,
    message: String,
    advice: String,
}

impl Handover {
    /// Reads a stored state. One that can't be read tells nothing.
    pub(super) fn read(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }

    /// Returns the state as it is stored.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // plain data always serializes
    }

    /// Returns the state of an organization's limiter.
    pub(super) fn of(limiter: &Limiter, now: Instant) -> Self {
        let LimiterStart { wait, blocked, recommended } = limiter.handover(now);
        let blocked = blocked.map(|(since, fault)| BlockedState {
            since: Timestamp::now().saturating_sub(now.saturating_duration_since(since)).unwrap_or(Timestamp::MIN),
            step: fault.step,
            status: fault.status,
            code: fault.code,
            message: fault.message,
            advice: fault.advice,
        });
        let throttled_until = wait.and_then(|wait| Timestamp::now().saturating_add(wait).ok());
        Self { throttled_until, blocked, recommended }
    }

    /// Creates the limiter of the next owner.
    pub(super) fn limiter(self, most: usize, now: Instant) -> Arc<Limiter> {
        let wait = self.throttled_until.map(|until| until.duration_since(Timestamp::now()));
        let blocked = self.blocked.map(|blocked| {
            let ago = Timestamp::now().duration_since(blocked.since);
            let since = Duration::try_from(ago).ok().and_then(|ago| now.checked_sub(ago)).unwrap_or(now);
            let fault = Fault {
                status: blocked.status,
                code: blocked.code,
                advice: blocked.advice,
                ..Fault::unanswered(blocked.step, Remedy::Hold, blocked.message)
            };
            (since, fault)
        });
        let start = LimiterStart {
            wait: wait.and_then(|wait| Duration::try_from(wait).ok()),
            blocked,
            recommended: self.recommended,
        };
        Limiter::taken_over(most, start, now)
    }
}

#[cfg(test)]
mod tests {
    use super::super::limiter::{LimiterAvailability, RequestResult};
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn handed_over(limiter: &Limiter) -> Arc<Limiter> {
        let now = Instant::now();
        Handover::read(Some(&Handover::of(limiter, now).text())).limiter(52, now)
    }

    #[test]
    fn a_throttling_goes_over() {
        let limiter = Limiter::new(52);
        limiter.throttle(MINUTE, Instant::now());
        let next = handed_over(&limiter);
        assert!(matches!(next.availability(Instant::now()), LimiterAvailability::Throttled));
        let wait = next.condition(Instant::now()).wait.unwrap();
        assert!(wait > MINUTE * 9 / 10 && wait <= MINUTE, "{wait:?}");
        assert!(matches!(next.availability(Instant::now() + MINUTE), LimiterAvailability::Open(_)));
    }

    #[test]
    fn a_block_goes_over_with_its_cause_and_is_probed_at_once() {
        let limiter = Limiter::new(52);
        let fault = Fault {
            status: Some(401),
            advice: "Renew the secret.".to_owned(),
            ..Fault::unanswered(StepName::Token, Remedy::Hold, "invalid_client".to_owned())
        };
        limiter.block(&fault, Instant::now());
        let next = handed_over(&limiter);
        assert!(matches!(next.availability(Instant::now()), LimiterAvailability::Blocked));
        let cause = next.condition(Instant::now()).cause.unwrap();
        assert_eq!(
            (cause.fault.message.as_str(), cause.fault.advice.as_str()),
            ("invalid_client", "Renew the secret.")
        );
        assert!(next.claim_probing());
        assert!(matches!(next.next_probe(Instant::now()).0, super::super::limiter::probing::ProbeTurn::Now(_)));
        next.probed(Some(&Ok(())), Instant::now());
        assert!(matches!(next.availability(Instant::now()), LimiterAvailability::Open(_)));
    }

    #[tokio::test]
    async fn the_next_owner_begins_low_and_within_what_dynamics_recommends() {
        let limiter = Limiter::new(52);
        limiter.advise(6);
        let next = handed_over(&limiter);
        assert_eq!(next.condition(Instant::now()).concurrency, 2);
        for _ in 0..40 {
            let mut permits = Vec::new();
            for _ in 0..next.condition(Instant::now()).concurrency {
                permits.push(next.acquire(StepName::PostIncident).await.unwrap());
            }
            for permit in permits {
                permit.release(StepName::PostIncident, RequestResult::Answered, None);
            }
        }
        assert_eq!(next.condition(Instant::now()).concurrency, 6);
        assert_eq!(Handover::read(Some("?")), Handover::default(), "what can't be read tells nothing");
    }
}
