//! In: a browser's requests; the interface's shared state to answer them.
//! Out: pages, or redirects after actions.
//! Absent: the look of a page; authentication.

mod activity;
mod answer;
mod assets;
mod dead_letters;
mod edit;
mod events;
mod find;
mod now;
mod organizations;
mod problems;
mod light;
mod sign_in;
mod state;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::admin::api::ApiState;
pub use problems::problems_as_pages;
use state::PageState;

/// Returns the page's routes with their own state. Samples are taken as long as the router lives.
pub fn router<S: Clone + Send + Sync + 'static>(parts: &Arc<ApiState>) -> Router<S> {
    Router::new()
        .route("/", get(now::now))
        .route("/find", get(find::find))
        .route("/event", get(find::event))
        .route("/events", get(events::list))
        .route("/dead-letters", get(dead_letters::list))
        .route("/dead-letters/export", get(dead_letters::export))
        .route("/dead-letters/edit", get(edit::form).post(edit::submit))
        .route("/dead-letters/show", get(dead_letters::show))
        .route("/dead-letters/confirm", get(dead_letters::confirm))
        .route("/dead-letters/act", post(dead_letters::act))
        .route("/dead-letters/course", get(dead_letters::course))
        .route("/organizations", get(organizations::list))
        .route("/organizations/show", get(organizations::show))
        .route("/organizations/test", post(organizations::test))
        .route("/organizations/test/cancel", post(organizations::cancel_test))
        .route("/organizations/pause", post(organizations::pause))
        .route("/organizations/resume", post(organizations::resume))
        .route("/activity", get(activity::activity))
        .route("/light", get(light::light))
        .route("/login", get(sign_in::form))
        .route("/page.css", get(assets::style))
        .route("/page.js", get(assets::script))
        .route("/icon.svg", get(assets::icon))
        .with_state(Arc::new(PageState::new(parts)))
}
