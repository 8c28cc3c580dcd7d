//! Route `/activity`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;

use super::state::PageState;
use crate::admin::page::activity::activity as drawn;
use crate::admin::page::layout::PageTab;

/// Lists the actions of operators.
pub(super) async fn activity(State(page): State<Arc<PageState>>) -> Response {
    page.answer(PageTab::Activity, "Activity", &drawn(&page.parts.trail.list(), Timestamp::now()))
}
