//! Route `/events`.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use handoffd_engine::ports::store::Cursor;
use jiff::Timestamp;

use super::answer::{PageAnswer, Refresh, living};
use super::find::parameter;
use super::state::PageState;
use crate::admin::events::{EventFilter, EventState};
use crate::admin::page::events::{EventList, events};
use crate::admin::page::layout::PageTab;

/// Number of events on a page.
const PAGE: usize = 50;
/// Refresh interval in seconds.
const EVERY: u8 = 5;

/// Lists events by state and organization.
pub(super) async fn list(State(page): State<Arc<PageState>>, RawQuery(query): RawQuery) -> PageAnswer {
    let given = |name| parameter(query.as_deref(), name);
    let state = given("state").and_then(|name| EventState::ALL.into_iter().find(|state| state.as_str() == name));
    let (organization, cursor) = (given("organization"), given("cursor").map(Cursor));
    let filter = EventFilter { state, organization: organization.as_deref().map(Into::into), ..EventFilter::default() };
    let found = page.parts.list_events(&filter, cursor.as_ref(), PAGE).await;
    let found = found.map_err(|problem| page.fault(PageTab::Events, &problem))?;
    let answers: Vec<_> = found.events.into_iter().map(|event| event.answer).collect();
    let body = events(&EventList {
        now: Timestamp::now(),
        state,
        organization: organization.as_deref().unwrap_or_default(),
        events: &answers,
        next: found.next.as_ref().map(|next| next.0.as_str()),
        is_continued: cursor.is_some(),
    });
    // Only the newest page changes.
    let refresh = if cursor.is_none() { Refresh::Every(EVERY) } else { Refresh::Settled };
    Ok(page.answer(PageTab::Events, "Events", &living(refresh, &body)))
}
