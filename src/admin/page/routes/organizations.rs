//! Routes below `/organizations`.

use std::sync::{Arc, PoisonError};

use axum::extract::State;
use handoffd_engine::event::OrganizationId;
use jiff::Timestamp;
use url::form_urlencoded;

use super::answer::{PageAnswer, PageFault, Refresh, living};
use super::state::PageState;
use crate::admin::api::Problem;
use crate::admin::api::login::go;
use crate::admin::api::requester::audit;
use crate::admin::audit::AuditAction;
use crate::admin::page::layout::PageTab;
use crate::admin::page::organizations::{OrganizationLine, organizations as drawn};
use crate::organizations::OrganizationError;

const PATH: &str = "/organizations";
/// Refresh interval in seconds.
const EVERY: u8 = 5;

/// Lists the organizations with their states.
pub(super) async fn list(State(page): State<Arc<PageState>>) -> PageAnswer {
    let (all, tests) = (page.parts.organizations.list().await, page.tests());
    let lines: Vec<OrganizationLine<'_>> =
        all.iter().map(|view| OrganizationLine { view, tested: tests.get(&view.organization_id) }).collect();
    let body = drawn(&lines, Timestamp::now());
    Ok(page.answer(PageTab::Organizations, "Organizations", &living(Refresh::Every(EVERY), &body)))
}

/// Tests an organization; the page then shows the report.
pub(super) async fn test(State(page): State<Arc<PageState>>, form: String) -> PageAnswer {
    let id = named(&form);
    let report = page.parts.organizations.test(&id).await.map_err(|error| refused(&page, error))?;
    let known = page.parts.organizations.list().await;
    let mut tests = page.tests.lock().unwrap_or_else(PoisonError::into_inner);
    // Reports of removed organizations are dropped, so there are never more reports than organizations.
    tests.retain(|id, _| known.iter().any(|view| view.organization_id == *id));
    tests.insert(id.to_string(), (Timestamp::now(), report));
    Ok(go(PATH))
}

/// Pauses an organization.
pub(super) async fn pause(State(page): State<Arc<PageState>>, form: String) -> PageAnswer {
    let id = named(&form);
    page.parts.organizations.pause(&id).await.map_err(|error| refused(&page, error))?;
    audit(AuditAction::Pause, id.as_str(), 1);
    Ok(go(PATH))
}

/// Resumes an organization.
pub(super) async fn resume(State(page): State<Arc<PageState>>, form: String) -> PageAnswer {
    let id = named(&form);
    page.parts.organizations.resume(&id).await.map_err(|error| refused(&page, error))?;
    audit(AuditAction::Resume, id.as_str(), 1);
    Ok(go(PATH))
}

fn named(form: &str) -> OrganizationId {
    let mut pairs = form_urlencoded::parse(form.as_bytes());
    let id = pairs.find(|(name, _)| name == "organization").map(|(_, value)| value.into_owned());
    OrganizationId::from(id.unwrap_or_default())
}

fn refused(page: &PageState, error: OrganizationError) -> PageFault {
    page.fault(PageTab::Organizations, &Problem::from(error))
}
