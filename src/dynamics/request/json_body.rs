//! JSON body of a request, as it is sent.

use bytes::Bytes;
use serde_json::Value;

/// JSON in the bytes that are sent. A request that waits for its answer holds a customer's texts once, and a copy of the
/// body shares them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JsonBody(Bytes);

impl JsonBody {
    /// Writes a value.
    pub(super) fn of(value: &Value) -> Self {
        Self(value.to_string().into())
    }

    /// Returns the bytes to send.
    pub(in crate::dynamics) fn bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// Reads the value that was written.
    pub fn value(&self) -> Value {
        // It was written by `of`.
        serde_json::from_slice(&self.0).unwrap_or_default()
    }
}
