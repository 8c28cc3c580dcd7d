//! Route `/activity`.

use std::sync::Arc;

use axum::extract::State;
use jiff::Timestamp;

use super::answer::PageAnswer;
use super::state::PageState;
use crate::admin::page::activity::{ActivityView, activity as drawn};
use crate::admin::page::layout::PageTab;

/// Most troubles and takeovers shown.
const MOST: usize = 500;

/// Shows what operators did and what happened by itself.
pub(super) async fn activity(State(page): State<Arc<PageState>>) -> PageAnswer {
    let actions = page.parts.trail.list().await.map_err(|error| page.store_fault(PageTab::Activity, &error))?;
    let body = drawn(&ActivityView {
        actions: &actions,
        jobs: &page.parts.letters.jobs.list(),
        happened: &page.parts.journal.newest(MOST),
        now: Timestamp::now(),
    });
    Ok(page.answer(PageTab::Activity, "Activity", &body))
}
