//! Refused token request, in the form of Entra ID.

use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::answer::SimulatedAnswer;

/// Refused token request.
pub(super) struct TokenRefusal {
    /// HTTP status.
    pub status: u16,
    /// OAuth's error.
    pub error: &'static str,
    /// Number of the AADSTS code.
    pub code: u32,
    /// Text after the code.
    pub message: String,
}

/// Creates the refusal of a malformed request.
pub(super) fn invalid(code: u32, message: &str) -> TokenRefusal {
    refused(400, "invalid_request", code, message.to_owned())
}

/// Creates a refusal.
pub(super) fn refused(status: u16, error: &'static str, code: u32, message: String) -> TokenRefusal {
    TokenRefusal { status, error, code, message }
}

impl TokenRefusal {
    /// Returns the answer.
    pub(super) fn answer(&self) -> SimulatedAnswer {
        let (trace, correlation) = (Uuid::new_v4(), Uuid::new_v4());
        let now = Timestamp::now().strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        let (code, message) = (self.code, &self.message);
        let body = json!({
            "error": self.error,
            "error_description":
                format!("AADSTS{code}: {message} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {now}"),
            "error_codes": [code],
            "timestamp": now,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
        });
        SimulatedAnswer::json(self.status, &body)
    }
}
