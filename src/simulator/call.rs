//! One request, read whole.

use axum::body::{self, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

/// Dataverse takes bodies of up to 128 MB; nothing here needs more than this.
const LARGEST_BODY: usize = 16 << 20;

/// One request.
pub(super) struct Call {
    /// GET, POST, …
    pub method: Method,
    /// Percent-decoded.
    pub path: String,
    /// Path and query as sent.
    pub uri: String,
    /// Query options, decoded; `+` is a space.
    pub query: Vec<(String, String)>,
    /// As sent.
    pub headers: HeaderMap,
    /// As sent.
    pub body: Bytes,
}

impl Call {
    /// Reads a request to its end; `None` when the client went away, or sent too much.
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

    /// A header's text, if it is there and is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A query option.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        let (_, value) = self.query.iter().find(|(key, _)| key == name)?;
        Some(value)
    }

    /// What `Prefer` says about one preference: its value, empty when it has none.
    pub(super) fn preference(&self, name: &str) -> Option<String> {
        let values = self.headers.get_all("prefer").iter();
        let all: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
        all.iter().flat_map(|value| value.split(',')).find_map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
        })
    }
}

/// `a=1&b=2`, as in a query or a form.
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
