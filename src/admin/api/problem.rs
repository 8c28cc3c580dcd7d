//! Errors as `application/problem+json` (RFC 9457).

use std::time::Duration;

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

/// Failed request.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    status: StatusCode,
    detail: String,
    extension: Option<(&'static str, Value)>,
    /// Seconds after which the request may be repeated.
    retry_after: Option<u64>,
}

/// Problem as sent. Further members may stand beside these.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct ProblemDocument {
    /// `about:blank`: the problem has no semantics beyond its status.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Status in words.
    pub title: Option<&'static str>,
    /// HTTP status.
    #[schemars(range(min = 400, max = 599))]
    pub status: u16,
    /// Value found, value expected, and the next action.
    pub detail: String,
}

impl Problem {
    /// 400: invalid request; the detail names the value and what was expected.
    pub fn bad_request(detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 401: missing or wrong token.
    pub fn unauthorized() -> Self {
        let detail = "expected the header `Authorization: Bearer <http.token>`".to_owned();
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    /// 403: not permitted to this client, or a request of a forbidden origin.
    pub fn forbidden(detail: String) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 404: no such resource.
    pub fn not_found(detail: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 405: method not supported by the path.
    pub fn method_not_allowed(detail: String) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, detail)
    }

    /// 409: conflict with the current state.
    pub fn conflict(detail: String) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 408: body that took too long to arrive.
    pub fn timeout(limit: Duration) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, format!("the body did not arrive within {} s", limit.as_secs()))
    }

    /// 413: body longer than this number of bytes.
    pub fn too_long(limit: usize) -> Self {
        let detail = format!("body too long; send at most {} KiB", limit >> 10);
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    /// 415: body of another content type.
    pub fn unsupported_media_type() -> Self {
        let detail = "expected a body with `Content-Type: application/json`".to_owned();
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    /// 422: valid request whose test failed.
    pub fn unprocessable(detail: String) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 429: too many jobs.
    pub fn too_many(detail: String) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, detail)
    }

    /// 429: too many failed authentications; the address has to wait this long.
    pub fn slow_down(rest: Duration) -> Self {
        let seconds = whole_seconds(rest);
        let detail = format!("too many failed authentications from this address; try again in {seconds} s");
        Self { retry_after: Some(seconds), ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// 503: the worker has more to do than it takes; the request may be repeated after this time.
    pub fn busy(detail: String, rest: Duration) -> Self {
        Self { retry_after: Some(whole_seconds(rest)), ..Self::unavailable(detail) }
    }

    /// 503: a required service is temporarily unavailable.
    pub fn unavailable(detail: String) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }
}

impl Problem {
    /// Returns the HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the seconds after which the request may be repeated, if a time is known.
    pub fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }

    /// Adds a member to the problem (RFC 9457, 3.2).
    #[must_use]
    pub fn with(self, name: &'static str, value: Value) -> Self {
        Self { extension: Some((name, value)), ..self }
    }

    fn new(status: StatusCode, detail: String) -> Self {
        Self { status, detail, extension: None, retry_after: None }
    }
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Body that is not JSON, has another shape or another content type.
impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        match rejection {
            JsonRejection::MissingJsonContentType(_) => Self::unsupported_media_type(),
            other => Self::bad_request(other.body_text()),
        }
    }
}

/// Path segment that is not valid UTF-8.
impl From<PathRejection> for Problem {
    fn from(_: PathRejection) -> Self {
        Self::bad_request("invalid ID in the path; expected percent-encoded UTF-8".to_owned())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = ProblemDocument {
            kind: "about:blank",
            title: self.status.canonical_reason(),
            status: self.status.as_u16(),
            detail: self.detail,
        };
        let mut body = json!(document);
        if let Some((name, value)) = self.extension {
            body[name] = value;
        }
        let content = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status, body.to_string()).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, content);
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"handoffd\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
