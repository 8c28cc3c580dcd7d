//! Route `/dead-letters/edit`: a replay with another body.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Redirect};
use handoffd_engine::dead_letters::{Action, BodyChange, BodyPatch, RunMode, Selection};
use serde_json::Value;
use url::form_urlencoded;

use super::answer::PageAnswer;
use super::state::PageState;
use crate::admin::api::Problem;
use crate::admin::api::requester::{Permission, require};
use crate::admin::page::dead_letters::edit::{EditForm, body_of, edit as drawn};
use crate::admin::page::layout::PageTab;

/// Shows the body of a dead letter in an editor.
pub(super) async fn form(State(page): State<Arc<PageState>>, RawQuery(query): RawQuery) -> PageAnswer {
    let letter = value(&query.unwrap_or_default(), "letter");
    let found = page.collect(of(&letter), Action::Show).await?.entries.into_iter().next();
    let Some(entry) = found.filter(|_| !letter.is_empty()) else {
        let detail = "No such dead letter; it may have been replayed or discarded.".to_owned();
        return Err(page.fault(PageTab::DeadLetters, &Problem::not_found(detail)));
    };
    let Some(body) = body_of(&entry) else {
        return Err(page.unclear("The body is not text. Use `handoffd dead-letters replay --letter ID --patch FILE`."));
    };
    let body = drawn(&EditForm { letter_id: &letter, body: &body, checked: None });
    Ok(page.answer(PageTab::DeadLetters, "Edit", &body))
}

/// Checks the edited body, and replays the dead letter with it if that is asked for.
pub(super) async fn submit(State(page): State<Arc<PageState>>, form: String) -> PageAnswer {
    require(Permission::ReadText).map_err(|problem| page.refused(&problem))?;
    let (letter, body, act) = (value(&form, "letter"), value(&form, "body"), value(&form, "act"));
    let checked = check(&page, &letter, &body).await;
    if let (Ok(patch), "replay") = (&checked, &*act) {
        let job = page.parts.letters.start_correction(of(&letter), patch.clone());
        let job = job.map_err(|problem| page.refused(&problem))?;
        return Ok(Redirect::to(&format!("/dead-letters/course?job={}", job.id)).into_response());
    }
    let checked = checked.as_ref().map(|_| ()).map_err(String::as_str);
    let body = drawn(&EditForm { letter_id: &letter, body: &body, checked: Some(checked) });
    Ok(page.answer(PageTab::DeadLetters, "Edit", &body))
}

/// Returns the change, after a dry run of it.
async fn check(page: &PageState, letter: &str, body: &str) -> Result<BodyPatch, String> {
    let after: Value = serde_json::from_str(body).map_err(|error| format!("not JSON: {error}"))?;
    let patch = BodyPatch { change: BodyChange::Replace(after), keep: None };
    let action = Action::Substitute(RunMode::DryRun, patch.clone());
    page.parts.letters.collect(of(letter), action, 1).await.map_err(|problem| problem.to_string())?;
    Ok(patch)
}

fn of(letter: &str) -> Selection {
    Selection { letters: [letter.to_owned()].into(), ..Selection::default() }
}

fn value(form: &str, name: &str) -> String {
    let found = form_urlencoded::parse(form.as_bytes()).find(|(found, _)| found == name);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}
