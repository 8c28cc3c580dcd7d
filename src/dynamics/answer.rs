//! The parts of an HTTP response that the worker reads.

use bytes::Bytes;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

/// Longest error code. Dataverse's codes have ten characters; a gateway's codes are words.
const LONGEST_CODE: usize = 64;

/// Response of Dynamics, or of a proxy or gateway in front of it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After` header, unparsed.
    pub retry_after: Option<String>,
    /// `Date` header, unparsed: the time of Dynamics' clock.
    pub date: Option<String>,
    /// `ETag` header: version of the row that was read.
    pub etag: Option<String>,
    /// `x-ms-service-request-id` header, if it is a GUID. Logs and lists contain it unmasked.
    pub request_id: Option<Uuid>,
    /// `x-ms-dop-hint` header: number of concurrent requests that Dynamics recommends.
    pub dop_hint: Option<usize>,
    /// Decoded body.
    pub body: Bytes,
    /// Error as operators may read it. Empty until the call has masked it.
    pub shown: ShownError,
}

/// Code and message of an error without customer text.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct ShownError {
    /// Code, unless customer text is part of it.
    pub code: Option<String>,
    /// Masked message, on one line.
    pub message: String,
}

/// Error in a body of the form `{"error":{"code":"0x…","message":"…"}}`. Both fields are empty for any other body.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct ErrorBody {
    /// Code such as `0x80040237`, in lower case. Empty in the samples of Microsoft's documentation.
    pub code: String,
    /// Message as Dynamics worded it.
    pub message: String,
}

impl Answer {
    /// Returns true for a status that confirms the request.
    pub(super) fn is_success(&self) -> bool {
        matches!(self.status, 200 | 201 | 204)
    }

    /// Returns the time in `Date`, in the clock of Dynamics.
    pub(super) fn sent_at(&self) -> Option<Timestamp> {
        http_date(self.date.as_deref()?)
    }

    /// Returns the body as a JSON object, or `None` if it is empty or anything else.
    pub(super) fn object(&self) -> Option<Value> {
        serde_json::from_slice::<Value>(&self.body).ok().filter(Value::is_object)
    }

    /// Returns true if the body begins as a JSON object but is not valid JSON, as when it was truncated.
    pub(super) fn is_broken(&self) -> bool {
        let begins = self.body.trim_ascii_start().starts_with(b"{");
        begins && serde_json::from_slice::<serde::de::IgnoredAny>(&self.body).is_err()
    }

    /// Parses the error in the body.
    pub(super) fn error(&self) -> ErrorBody {
        ErrorBody::read(&self.body)
    }
}

/// Parses a date of HTTP in any of its three forms (RFC 9110, 5.6.7), or one of an email, which some servers write.
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let parsed = httpdate::parse_http_date(text).ok().and_then(|date| Timestamp::try_from(date).ok());
    parsed.or_else(|| rfc2822::DateTimeParser::new().parse_timestamp(text).ok())
}

/// Returns the text of a code field if it is a plausible code, else nothing.
fn code(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if text.len() <= LONGEST_CODE && text.bytes().all(plain) { text.to_lowercase() } else { String::new() }
}

impl ErrorBody {
    fn read(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Wire {
            error: Inner,
        }
        #[derive(Deserialize)]
        struct Inner {
            #[serde(default)]
            code: Value,
            #[serde(default)]
            message: Value,
        }
        let text = |value: Value| value.as_str().map(str::trim).unwrap_or_default().to_owned();
        match serde_json::from_slice::<Wire>(body) {
            Ok(Wire { error }) => Self { code: code(&text(error.code)), message: text(error.message) },
            Err(_) => Self::default(),
        }
    }

    /// Returns true if the message contains `part`, ignoring case.
    pub(super) fn says(&self, part: &str) -> bool {
        self.message.to_lowercase().contains(&part.to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(body: &str) -> ErrorBody {
        ErrorBody::read(body.as_bytes())
    }

    #[test]
    fn only_a_plausible_code_is_kept() {
        for (written, expected) in [
            ("\"0x80040237\"", "0x80040237"),
            ("\" 0X80040217 \"", "0x80040217"),
            ("\"InvalidRequest\"", "invalidrequest"),
            ("\"\"", ""),
            ("5", ""),
            ("null", ""),
            ("[\"0x0\"]", ""),
            ("\"ann@example.com\"", ""),
            ("\"Ann O'Brien\"", ""),
            ("\"0x0\\nlevel=ERROR\"", ""),
        ] {
            assert_eq!(
                error(&format!(r#"{{"error":{{"code":{written},"message":"m"}}}}"#)).code,
                expected,
                "{written}"
            );
        }
        assert_eq!(error(&format!(r#"{{"error":{{"code":"{}"}}}}"#, "c".repeat(65))).code, "");
    }

    #[test]
    fn any_other_body_has_no_error() {
        let deep = format!("{{\"error\":{}", "[".repeat(100_000));
        for body in ["", "<html>", "[]", "{", "{\"error\":[]}", "{\"error\":\"x\"}", "\u{feff}{}", "null", &deep] {
            assert_eq!(error(body), ErrorBody::default(), "{body:.20}");
        }
        let odd = error(r#"{"error":{"message":{"value":"m"}},"error_description":"d"}"#);
        assert_eq!(odd, ErrorBody::default());
    }
}
