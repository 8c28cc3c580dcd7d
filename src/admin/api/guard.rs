//! Checks that every request passes: origin, credentials, permissions, size, time and concurrency; security headers of
//! responses.

use std::error::Error;
use std::iter::successors;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::listen::Peer;
use super::login;
use super::problem::Problem;
use super::requester::{Permission, Requester, require};
use super::session::Session;
use super::state::ApiState;
use crate::admin::audit::Identity;

/// Paths for probes and monitors, which have no token. All other paths require one, including unknown ones.
const OPEN: [&str; 3] = ["/livez", "/readyz", "/metrics"];
/// Paths that a browser needs to sign in and out.
const OPEN_TO_BROWSERS: [&str; 5] = [login::FORM, login::SIGN_OUT, "/page.css", "/page.js", "/icon.svg"];
/// Request that only reads, although it has a body.
const SHOW: &str = "/api/v1/dead-letters/show";
/// Path of an organization, without its ID.
const ORGANIZATION: &str = "/api/v1/organizations/";
/// Header in which a command states its user, for the record.
const USER: HeaderName = HeaderName::from_static("x-handoffd-user");
/// Longest name of a user.
const LONGEST_USER: usize = 100;
/// Header of the requests that a page repeats by itself: nobody's presence.
const REFRESH: HeaderName = HeaderName::from_static("x-handoffd-refresh");

/// Longest body of a request, and the time limit for reading it. A selection or an organization is far shorter.
const BODY: (usize, Duration) = (256 << 10, Duration::from_secs(10));
/// The same for signing in, which needs no token.
const SIGN_IN: (usize, Duration) = (4 << 10, Duration::from_secs(5));

/// Detail of the problem of a body that could not be read.
const BROKEN_BODY: &str =
    "the body is incomplete or its chunks are invalid; expected as many bytes as `Content-Length`, or valid chunks";

/// Headers that keep a browser from running, framing, caching or reinterpreting a response; a page may set its own policy.
const SEAL: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Hosts that requests may name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HostPolicy {
    /// Every host, because a token or the network decides.
    Any,
    /// This machine by its address or as `localhost`. Only it can connect, and a page of another site in its browser must
    /// not bypass that with a host name that resolves to the loopback address.
    ThisMachine,
}

impl HostPolicy {
    pub(super) fn of(parts: &ApiState) -> Self {
        if parts.authenticator.is_open() { Self::ThisMachine } else { Self::Any }
    }
}

/// Refuses requests that another site's page makes, and those that name a foreign host.
pub(super) async fn screen(State(hosts): State<HostPolicy>, request: Request, next: Next) -> Response {
    let (headers, uri) = (request.headers(), request.uri());
    if hosts == HostPolicy::ThisMachine && !names_this_machine(headers, uri) {
        let detail = "host must be an IP address or `localhost`; to use another host name, set http.token";
        return Problem::forbidden(detail.to_owned()).into_response();
    }
    if is_of_another_site(headers, uri) && !(hosts == HostPolicy::Any && follows_a_link(&request)) {
        return Problem::forbidden("cross-site request refused".to_owned()).into_response();
    }
    next.run(request).await
}

/// Admits requests to open paths, and those whose credentials permit them.
pub(super) async fn authenticate(State(parts): State<Arc<ApiState>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let found = identify(&parts, &request);
    let (requester, session) = match found {
        Ok((identity, session)) => (requester(&parts, &request, identity), session),
        Err(_) if OPEN.contains(&path) || OPEN_TO_BROWSERS.contains(&path) => return next.run(request).await,
        Err(problem) => return refused(&parts, &request, problem),
    };
    let needed = permission(&request);
    let present = !request.headers().contains_key(REFRESH);
    let handled = async {
        match require(needed) {
            Ok(()) => next.run(request).await,
            Err(problem) => problem.into_response(),
        }
    };
    let mut response = requester.scope(handled).await;
    let renewed = session.filter(|_| present).and_then(|session| parts.authenticator.renewed(&session));
    if let Some(cookie) = renewed {
        response.headers_mut().entry(header::SET_COOKIE).or_insert(cookie);
    }
    response
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

/// Reads the body of a request before anything else is spent on it: a slow client holds its connection, and no more.
pub(super) async fn read_body(request: Request, next: Next) -> Response {
    let (longest, limit) = if request.uri().path() == login::FORM { SIGN_IN } else { BODY };
    let (head, body) = request.into_parts();
    match tokio::time::timeout(limit, to_bytes(body, longest)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(head, Body::from(body))).await,
        Ok(Err(error)) if is_broken(&error) => Problem::bad_request(BROKEN_BODY.to_owned()).into_response(),
        Ok(Err(_)) => Problem::too_long(longest).into_response(),
        Err(_) => Problem::timeout(limit).into_response(),
    }
}

/// Reports whether a body broke off or was framed wrongly; otherwise it was too long.
fn is_broken(error: &axum::Error) -> bool {
    successors(error.source(), |&error| error.source()).any(<dyn Error>::is::<hyper::Error>)
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

/// Returns the address of a request's client.
pub(super) fn peer(request: &Request) -> IpAddr {
    // `listen` adds it to every request.
    request.extensions().get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0)
}

fn identify(parts: &ApiState, request: &Request) -> Result<(Identity, Option<Session>), Problem> {
    if parts.authenticator.is_open() {
        return Ok((Identity::Local, None));
    }
    if let Some(session) = parts.authenticator.session(request.headers()) {
        return Ok((session.identity, Some(session)));
    }
    let Some(given) = request.headers().get(header::AUTHORIZATION) else {
        parts.authenticator.wait_is_over(peer(request))?;
        return Err(Problem::unauthorized());
    };
    let (scheme, credentials) = given.as_bytes().split_at_checked("Bearer ".len()).unwrap_or_default();
    let token = if scheme.eq_ignore_ascii_case(b"Bearer ") { credentials } else { b"" };
    parts.authenticator.present(peer(request), token).map(|identity| (identity, None))
}

fn requester(parts: &ApiState, request: &Request, identity: Identity) -> Requester {
    let user = request.headers().get(USER).and_then(|user| user.to_str().ok());
    let user = user.filter(|user| !user.is_empty() && user.len() <= LONGEST_USER).map(ToOwned::to_owned);
    Requester { identity, from: peer(request), user, trail: Arc::clone(&parts.trail) }
}

/// Permission that a request needs by its method. Routes of dead letters require more where they show or discard them.
fn permission(request: &Request) -> Permission {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD | &Method::OPTIONS, _) | (_, login::FORM | login::SIGN_OUT) => Permission::Look,
        (&Method::POST, SHOW) => Permission::ReadText,
        (&Method::PUT, path) if is_an_organization(path) => Permission::Save,
        _ => Permission::Change,
    }
}

fn is_an_organization(path: &str) -> bool {
    path.strip_prefix(ORGANIZATION).is_some_and(|id| !id.contains('/'))
}

/// Leads a browser to the form and back again; a program gets a problem.
fn refused(parts: &ApiState, request: &Request, problem: Problem) -> Response {
    // A wrong token was counted already, and an address that has to wait is not counted.
    let is_counted =
        problem.status() == StatusCode::UNAUTHORIZED && !request.headers().contains_key(header::AUTHORIZATION);
    let forged = is_counted.then(|| parts.authenticator.refuse_forged(peer(request), request.headers())).flatten();
    let mut response = without_access(request, problem);
    if let Some(removal) = forged {
        response.headers_mut().insert(header::SET_COOKIE, removal);
    }
    response
}

fn without_access(request: &Request, problem: Problem) -> Response {
    let uri = request.uri();
    let signs_in = problem.status() == StatusCode::UNAUTHORIZED
        && request.method() == Method::GET
        && login::wants_a_page(request.headers())
        && !uri.path().starts_with("/api/");
    if signs_in {
        let wanted = uri.path_and_query().map_or("/", |wanted| wanted.as_str());
        return login::go(&login::form_for(wanted, login::FORM));
    }
    problem.into_response()
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

/// Returns true if a person follows a link of another site to a page. The session's cookie is not sent then, so nothing is done
/// in the person's name.
fn follows_a_link(request: &Request) -> bool {
    let says = |name: &str, value: &str| request.headers().get(name).is_some_and(|said| said == value);
    request.method() == Method::GET
        && !request.uri().path().starts_with("/api/")
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document")
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

    fn request(method: &Method, path: &str, pairs: &[(&'static str, &'static str)]) -> Request {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "127.0.0.1:9464");
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).expect("a request")
    }

    fn of_another_site(pairs: &[(&'static str, &'static str)]) -> bool {
        let request = request(&Method::POST, "/api/v1/dead-letters/replay", pairs);
        is_of_another_site(request.headers(), request.uri())
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

    #[test]
    fn only_a_persons_step_to_a_page_may_come_from_another_site() {
        let link = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        for (method, path, pairs, follows) in [
            (Method::GET, "/find?q=x", link, true),
            (Method::POST, "/login", link, false),
            (Method::GET, "/api/v1/dead-letters", link, false),
            (Method::GET, "/", [("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")], false),
            (Method::GET, "/", [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")], false),
        ] {
            assert_eq!(follows_a_link(&request(&method, path, &pairs)), follows, "{method} {path} {pairs:?}");
        }
    }

    #[test]
    fn each_request_needs_the_permission_of_its_method() {
        for (method, path, needed) in [
            (Method::GET, "/anything", Permission::Look),
            (Method::HEAD, "/", Permission::Look),
            (Method::POST, "/login", Permission::Look),
            (Method::POST, "/logout", Permission::Look),
            (Method::POST, "/organizations/pause", Permission::Change),
            (Method::POST, SHOW, Permission::ReadText),
            (Method::PUT, "/api/v1/organizations/x", Permission::Save),
            (Method::PUT, "/api/v1/organizations/x/test", Permission::Change),
            (Method::PUT, "/nowhere", Permission::Change),
            (Method::DELETE, "/api/v1/organizations/x", Permission::Change),
            (Method::PATCH, "/", Permission::Change),
        ] {
            assert_eq!(permission(&request(&method, path, &[])), needed, "{method} {path}");
        }
    }
}
