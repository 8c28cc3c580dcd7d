//! `/find` and `/event`: events by any of their identifiers.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use jiff::Timestamp;
use maud::html;
use url::form_urlencoded;

use super::answer::{PageAnswer, Refresh, living};
use super::state::PageState;
use crate::admin::api::Problem;
use crate::admin::events::{EventState, FoundEvent};
use crate::admin::page::find as view;
use crate::admin::page::layout::PageTab;
use crate::admin::page::timeline::StoryContext;

/// Refresh interval in seconds while an event has no outcome.
const EVERY: u8 = 2;

/// Shows everything found by an identifier.
pub(super) async fn find(State(page): State<Arc<PageState>>, RawQuery(query): RawQuery) -> PageAnswer {
    let query = parameter(query.as_deref(), "q");
    let Some(name) = query.as_deref() else {
        return Ok(page.answer(PageTab::Find, "Find", &view::find("", None)));
    };
    let known = page.parts.find_events(name).await.map_err(|problem| page.fault(PageTab::Find, &problem))?;
    let (how, environments) = (living_by(&known.events), page.environments().await);
    let around = around(known.events, &environments);
    let answer = view::FindAnswer { found: &around, incomplete: &known.incomplete };
    Ok(page.answer(PageTab::Find, &format!("{name} – Find"), &living(how, &view::find(name, Some(&answer)))))
}

/// Shows the history of one event.
pub(super) async fn event(State(page): State<Arc<PageState>>, RawQuery(query): RawQuery) -> PageAnswer {
    let given = |name| parameter(query.as_deref(), name).unwrap_or_default();
    let (organization, id) = (given("organization"), given("id"));
    let known = page.parts.find_events(&format!("{organization}/{id}")).await;
    let mut found = known.map_err(|problem| page.fault(PageTab::Find, &problem))?.events;
    // An id may contain a slash itself, so that others match too.
    found.retain(|event| {
        event.answer.organization_id.as_deref() == Some(&organization) && event.answer.event_id.as_deref() == Some(&id)
    });
    if found.is_empty() {
        let detail = format!("No record of event {id} of organization {organization}.");
        return Err(page.fault(PageTab::Find, &Problem::not_found(detail)));
    }
    let (how, environments) = (living_by(&found), page.environments().await);
    let body = html! {
        h1 { "Event details" }
        @for (found, around) in around(found, &environments) { (view::event(&found, &around)) }
    };
    Ok(page.answer(PageTab::Find, &format!("{id} – Event"), &living(how, &body)))
}

impl PageState {
    /// Returns the URL of each organization's Dynamics environment.
    async fn environments(&self) -> BTreeMap<String, String> {
        let all = self.parts.organizations.list().await;
        all.into_iter().map(|view| (view.organization_id, view.environment_url)).collect()
    }
}

fn around(found: Vec<FoundEvent>, environments: &BTreeMap<String, String>) -> Vec<(FoundEvent, StoryContext<'_>)> {
    let now = Timestamp::now();
    let with = |found: FoundEvent| {
        let organization = found.answer.organization_id.as_deref();
        let environment = organization.and_then(|id| environments.get(id)).map(String::as_str);
        (found, StoryContext { now, environment })
    };
    found.into_iter().map(with).collect()
}

/// Keeps the page live as long as an event has no outcome.
fn living_by(found: &[FoundEvent]) -> Refresh {
    let waits = |found: &FoundEvent| matches!(found.answer.state, EventState::Waiting | EventState::InProgress);
    if found.iter().any(waits) { Refresh::Every(EVERY) } else { Refresh::Settled }
}

/// Returns a parameter unless it is blank.
pub(super) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let (_, value) = pairs.find(|(found, _)| found == name)?;
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_parameters_count_as_absent() {
        assert_eq!(parameter(Some("q=+%20&q=x"), "q"), None);
        assert_eq!(parameter(Some("x=1&q=+a%26b+"), "q").as_deref(), Some("a&b"));
        assert_eq!(parameter(None, "q"), None);
    }
}
