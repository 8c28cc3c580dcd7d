//! `/`

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use jiff::Timestamp;

use super::Page;
use super::answer::{Answer, Living, living};
use crate::machine::Status;
use crate::ops::page::history::Sample;
use crate::ops::page::layout::Place;
use crate::ops::page::now::{Now, Queue, QueueKind, now as drawn};
use crate::store::Filter;

/// Failures that are shown.
const FAILURES: usize = 5;
/// Seconds between two looks of a browser.
const EVERY: u8 = 5;

/// What happens now.
pub(super) async fn now(State(page): State<Arc<Page>>) -> Answer {
    let sample = Sample::of(&page.parts.metrics);
    let failed = Filter { status: Some(Status::Failed), ..Filter::default() };
    let found = page.parts.store.outcomes(&failed, None, FAILURES).await;
    let problem = found.as_ref().err().map(ToString::to_string).unwrap_or_default();
    let body = drawn(&Now {
        at: Timestamp::now(),
        standing: &page.standing(),
        in_flight: sample.in_flight,
        minutes: &page.history.minutes(&sample),
        queues: &page.queues(),
        oldest: oldest(&page.parts.metrics.render()),
        organizations: &page.parts.organizations.list().await,
        failures: found.as_ref().map(|page| page.found.as_slice()).map_err(|_| problem.as_str()),
    });
    Ok(page.answer(Place::Now, "Now", &living(Living::Every(EVERY), &body)))
}

/// The age of the oldest event that is not over, as every monitor reads it; none where there is no such event.
fn oldest(metrics: &str) -> Option<Duration> {
    let value = metrics.lines().find_map(|line| line.strip_prefix("handoffd_oldest_event_seconds "))?;
    let age = Duration::try_from_secs_f64(value.parse().ok()?).ok()?;
    (!age.is_zero()).then_some(age)
}

impl Page {
    /// All queues: those with events for a worker first, those that were given up last.
    fn queues(&self) -> Vec<Queue> {
        let names = &self.parts.queues;
        let of = |(name, depth): (String, u64)| {
            let what = match &name {
                name if *name == names.work => QueueKind::Work,
                name if *name == names.dead_letters => QueueKind::DeadLetters,
                _ => QueueKind::Retry,
            };
            Queue { name, what, depth }
        };
        let mut queues: Vec<Queue> = self.parts.metrics.counts().queues.into_iter().map(of).collect();
        queues.sort_by(|one, other| (one.what, &one.name).cmp(&(other.what, &other.name)));
        queues
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_event_has_no_age() {
        let text =
            |value| format!("# HELP handoffd_oldest_event_seconds x\nhandoffd_oldest_event_seconds {value}\nb 1\n");
        assert_eq!(oldest(&text("12.5")), Some(Duration::from_millis(12_500)));
        assert_eq!((oldest(&text("0")), oldest("")), (None, None));
    }
}
