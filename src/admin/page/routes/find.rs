//! `/find` and `/event`: events by any of their identifiers.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use handoffd_engine::event::{EventKey, IncidentId, WorkItemId};
use handoffd_engine::ports::store::{OutcomeFilter, StoreError, StoredEvent};
use handoffd_engine::workflow::SessionState;
use jiff::Timestamp;
use maud::html;
use url::form_urlencoded;
use uuid::Uuid;

use super::answer::{PageAnswer, Refresh, living};
use super::state::PageState;
use crate::admin::api::Problem;
use crate::admin::page::find::{self as view, More};
use crate::admin::page::layout::PageTab;
use crate::admin::page::timeline::{StoryContext, history_view};

/// Number of events shown.
const MOST: usize = 50;
/// Refresh interval in seconds while an event has no outcome.
const EVERY: u8 = 2;

/// Events found by one identifier.
struct KnownName {
    by: &'static str,
    found: Vec<StoredEvent>,
    /// Queued handoffs without an attempt; the store holds only their keys.
    untried: Vec<EventKey>,
    more: More,
}

/// Shows everything found by an identifier.
pub(super) async fn find(State(page): State<Arc<PageState>>, RawQuery(query): RawQuery) -> PageAnswer {
    let query = parameter(query.as_deref(), "q");
    let Some(name) = query.as_deref() else {
        return Ok(page.answer(PageTab::Find, "Find", &view::find("", None)));
    };
    let known = page.known(name).await.map_err(|error| page.store_fault(PageTab::Find, &error))?;
    let environments = page.environments().await;
    let how = if known.untried.is_empty() { living_by(&known.found) } else { Refresh::Every(EVERY) };
    let around = around(known.found, &environments);
    let answer = view::FindAnswer { by: known.by, found: &around, untried: &known.untried, more: known.more };
    Ok(page.answer(PageTab::Find, &format!("{name} – Find"), &living(how, &view::find(name, Some(&answer)))))
}

/// Shows the history of one event.
pub(super) async fn event(State(page): State<Arc<PageState>>, RawQuery(query): RawQuery) -> PageAnswer {
    let given = |name| parameter(query.as_deref(), name).unwrap_or_default();
    let key = EventKey { organization_id: given("organization").into(), event_id: given("id").into() };
    let record = page.parts.store.record(&key).await.map_err(|error| page.store_fault(PageTab::Find, &error))?;
    let Some(record) = record else {
        let detail = format!("No record of event {} of organization {}.", key.event_id, key.organization_id);
        return Err(page.fault(PageTab::Find, &Problem::not_found(detail)));
    };
    let title = format!("{} – Event", key.event_id);
    let found = vec![StoredEvent { key, record }];
    let (how, environments) = (living_by(&found), page.environments().await);
    Ok(told(&page, &title, how, &around(found, &environments)))
}

fn told(page: &PageState, title: &str, how: Refresh, found: &[(StoredEvent, StoryContext<'_>)]) -> Response {
    let body = html! {
        h1 { "Event details" }
        @for (found, around) in found { (history_view(found, around)) }
    };
    page.answer(PageTab::Find, title, &living(how, &body))
}

impl PageState {
    /// Finds events by the first kind of identifier that matches.
    async fn known(&self, name: &str) -> Result<KnownName, StoreError> {
        for (by, filter) in filters(name) {
            let mut known = self.ended(by, &filter).await?;
            match by {
                "event" => known.found.extend(self.unended_event(name).await?),
                "session" => self.unended_of_session(name, &mut known).await?,
                _ => {}
            }
            if !known.found.is_empty() || !known.untried.is_empty() {
                known.found.sort_by_key(|found| found.record.first_seen);
                return Ok(known);
            }
        }
        let key = name
            .split_once('/')
            .map(|(organization, event)| EventKey { organization_id: organization.into(), event_id: event.into() });
        let found = match key {
            Some(key) => self.record(key).await?.into_iter().collect(),
            None => Vec::new(),
        };
        Ok(KnownName { by: "event", found, untried: Vec::new(), more: More::None })
    }

    async fn ended(&self, by: &'static str, filter: &OutcomeFilter) -> Result<KnownName, StoreError> {
        let page = self.parts.store.outcomes(filter, None, MOST).await?;
        let more = if page.next.is_some() { More::Left } else { More::None };
        Ok(KnownName { by, found: page.found, untried: Vec::new(), more })
    }

    /// Finds an event without an outcome. Such events are in no list; they are stored under their organization.
    async fn unended_event(&self, event_id: &str) -> Result<Vec<StoredEvent>, StoreError> {
        let mut found = Vec::new();
        for organization in self.parts.organizations.list().await {
            let key = EventKey { organization_id: organization.organization_id.into(), event_id: event_id.into() };
            found.extend(self.record(key).await?.filter(|found| found.record.outcome().is_none()));
        }
        Ok(found)
    }

    /// Adds the unfinished events of a session.
    async fn unended_of_session(&self, session: &str, known: &mut KnownName) -> Result<(), StoreError> {
        for organization in self.parts.organizations.list().await {
            let organization_id = organization.organization_id.into();
            for entry in self.parts.store.session(&organization_id, &session.into()).await?.into_iter().take(MOST) {
                let key = EventKey { organization_id: organization_id.clone(), event_id: entry.event_id };
                match self.record(key.clone()).await? {
                    Some(found) => known.found.extend(Some(found).filter(|found| found.record.outcome().is_none())),
                    None if entry.state == SessionState::Opening => known.untried.push(key),
                    None => {}
                }
            }
        }
        Ok(())
    }

    async fn record(&self, key: EventKey) -> Result<Option<StoredEvent>, StoreError> {
        Ok(self.parts.store.record(&key).await?.map(|record| StoredEvent { key, record }))
    }

    /// Returns the URL of each organization's Dynamics environment.
    async fn environments(&self) -> BTreeMap<String, String> {
        let all = self.parts.organizations.list().await;
        all.into_iter().map(|view| (view.organization_id, view.environment_url)).collect()
    }
}

/// Returns the filters for an identifier, in the order in which they are tried.
fn filters(name: &str) -> Vec<(&'static str, OutcomeFilter)> {
    let none = OutcomeFilter::default;
    let mut filters = vec![("event", OutcomeFilter { event_id: Some(name.to_owned()), ..none() })];
    if let Ok(guid) = name.parse::<Uuid>() {
        filters.push(("case", OutcomeFilter { incident: Some(IncidentId(guid)), ..none() }));
        filters.push(("live work item", OutcomeFilter { work_item: Some(WorkItemId(guid)), ..none() }));
    }
    filters.push(("ticket number", OutcomeFilter { ticket_number: Some(name.to_owned()), ..none() }));
    filters.push(("session", OutcomeFilter { session: Some(name.into()), ..none() }));
    filters
}

fn around(found: Vec<StoredEvent>, environments: &BTreeMap<String, String>) -> Vec<(StoredEvent, StoryContext<'_>)> {
    let now = Timestamp::now();
    let with = |found: StoredEvent| {
        let environment = environments.get(found.key.organization_id.as_str()).map(String::as_str);
        (found, StoryContext { now, environment })
    };
    found.into_iter().map(with).collect()
}

/// Keeps the page live as long as an event has no outcome.
fn living_by(found: &[StoredEvent]) -> Refresh {
    let ended = found.iter().all(|found| found.record.outcome().is_some());
    if ended { Refresh::Settled } else { Refresh::Every(EVERY) }
}

/// Returns a parameter unless it is blank.
fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let (_, value) = pairs.find(|(found, _)| found == name)?;
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_identifiers_are_tried_in_order() {
        let tried = |name| filters(name).into_iter().map(|(by, _)| by).collect::<Vec<_>>();
        assert_eq!(tried("CAS-01"), ["event", "ticket number", "session"]);
        let guid = "92545a99-c381-595b-9fe6-43abdd0749d0";
        assert_eq!(tried(guid), ["event", "case", "live work item", "ticket number", "session"]);
    }

    #[test]
    fn blank_parameters_count_as_absent() {
        assert_eq!(parameter(Some("q=+%20&q=x"), "q"), None);
        assert_eq!(parameter(Some("x=1&q=+a%26b+"), "q").as_deref(), Some("a&b"));
        assert_eq!(parameter(None, "q"), None);
    }
}
