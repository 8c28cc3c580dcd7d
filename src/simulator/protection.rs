//! Service protection: limits on concurrent requests and on requests in a time window.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::refusal::Refusal;
use super::settings::ServiceLimits;

/// Time window of Dataverse's request limit.
const WINDOW: Duration = Duration::from_secs(300);

/// Times of the requests in the window.
#[derive(Default)]
pub(super) struct Protection {
    recent: VecDeque<Instant>,
}

impl Protection {
    /// Counts a request and refuses it if it exceeds a limit. Refused requests count too, so continuing to send prolongs the limit.
    pub(super) fn admit(&mut self, limits: &ServiceLimits, in_flight: usize) -> Result<(), Refusal> {
        if limits.concurrent.is_some_and(|most| in_flight > most) {
            let message = "Number of concurrent requests exceeded the limit.".to_owned();
            return Err(throttled(limits, "0x80072326", message));
        }
        let Some(most) = limits.requests else { return Ok(()) };
        let now = Instant::now();
        while self.recent.front().is_some_and(|first| now.duration_since(*first) > WINDOW) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        if self.recent.len() > most {
            let message = format!("Number of requests exceeded the limit of {most} over time window of 300 seconds.");
            return Err(throttled(limits, "0x80072322", message));
        }
        Ok(())
    }
}

fn throttled(limits: &ServiceLimits, code: &str, message: String) -> Refusal {
    let mut refusal = Refusal::new(429, code, message);
    refusal.headers.push(("retry-after", limits.retry_after_s.to_string()));
    refusal
}
