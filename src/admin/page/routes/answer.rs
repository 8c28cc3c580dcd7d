//! A page as an answer: sealed against whatever somebody might smuggle into it; and what can't be done, as a page too.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use handoffd_engine::ports::store::StoreError;
use maud::{Markup, html};

use super::Page;
use crate::admin::api::Problem;
use crate::admin::page::layout::{Place, Standing, page};
use crate::admin::page::text;

/// Nothing from elsewhere, nothing inline, no frame. The referrer goes to this site alone: without any, a browser would
/// not tell whose page a form was on.
const SEAL: [(HeaderName, &str); 2] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; \
         frame-ancestors 'none'; base-uri 'none'",
    ),
    (header::REFERRER_POLICY, "same-origin"),
];

/// What a browser gets.
pub(super) type Answer = Result<Response, Fault>;

/// What could not be done.
pub(super) struct Fault {
    place: Place,
    standing: Box<Standing>,
    status: StatusCode,
    detail: String,
}

/// How often a part of a page is renewed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Living {
    /// Every so many seconds.
    Every(u8),
    /// No more.
    Settled,
}

impl Page {
    /// A whole page.
    pub(super) fn answer(&self, place: Place, title: &str, body: &Markup) -> Response {
        sealed(StatusCode::OK, &page(place, title, &self.standing(), body))
    }

    /// What could not be done, in this place.
    pub(super) fn fault(&self, place: Place, problem: &Problem) -> Fault {
        let (status, detail) = (problem.status(), problem.to_string());
        Fault { place, standing: Box::new(self.standing()), status, detail }
    }

    /// The store could not tell.
    pub(super) fn away(&self, place: Place, error: &StoreError) -> Fault {
        tracing::warn!(error = error as &dyn std::error::Error, "the store could not answer an operator");
        self.fault(place, &Problem::unavailable(error.to_string()))
    }
}

/// A part that is renewed while somebody looks.
pub(super) fn living(how: Living, part: &Markup) -> Markup {
    let every = match how {
        Living::Every(seconds) => Some(seconds),
        Living::Settled => None,
    };
    html! { div id="live" data-every=[every] { (part) } }
}

/// A page with the headers that seal it.
pub(super) fn sealed(status: StatusCode, page: &Markup) -> Response {
    let mut response = (status, Html(page.0.clone())).into_response();
    for (name, value) in SEAL {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let title = match self.status {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::BAD_REQUEST => "That can't be understood",
            StatusCode::SERVICE_UNAVAILABLE => "Not at the moment",
            _ => "That can't be done",
        };
        let body = html! {
            h1 { (title) }
            p class="verdict bad" role="alert" { (text::said(&self.detail)) }
            p class="actions" { a class="button" href="/" { "To the first page" } }
        };
        sealed(self.status, &page(self.place, title, &self.standing, &body))
    }
}
