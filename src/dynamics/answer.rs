//! An HTTP answer, as far as the worker reads it.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

/// Dataverse's codes have ten characters; those of a gateway before it are words.
const LONGEST_CODE: usize = 64;

/// What Dynamics (or something in between) answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, as it stands.
    pub retry_after: Option<String>,
    /// `Date`, as it stands: Dynamics' clock.
    pub date: Option<String>,
    /// `x-ms-service-request-id`
    pub request_id: Option<String>,
    /// `x-ms-dop-hint`: how many requests at once Dynamics advises.
    pub dop_hint: Option<usize>,
    /// The body, decoded from the wire.
    pub body: Bytes,
}

/// `{"error":{"code":"0x…","message":"…"}}`; both empty where the body is something else.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct ErrorBody {
    /// `0x80040237`, lower-cased; the documentation's samples have it empty.
    pub code: String,
    /// Dynamics' own words.
    pub message: String,
}

impl Answer {
    /// Whether the status says that it was done.
    pub(super) fn is_success(&self) -> bool {
        matches!(self.status, 200 | 201 | 204)
    }

    /// The body as a JSON object; none when it is empty or something else.
    pub(super) fn object(&self) -> Option<Value> {
        serde_json::from_slice::<Value>(&self.body).ok().filter(Value::is_object)
    }

    /// Whether the body was to be JSON and did not arrive whole.
    pub(super) fn is_broken(&self) -> bool {
        let begins = self.body.trim_ascii_start().starts_with(b"{");
        begins && serde_json::from_slice::<serde::de::IgnoredAny>(&self.body).is_err()
    }

    /// The error that the body tells.
    pub(super) fn error(&self) -> ErrorBody {
        ErrorBody::read(&self.body)
    }
}

/// What stands where a code should: kept only if it can be one. It goes where no customer text may, unmasked.
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

    /// Whether the message says this, in any case.
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
    fn only_what_can_be_a_code_is_one() {
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
    fn anything_else_tells_no_error() {
        let deep = format!("{{\"error\":{}", "[".repeat(100_000));
        for body in ["", "<html>", "[]", "{", "{\"error\":[]}", "{\"error\":\"x\"}", "\u{feff}{}", "null", &deep] {
            assert_eq!(error(body), ErrorBody::default(), "{body:.20}");
        }
        let odd = error(r#"{"error":{"message":{"value":"m"}},"error_description":"d"}"#);
        assert_eq!(odd, ErrorBody::default());
    }
}
