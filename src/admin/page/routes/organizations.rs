//! Routes below `/organizations`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{RawQuery, State};
use axum::response::Response;
use handoffd_engine::event::OrganizationId;
use jiff::Timestamp;
use maud::html;
use tokio::time::timeout;
use url::form_urlencoded;

use super::answer::{PageAnswer, PageFault, Refresh, living};
use super::state::PageState;
use crate::admin::api::Problem;
use crate::admin::api::login::go;
use crate::admin::api::requester::audit;
use crate::admin::audit::AuditAction;
use crate::admin::page::layout::PageTab;
use crate::admin::page::organizations::filter::OrganizationFilter;
use crate::admin::page::organizations::list::{OrganizationListPage, address, head, list as drawn};
use crate::admin::page::organizations::one::{OneOrganization, organization};
use crate::organizations::OrganizationError;

/// Refresh interval in seconds.
const EVERY: u8 = 5;
/// Refresh interval in seconds while an organization is tested.
const OFTEN: u8 = 1;
/// Longest wait for the list of workers; the store may hang.
const WORKERS: Duration = Duration::from_secs(2);

/// Lists the organizations with their states.
pub(super) async fn list(State(page): State<Arc<PageState>>, RawQuery(query): RawQuery) -> PageAnswer {
    let filter = OrganizationFilter::parse(&query.unwrap_or_default());
    let all = page.parts.organizations.list().await;
    let workers = timeout(WORKERS, page.parts.workers.workers()).await;
    let workers = workers.unwrap_or_else(|_| Err("the store does not answer".to_owned()));
    let body = drawn(&OrganizationListPage {
        now: Timestamp::now(),
        filter: &filter,
        session: page.session(),
        all: &all,
        rate: &|id| page.parts.organization_history.rate(id),
        is_tested: &|id| page.tests.get(id).is_some_and(|test| test.is_running()),
        workers: workers.as_deref().map_err(String::as_str),
    });
    let body = html! { (head(&filter)) (living(Refresh::Every(EVERY), &body)) };
    Ok(page.answer(PageTab::Organizations, "Organizations", &body))
}

/// Shows one organization.
pub(super) async fn show(State(page): State<Arc<PageState>>, RawQuery(query): RawQuery) -> PageAnswer {
    let id = named(&query.unwrap_or_default());
    let all = page.parts.organizations.list().await;
    let Some(view) = all.iter().find(|view| view.organization_id == id.as_str()) else {
        return Err(refused(&page, OrganizationError::Unknown(id)));
    };
    let test = page.tests.get(id.as_str());
    let state = test.as_ref().map(|test| test.state());
    let body = organization(&OneOrganization {
        now: Timestamp::now(),
        session: page.session(),
        view,
        rate: page.parts.organization_history.rate(id.as_str()),
        hours: &page.parts.organization_history.slots(id.as_str(), Instant::now()),
        tested: test.as_ref().map(|test| test.began).zip(state.as_ref()),
    });
    let every = if test.is_some_and(|test| test.is_running()) { OFTEN } else { EVERY };
    Ok(page.answer(PageTab::Organizations, id.as_str(), &living(Refresh::Every(every), &body)))
}

/// Starts a test of an organization; its page then shows the progress and the report.
pub(super) async fn test(State(page): State<Arc<PageState>>, form: String) -> PageAnswer {
    let id = named(&form);
    let known = page.parts.organizations.list().await;
    let is_known = |id: &str| known.iter().any(|view| view.organization_id == id);
    if !is_known(id.as_str()) {
        return Err(refused(&page, OrganizationError::Unknown(id)));
    }
    page.tests.retain(is_known);
    if !page.tests.start(&page.parts.organizations, &id) {
        let detail = "too many tests are in progress; wait for one to finish, or cancel one".to_owned();
        return Err(page.fault(PageTab::Organizations, &Problem::too_many(detail)));
    }
    Ok(go(&address(id.as_str())))
}

/// Cancels the test of an organization.
pub(super) async fn cancel_test(State(page): State<Arc<PageState>>, form: String) -> Response {
    let id = named(&form);
    page.tests.cancel(id.as_str());
    go(&address(id.as_str()))
}

/// Pauses an organization.
pub(super) async fn pause(State(page): State<Arc<PageState>>, form: String) -> PageAnswer {
    let id = named(&form);
    page.parts.organizations.pause(&id).await.map_err(|error| refused(&page, error))?;
    audit(AuditAction::Pause, id.as_str(), 1);
    Ok(go(&address(id.as_str())))
}

/// Resumes an organization.
pub(super) async fn resume(State(page): State<Arc<PageState>>, form: String) -> PageAnswer {
    let id = named(&form);
    page.parts.organizations.resume(&id).await.map_err(|error| refused(&page, error))?;
    audit(AuditAction::Resume, id.as_str(), 1);
    Ok(go(&address(id.as_str())))
}

fn named(form: &str) -> OrganizationId {
    let mut pairs = form_urlencoded::parse(form.as_bytes());
    let id = pairs.find(|(name, _)| name == "organization").map(|(_, value)| value.into_owned());
    OrganizationId::from(id.unwrap_or_default())
}

fn refused(page: &PageState, error: OrganizationError) -> PageFault {
    page.fault(PageTab::Organizations, &Problem::from(error))
}
