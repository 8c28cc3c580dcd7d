//! In: a browser's requests; the interface's shared state to answer them.
//! Out: pages, or redirects after actions.
//! Absent: the look of a page; authentication.

mod answer;
mod assets;
mod dead_letters;
mod find;
mod now;
mod organizations;
mod sign_in;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::routing::{get, post};
use jiff::Timestamp;
use tokio_util::task::AbortOnDropHandle;

use super::history::History;
use super::layout::{PageHead, SignIn};
use crate::admin::api::ApiState;
use crate::admin::deps::TestReport;

/// State of the page's routes.
struct PageState {
    parts: Arc<ApiState>,
    history: History,
    /// Last test of each organization that was made from the page.
    tests: Mutex<BTreeMap<String, (Timestamp, TestReport)>>,
    /// Task that takes samples; it ends with the page.
    _samples: AbortOnDropHandle<()>,
}

/// Returns the page's routes with their own state. Samples are taken as long as the router lives.
pub fn router<S: Clone + Send + Sync + 'static>(parts: &Arc<ApiState>) -> Router<S> {
    let history = History::default();
    let samples = tokio::spawn(history.clone().keep(Arc::clone(&parts.metrics)));
    let page = PageState {
        parts: Arc::clone(parts),
        history,
        tests: Mutex::default(),
        _samples: AbortOnDropHandle::new(samples),
    };
    Router::new()
        .route("/", get(now::now))
        .route("/find", get(find::find))
        .route("/event", get(find::event))
        .route("/dead-letters", get(dead_letters::list))
        .route("/dead-letters/show", get(dead_letters::show))
        .route("/dead-letters/confirm", get(dead_letters::confirm))
        .route("/dead-letters/act", post(dead_letters::act))
        .route("/dead-letters/course", get(dead_letters::course))
        .route("/organizations", get(organizations::list))
        .route("/organizations/test", post(organizations::test))
        .route("/organizations/pause", post(organizations::pause))
        .route("/organizations/resume", post(organizations::resume))
        .route("/login", get(sign_in::form))
        .route("/page.css", get(assets::style))
        .route("/page.js", get(assets::script))
        .route("/icon.svg", get(assets::icon))
        .with_state(Arc::new(page))
}

impl PageState {
    /// Returns the state shown in the header of every page.
    fn standing(&self) -> PageHead {
        let queues = self.parts.metrics.counts().queues;
        let dead = queues.into_iter().find(|(name, _)| *name == self.parts.queues.dead_letters);
        PageHead {
            unready: (self.parts.unready)(),
            dead_letters: dead.map(|(_, depth)| depth),
            session: if self.parts.token.is_some() { SignIn::SignedIn } else { SignIn::Open },
        }
    }

    fn tests(&self) -> BTreeMap<String, (Timestamp, TestReport)> {
        self.tests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
