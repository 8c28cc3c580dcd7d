//! Checks that every request passes: credentials, origin, concurrency and time limits; security headers of responses.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;

use super::login;
use super::problem::Problem;
use super::session::equals_token;
use super::state::ApiState;

/// Paths for probes and monitors, which have no token. All other paths require the token, including unknown ones.
const OPEN: [&str; 3] = ["/livez", "/readyz", "/metrics"];
/// Paths that a browser needs to sign in.
const OPEN_TO_BROWSERS: [&str; 4] = [login::FORM, "/page.css", "/page.js", "/icon.svg"];

/// Headers that keep a browser from running, framing, caching or reinterpreting a response; a page may set its own policy.
const SEAL: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Admits requests to open paths and requests that carry the token or a session.
pub(super) async fn authenticate(State(parts): State<Arc<ApiState>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if OPEN.contains(&path) {
        return next.run(request).await;
    }
    if let Err(problem) = may(&parts, &request) {
        let page = request.method() == Method::GET && wants_a_page(request.headers());
        let signs_in = page && parts.token.is_some() && !path.starts_with("/api/");
        return if signs_in { login::go(login::FORM) } else { problem.into_response() };
    }
    next.run(request).await
}

/// Limits concurrent requests, except those of probes and monitors.
pub(super) async fn limit_concurrency(State(parts): State<Arc<ApiState>>, request: Request, next: Next) -> Response {
    if OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let Ok(_place) = parts.places.try_acquire() else {
        return Problem::unavailable("too many concurrent requests; try again in a moment".to_owned()).into_response();
    };
    next.run(request).await
}

/// Responds within the time limit, with a problem if necessary.
pub(super) async fn limit_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable(format!("no response within {} s", limit.as_secs())).into_response(),
    }
}

/// Adds the security headers that a response does not set itself.
pub(super) async fn add_security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in SEAL {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn may(parts: &ApiState, request: &Request) -> Result<(), Problem> {
    let (headers, path) = (request.headers(), request.uri().path());
    match &parts.token {
        Some(token) => {
            let known = carries(headers, token) || parts.sessions.knows(headers, token);
            if !known && !OPEN_TO_BROWSERS.contains(&path) {
                return Err(Problem::unauthorized());
            }
        }
        // Without a token only this machine can connect. A page of another site in this machine's browser must not bypass
        // that with a host name that resolves to the loopback address.
        None if !names_this_machine(headers, request.uri()) => {
            return Err(Problem::forbidden(
                "host must be an IP address or `localhost`; to use another host name, set http.token".to_owned(),
            ));
        }
        None => {}
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes && is_of_another_site(headers, request.uri()) {
        return Err(Problem::forbidden("cross-site request refused".to_owned()));
    }
    Ok(())
}

fn carries(headers: &HeaderMap, token: &SecretString) -> bool {
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let Some((scheme, credentials)) = given.split_at_checked("Bearer ".len()) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"Bearer ") && equals_token(credentials, token)
}

/// True for requests of another site. Browsers send their origin in `Sec-Fetch-Site`, or in `Origin` if they are old;
/// programs send neither.
fn is_of_another_site(headers: &HeaderMap, uri: &Uri) -> bool {
    let said = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    if let Some(site) = said("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    let Some(origin) = said("origin") else { return false };
    let asked = host(headers, uri);
    let from = origin.split_once("://").and_then(|(_, rest)| rest.parse::<Authority>().ok());
    from.is_none() || from != asked
}

fn wants_a_page(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

fn names_this_machine(headers: &HeaderMap, uri: &Uri) -> bool {
    let Some(authority) = host(headers, uri) else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}

fn host(headers: &HeaderMap, uri: &Uri) -> Option<Authority> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    host.or(uri.authority().map(Authority::as_str))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_another_site(pairs: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("127.0.0.1:9464"))]);
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        is_of_another_site(&headers, &Uri::from_static("/api/v1/dead-letters/replay"))
    }

    #[test]
    fn requests_of_other_sites_are_recognized() {
        assert!(!of_another_site(&[]));
        for (site, other) in
            [("same-origin", false), ("none", false), ("same-site", true), ("cross-site", true), ("?", true)]
        {
            assert_eq!(of_another_site(&[("sec-fetch-site", site)]), other, "{site}");
        }
        for (origin, other) in [
            ("http://127.0.0.1:9464", false),
            ("http://127.0.0.1:9465", true),
            ("https://evil.example", true),
            ("null", true),
            ("", true),
        ] {
            assert_eq!(of_another_site(&[("origin", origin)]), other, "{origin}");
        }
        // The newer header takes precedence: behind a proxy the host may have another name.
        assert!(!of_another_site(&[("sec-fetch-site", "same-origin"), ("origin", "https://handoffd.example")]));
    }
}
