//! Route `/`: the overview.

use std::sync::Arc;

use axum::extract::State;
use handoffd_engine::ports::store::OutcomeFilter;
use handoffd_engine::workflow::Status;
use jiff::Timestamp;

use super::answer::{PageAnswer, Refresh, living};
use super::state::PageState;
use crate::admin::history::Sample;
use crate::admin::page::layout::PageTab;
use crate::admin::page::now::{NowView, now as drawn};

/// Number of failures shown.
const FAILURES: usize = 5;
/// Refresh interval in seconds.
const EVERY: u8 = 5;

/// Shows the worker's present state.
pub(super) async fn now(State(page): State<Arc<PageState>>) -> PageAnswer {
    let organizations = match page.parts.refresh().await {
        Some(organizations) => organizations,
        None => page.parts.organizations.list().await,
    };
    let sample = Sample::of(&page.parts.metrics);
    let failed = OutcomeFilter { status: Some(Status::Failed), ..OutcomeFilter::default() };
    let found = page.parts.store.outcomes(&failed, None, FAILURES).await;
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
