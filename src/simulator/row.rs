//! Row of a table.

use serde_json::{Map, Value};
use uuid::Uuid;

/// One row. An absent column is null.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Primary key.
    pub key: Uuid,
    /// Version, incremented with each change; the ETag.
    pub version: u64,
    /// Values by column name, the key first, lookups as `_x_value`.
    pub values: Map<String, Value>,
}

impl Row {
    /// Returns the value of a column, null if it has none.
    pub(super) fn value(&self, column: &str) -> &Value {
        self.values.get(column).unwrap_or(&Value::Null)
    }

    /// Returns the key in a lookup column.
    pub(super) fn lookup(&self, column: &str) -> Option<Uuid> {
        self.value(column).as_str()?.parse().ok()
    }

    /// Returns the ETag.
    pub(super) fn etag(&self) -> String {
        format!("W/\"{}\"", self.version)
    }
}
