//! `schema`: the JSON Schemas and the AsyncAPI document, as one JSON document.

use anyhow::Result;
use serde_json::json;

use super::shell::pretty;
use crate::schema::{Exchanges, asyncapi, schemas};

/// `{ "schemas": { name: JSON Schema }, "asyncapi": AsyncAPI 3.0 }`
pub(super) fn schema() -> Result<String> {
    let document = json!({ "schemas": schemas(), "asyncapi": asyncapi(&Exchanges::default()) });
    pretty(&document)
}
