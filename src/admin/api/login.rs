//! `POST /login` and `/logout` for browsers. The operators' page renders the form.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use url::form_urlencoded;

use super::session::{CookieTransport, Sessions};
use super::state::ApiState;

/// Path of the form.
pub const FORM: &str = "/login";
/// Path of the form with an error.
pub const FAILED: &str = "/login?failed";

/// Checks the form's `token` and opens a session.
pub(super) async fn sign_in(State(parts): State<Arc<ApiState>>, headers: HeaderMap, form: String) -> Response {
    let Some(right) = &parts.token else { return go("/") };
    let given = form_urlencoded::parse(form.as_bytes()).find(|(name, _)| name == "token").map(|(_, value)| value);
    let Some(cookie) = parts.sessions.open(given.unwrap_or_default().trim(), right, wire(&headers)) else {
        tracing::warn!("sign-in failed: wrong token");
        return go(FAILED);
    };
    ([(header::SET_COOKIE, cookie)], go("/")).into_response()
}

/// Ends the session.
pub(super) async fn sign_out(headers: HeaderMap) -> Response {
    ([(header::SET_COOKIE, Sessions::close(wire(&headers)))], go(FORM)).into_response()
}

/// Redirects the browser to another page with `GET`.
pub fn go(place: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
}

/// Returns the browser's transport. Its `Origin` is `https` if a proxy in front of the worker terminates TLS.
fn wire(headers: &HeaderMap) -> CookieTransport {
    let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
    if origin.is_some_and(|origin| origin.starts_with(b"https:")) {
        CookieTransport::Tls
    } else {
        CookieTransport::Plain
    }
}
