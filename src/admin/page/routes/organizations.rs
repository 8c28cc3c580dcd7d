//! Routes below `/organizations`.

use std::sync::{Arc, PoisonError};

use axum::extract::State;
use handoffd_engine::event::OrganizationId;
use jiff::Timestamp;
use url::form_urlencoded;

use super::Page;
use super::answer::{Answer, Fault, Living, living};
use crate::admin::api::Problem;
use crate::admin::api::login::go;
use crate::admin::deps::OrganizationError;
use crate::admin::page::layout::Place;
use crate::admin::page::organizations::{Line, organizations as drawn};

const PATH: &str = "/organizations";
/// Refresh interval in seconds.
const EVERY: u8 = 5;

/// Lists the organizations with their states.
pub(super) async fn list(State(page): State<Arc<Page>>) -> Answer {
    let (all, tests) = (page.parts.organizations.list().await, page.tests());
    let lines: Vec<Line<'_>> = all.iter().map(|view| Line { view, tested: tests.get(&view.organization_id) }).collect();
    let body = drawn(&lines, Timestamp::now());
    Ok(page.answer(Place::Organizations, "Organizations", &living(Living::Every(EVERY), &body)))
}

/// Tests an organization; the page then shows the report.
pub(super) async fn test(State(page): State<Arc<Page>>, form: String) -> Answer {
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
pub(super) async fn pause(State(page): State<Arc<Page>>, form: String) -> Answer {
    page.parts.organizations.pause(&named(&form)).await.map_err(|error| refused(&page, error))?;
    Ok(go(PATH))
}

/// Resumes an organization.
pub(super) async fn resume(State(page): State<Arc<Page>>, form: String) -> Answer {
    page.parts.organizations.resume(&named(&form)).await.map_err(|error| refused(&page, error))?;
    Ok(go(PATH))
}

fn named(form: &str) -> OrganizationId {
    let mut pairs = form_urlencoded::parse(form.as_bytes());
    let id = pairs.find(|(name, _)| name == "organization").map(|(_, value)| value.into_owned());
    OrganizationId::from(id.unwrap_or_default())
}

fn refused(page: &Page, error: OrganizationError) -> Fault {
    page.fault(Place::Organizations, &Problem::from(error))
}
