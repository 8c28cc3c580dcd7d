//! Request with its body read completely.

use axum::body::{self, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

/// Largest accepted body. Dataverse accepts up to 128 MB; no test needs more than this.
const LARGEST_BODY: usize = 16 << 20;

/// Request to a listener.
pub(super) struct IncomingRequest {
    /// GET, POST, …
    pub method: Method,
    /// Percent-decoded path.
    pub path: String,
    /// Path and query as sent.
    pub uri: String,
    /// Decoded query options; `+` is a space.
    pub query: Vec<(String, String)>,
    /// Headers as sent.
    pub headers: HeaderMap,
    /// Body as sent.
    pub body: Bytes,
}

impl IncomingRequest {
    /// Reads a request completely. Returns `None` if the client disconnected or the body is too large.
    pub(super) async fn read(request: Request) -> Option<Self> {
        let (parts, body) = request.into_parts();
        let body = body::to_bytes(body, LARGEST_BODY).await.ok()?;
        let query = parts.uri.query().unwrap_or_default();
        Some(Self {
            path: decoded(parts.uri.path()),
            uri: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            query: pairs(query),
            method: parts.method,
            headers: parts.headers,
            body,
        })
    }

    /// Returns a header if it is present and is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns a query option.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        let (_, value) = self.query.iter().find(|(key, _)| key == name)?;
        Some(value)
    }

    /// Returns the value of one preference in `Prefer`, empty if it has no value.
    pub(super) fn preference(&self, name: &str) -> Option<String> {
        let values = self.headers.get_all("prefer").iter();
        let all: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        all.iter().flat_map(|value| value.split(',')).find_map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
        })
    }
}

/// Parses `a=1&b=2`, as in a query or a form.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    let parts = text.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(&key.replace('+', " ")), decoded(&value.replace('+', " ")))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_is_a_space_and_percent_is_decoded() {
        let read = pairs("$filter=a%2Bb eq 'x+y'&flag&=");
        let expected = [("$filter", "a+b eq 'x y'"), ("flag", ""), ("", "")];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(read, expected);
    }
}
