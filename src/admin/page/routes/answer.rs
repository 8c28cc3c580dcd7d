//! Pages as HTTP responses with their security headers, and failures as pages.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use handoffd_engine::ports::store::StoreError;
use maud::{Markup, html};

use super::state::PageState;
use crate::admin::api::Problem;
use crate::admin::page::layout::{PageHead, PageTab, page};
use crate::admin::page::text;

/// Security headers: no foreign or inline content, no frames. The referrer is sent to this site only: without any referrer,
/// a browser would not reveal which site a form was on.
const SEAL: [(HeaderName, &str); 2] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; \
         frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::REFERRER_POLICY, "same-origin"),
];

/// Response to a browser.
pub(super) type PageAnswer = Result<Response, PageFault>;

/// Failed request.
pub(super) struct PageFault {
    place: PageTab,
    standing: Box<PageHead>,
    status: StatusCode,
    detail: String,
    retry_after: Option<u64>,
}

/// Refresh interval of a part of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refresh {
    /// Refreshed at this interval in seconds.
    Every(u8),
    /// Not refreshed any more.
    Settled,
}

impl PageState {
    /// Renders a whole page.
    pub(super) fn answer(&self, place: PageTab, title: &str, body: &Markup) -> Response {
        with_security_headers(StatusCode::OK, &page(place, title, &self.standing(), body))
    }

    /// Renders a failure within a section of the page.
    pub(super) fn fault(&self, place: PageTab, problem: &Problem) -> PageFault {
        let (status, detail) = (problem.status(), problem.to_string());
        PageFault { place, standing: Box::new(self.standing()), status, detail, retry_after: problem.retry_after() }
    }

    /// Logs a failure of the store and renders it.
    pub(super) fn store_fault(&self, place: PageTab, error: &StoreError) -> PageFault {
        tracing::warn!(error = error as &dyn std::error::Error, "could not answer an operator from the store");
        self.fault(place, &Problem::unavailable(error.to_string()))
    }
}

/// Wraps a part that the script refreshes while it is visible.
pub(super) fn living(how: Refresh, part: &Markup) -> Markup {
    let every = match how {
        Refresh::Every(seconds) => Some(seconds),
        Refresh::Settled => None,
    };
    html! { div id="live" data-every=[every] { (part) } }
}

/// Adds the security headers to a page.
pub(super) fn with_security_headers(status: StatusCode, page: &Markup) -> Response {
    let mut response = (status, Html(page.0.clone())).into_response();
    for (name, value) in SEAL {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

impl IntoResponse for PageFault {
    fn into_response(self) -> Response {
        let title = match self.status {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::BAD_REQUEST => "Invalid request",
            StatusCode::SERVICE_UNAVAILABLE => "Temporarily unavailable",
            _ => "Request failed",
        };
        let body = html! {
            h1 { (title) }
            p class="verdict bad" role="alert" { (text::foreign_text(&self.detail)) }
            p class="actions" { a class="button" href="/" { "Back to overview" } }
        };
        let mut response = with_security_headers(self.status, &page(self.place, title, &self.standing, &body));
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
