//! Responses sent to clients.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::Value;

use super::refusal::Refusal;

/// Response before it is written to the connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SimulatedAnswer {
    /// HTTP status.
    pub status: u16,
    /// Pairs of name and value.
    pub headers: Vec<(String, String)>,
    /// Complete body.
    pub body: Vec<u8>,
}

impl SimulatedAnswer {
    /// Returns a 204 response.
    pub(super) fn empty() -> Self {
        Self { status: 204, headers: Vec::new(), body: Vec::new() }
    }

    /// Returns JSON with the content type of OData.
    pub(super) fn odata(status: u16, body: &Value) -> Self {
        Self::typed(status, "application/json; odata.metadata=minimal", body.to_string())
    }

    /// Returns JSON with a plain content type.
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::typed(status, "application/json; charset=utf-8", body.to_string())
    }

    /// Returns a response of any content type.
    pub(super) fn typed(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type".into(), content_type.into())], body: body.into() }
    }

    /// Adds a header.
    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds the environment's time as `Date`, unless a script has set one.
    pub(super) fn dated(self, now: Timestamp) -> Self {
        if self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("date")) {
            return self;
        }
        // The server sets the header itself if HTTP can't represent the time.
        match DateTimePrinter::new().timestamp_to_rfc9110_string(&now) {
            Ok(date) => self.with("date", date),
            Err(_) => self,
        }
    }

    /// Converts the response to HTTP. Headers that HTTP can't represent are dropped.
    pub(super) fn into_response(mut self) -> Response {
        let body = std::mem::take(&mut self.body);
        self.carrying(Body::from(body))
    }

    /// Converts the response to HTTP with another body.
    pub(super) fn carrying(self, body: Body) -> Response {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or_default();
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

impl From<Refusal> for SimulatedAnswer {
    fn from(refusal: Refusal) -> Self {
        let answer = Self::odata(refusal.status, &refusal.body());
        refusal.headers.into_iter().fold(answer, |answer, (name, value)| answer.with(name, value))
    }
}
