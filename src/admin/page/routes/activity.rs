//! Route `/activity`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;

use super::state::PageState;
use crate::admin::page::activity::{ActivityView, activity as drawn};
use crate::admin::page::layout::PageTab;

/// Most troubles and takeovers shown.
const MOST: usize = 500;

/// Shows what operators did and what happened by itself.
pub(super) async fn activity(State(page): State<Arc<PageState>>) -> Response {
    let body = drawn(&ActivityView {
        actions: &page.parts.trail.list(),
        jobs: &page.parts.letters.jobs.list(),
        happened: &page.parts.journal.newest(MOST),
        now: Timestamp::now(),
    });
    page.answer(PageTab::Activity, "Activity", &body)
}
