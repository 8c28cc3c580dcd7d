//! What every request passes: who may ask, for how long, and what the answer must not allow.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use super::Parts;
use super::problem::Problem;

/// Longest time for an answer: a store that hangs must not pile up requests.
const LONGEST: Duration = Duration::from_secs(30);

/// Asked by probes and monitors, which have no token. Everything else is behind it, also what is not there.
const OPEN: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// A browser shall neither run, frame, keep nor reinterpret what it gets; a page may set a policy of its own.
const SEAL: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// Lets a request through that is open to all or carries the token.
pub async fn admit(State(parts): State<Arc<Parts>>, request: Request, next: Next) -> Response {
    if OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    match &parts.token {
        Some(token) if !carries(request.headers(), token) => Problem::unauthorized().into_response(),
        // Without a token only this machine can connect; a page of another site in this machine's browser must
        // not get round that by a name of its own that resolves to the loopback address.
        None if !names_this_machine(&request) => Problem::forbidden(
            "expected an address or `localhost` as host; for a name of its own set http.token".to_owned(),
        )
        .into_response(),
        _ => next.run(request).await,
    }
}

/// Answers within [`LONGEST`], with a problem if need be.
pub async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(LONGEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable(format!("no answer within {} s", LONGEST.as_secs())).into_response(),
    }
}

/// Adds the security headers that an answer does not set itself.
pub async fn seal(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in SEAL {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn carries(headers: &HeaderMap, token: &SecretString) -> bool {
    let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let Some((scheme, credentials)) = given.split_at_checked("Bearer ".len()) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(credentials.ct_eq(token.expose_secret().as_bytes()))
}

fn names_this_machine(request: &Request) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = host.or(request.uri().authority().map(Authority::as_str));
    let Some(authority) = authority.and_then(|text| text.parse::<Authority>().ok()) else {
        return false;
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}
