//! Route `/light`: the verdict in the header, which the script of every page renews.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::answer::with_security_headers;
use super::state::PageState;
use crate::admin::page::layout::light as drawn;

/// Shows the present verdict.
pub(super) async fn light(State(page): State<Arc<PageState>>) -> Response {
    page.parts.refresh().await;
    let head = page.standing();
    with_security_headers(StatusCode::OK, &drawn(&head.status, head.at))
}
