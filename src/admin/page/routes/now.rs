//! Route `/`: the overview.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use handoffd_engine::ports::store::{OutcomeFilter, OutcomePage};
use handoffd_engine::workflow::Status;
use jiff::Timestamp;

use super::answer::{PageAnswer, Refresh, living};
use super::state::PageState;
use crate::admin::history::Sample;
use crate::admin::page::layout::PageTab;
use crate::admin::page::now::{NowView, now as drawn};
use crate::admin::search_line::SearchError;

/// Number of failures shown.
const FAILURES: usize = 5;
/// Longest wait for the failures while others search: the rest of the page is worth more.
const FAILURES_WAIT: Duration = Duration::from_secs(1);
/// Refresh interval in seconds.
const EVERY: u8 = 5;

/// Shows the worker's present state.
pub(super) async fn now(State(page): State<Arc<PageState>>) -> PageAnswer {
    let organizations = match page.parts.refresh().await {
        Some(organizations) => organizations,
        None => page.parts.organizations.list().await,
    };
    let sample = Sample::of(&page.parts.metrics);
    let found = page.failures().await;
    let problem = found.as_ref().err().map(ToString::to_string).unwrap_or_default();
    let body = drawn(&NowView {
        at: Timestamp::now(),
        standing: &page.standing(),
        in_progress: sample.in_flight.saturating_sub(page.parts.on_hold()),
        minutes: &page.parts.history.minutes(&sample),
        queues: &page.parts.metrics.queue_depths(),
        organizations: &organizations,
        failures: found.as_ref().map(|page| page.found.as_slice()).map_err(|_| problem.as_str()),
    });
    Ok(page.answer(PageTab::Now, "Overview", &living(Refresh::Every(EVERY), &body)))
}

impl PageState {
    /// Returns the newest failures.
    async fn failures(&self) -> Result<OutcomePage, SearchError> {
        let _place = self.parts.searches.enter_within(FAILURES_WAIT).await?;
        let failed = OutcomeFilter { status: Some(Status::Failed), ..OutcomeFilter::default() };
        Ok(self.parts.store.outcomes(&failed, None, FAILURES).await?)
    }
}
