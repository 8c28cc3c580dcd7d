//! `POST /login` and `/logout` for browsers. The operators' page renders the form.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use url::form_urlencoded::{self, Serializer};

use super::listen::Peer;
use super::session::CookieTransport;
use super::state::ApiState;

/// Path of the form.
pub const FORM: &str = "/login";
/// Path that ends a session.
pub(super) const SIGN_OUT: &str = "/logout";
/// Path of the form with an error.
const FAILED: &str = "/login?failed=";
/// Longest address to return to.
const LONGEST: usize = 2048;

/// Checks the form's `token`, opens a session and returns to the form's `next`.
pub(super) async fn sign_in(
    State(parts): State<Arc<ApiState>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    form: String,
) -> Response {
    let field =
        |wanted| form_urlencoded::parse(form.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value);
    let next = field("next").unwrap_or_default();
    let next = local(&next);
    if parts.authenticator.is_open() {
        return go(next);
    }
    match parts.authenticator.present(peer.0, field("token").unwrap_or_default().trim().as_bytes()) {
        Ok(identity) => {
            let cookie =
                parts.authenticator.open(identity, wire(&headers)).map(|cookie| [(header::SET_COOKIE, cookie)]);
            (cookie, go(next)).into_response()
        }
        Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => go(&form_for(next, FAILED)),
        Err(problem) => problem.into_response(),
    }
}

/// Ends the session.
pub(super) async fn sign_out(State(parts): State<Arc<ApiState>>, headers: HeaderMap) -> Response {
    let removal = parts.authenticator.sign_out(&headers, wire(&headers)).map(|cookie| [(header::SET_COOKIE, cookie)]);
    (removal, go(FORM)).into_response()
}

/// Redirects the browser to another page with `GET`.
pub fn go(place: &str) -> Response {
    let place = HeaderValue::try_from(place).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response()
}

/// Returns the address of the form that returns to this address.
pub(super) fn form_for(wanted: &str, form: &str) -> String {
    let wanted = local(wanted);
    if wanted == "/" {
        return form.trim_end_matches('=').to_owned();
    }
    let next = Serializer::new(String::new()).append_pair("next", wanted).finish();
    format!("{form}{}{next}", if form.contains('?') { '&' } else { '?' })
}

/// Returns an address if it is one of this site's pages, else the first page.
pub fn local(wanted: &str) -> &str {
    let path = wanted.strip_prefix('/').filter(|rest| !rest.starts_with(['/', '\\']));
    let plain = wanted.len() <= LONGEST && wanted.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let page = [FORM, SIGN_OUT, "/api/"].iter().all(|other| !wanted.starts_with(other));
    if path.is_some() && plain && page { wanted } else { "/" }
}

/// Returns true if a client prefers a page to JSON.
pub fn wants_a_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_site_are_returned_to() {
        for page in ["/", "/find?q=ses_1%20x", "/event?organization=a&id=b", "/dead-letters"] {
            assert_eq!(local(page), page);
        }
        let long = format!("/find?q={}", "x".repeat(LONGEST));
        for other in [
            "",
            "find",
            "//evil.example/x",
            "/\\evil.example",
            "/x\\y",
            "https://evil.example",
            "/\tx",
            "/x\r\nset-cookie: y",
            "/é",
            "/login",
            "/logout",
            "/api/v1/outcomes",
            &long,
        ] {
            assert_eq!(local(other), "/", "{other:?}");
        }
    }

    #[test]
    fn the_form_keeps_the_way_back() {
        assert_eq!(form_for("/", FORM), "/login");
        assert_eq!(form_for("/", FAILED), "/login?failed");
        assert_eq!(form_for("/find?q=a&b", FORM), "/login?next=%2Ffind%3Fq%3Da%26b");
        assert_eq!(form_for("/find?q=a", FAILED), "/login?failed=&next=%2Ffind%3Fq%3Da");
        assert_eq!(form_for("//evil", FORM), "/login");
    }
}
