//! An HTTP answer, as far as the worker reads it.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

/// What Dynamics (or something in between) answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, as it stands.
    pub retry_after: Option<String>,
    /// `x-ms-service-request-id`
    pub request_id: Option<String>,
    /// The body, decoded from the wire.
    pub body: Bytes,
}

/// `{"error":{"code":"0x…","message":"…"}}`; both empty where the body is something else.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ErrorBody {
    /// `0x80040237`, lower-cased; the documentation's samples have it empty.
    pub code: String,
    /// Dynamics' own words.
    pub message: String,
}

impl Answer {
    /// Whether the status says that it was done.
    pub fn is_success(&self) -> bool {
        matches!(self.status, 200 | 201 | 204)
    }

    /// The body as a JSON object; none when it is empty or something else.
    pub fn object(&self) -> Option<Value> {
        serde_json::from_slice::<Value>(&self.body).ok().filter(Value::is_object)
    }

    /// Whether the body was to be JSON and did not arrive whole.
    pub fn is_broken(&self) -> bool {
        let begins = self.body.trim_ascii_start().starts_with(b"{");
        begins && serde_json::from_slice::<serde::de::IgnoredAny>(&self.body).is_err()
    }

    /// The error that the body tells.
    pub fn error(&self) -> ErrorBody {
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
        match serde_json::from_slice::<Wire>(&self.body) {
            Ok(Wire { error }) => ErrorBody { code: text(error.code).to_lowercase(), message: text(error.message) },
            Err(_) => ErrorBody::default(),
        }
    }
}

impl ErrorBody {
    /// Whether the message says this, in any case.
    pub fn says(&self, part: &str) -> bool {
        self.message.to_lowercase().contains(&part.to_lowercase())
    }
}
