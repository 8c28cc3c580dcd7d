//! `POST /login` and `/logout`, for browsers. The form is the page's.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use url::form_urlencoded;

use super::Parts;
use super::session::{Sessions, Wire};

/// Where the form is.
pub const FORM: &str = "/login";
/// Where the form is shown again with a word about what was wrong.
pub const FAILED: &str = "/login?failed";

/// Takes the form's `token` and opens a session.
pub(super) async fn sign_in(State(parts): State<Arc<Parts>>, headers: HeaderMap, form: String) -> Response {
    let Some(right) = &parts.token else { return go("/") };
    let given = form_urlencoded::parse(form.as_bytes()).find(|(name, _)| name == "token").map(|(_, value)| value);
    let Some(cookie) = parts.sessions.open(given.unwrap_or_default().trim(), right, wire(&headers)) else {
        tracing::warn!("somebody tried to sign in with a token that is not http.token");
        return go(FAILED);
    };
    ([(header::SET_COOKIE, cookie)], go("/")).into_response()
}

/// Ends the session.
pub(super) async fn sign_out(headers: HeaderMap) -> Response {
    ([(header::SET_COOKIE, Sessions::close(wire(&headers)))], go(FORM)).into_response()
}

/// Asks the browser for another page, whatever it asked for.
pub fn go(place: &'static str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
}

/// The browser names the page that the form was on: with `https`, something before the worker ends TLS.
fn wire(headers: &HeaderMap) -> Wire {
    let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
    if origin.is_some_and(|origin| origin.starts_with(b"https:")) { Wire::Tls } else { Wire::Plain }
}
