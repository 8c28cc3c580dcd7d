//! Errors as `application/problem+json` (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request was not answered as it wished.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    /// 400: what was found, and what was expected.
    pub fn bad_request(detail: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, detail }
    }

    /// 401: a token is missing, or another one.
    pub fn unauthorized() -> Self {
        let detail = "expected the header `Authorization: Bearer <http.token>`".to_owned();
        Self { status: StatusCode::UNAUTHORIZED, detail }
    }

    /// 403: it may not be asked for this way.
    pub fn forbidden(detail: String) -> Self {
        Self { status: StatusCode::FORBIDDEN, detail }
    }

    /// 404
    pub fn not_found(detail: String) -> Self {
        Self { status: StatusCode::NOT_FOUND, detail }
    }

    /// 405
    pub fn method_not_allowed(detail: String) -> Self {
        Self { status: StatusCode::METHOD_NOT_ALLOWED, detail }
    }

    /// 503: what it takes to answer is not there at the moment.
    pub fn unavailable(detail: String) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, detail }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // `about:blank` says that the problem is no more than its status; its title is then the status' own.
        let body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let content = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status, body.to_string()).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, content);
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"handoffd\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
