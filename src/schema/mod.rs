//! In: the types of events and outcomes, the names of the exchanges.
//! Out: their JSON Schemas, and an AsyncAPI document of the messages received and sent.
//! Absent: validation; decoding has rules that a schema can't express.

mod asyncapi;

pub use asyncapi::{Exchanges, asyncapi};
use handoffd_engine::event;
use handoffd_engine::workflow::OutcomeEvent;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// JSON Schemas (draft 2020-12) by name: one per event, and `outcome`.
pub fn schemas() -> Value {
    Value::Object(all(&SchemaSettings::draft2020_12()).collect::<Map<_, _>>())
}

fn all(settings: &SchemaSettings) -> impl Iterator<Item = (String, Value)> {
    let outcome = settings.clone().for_serialize().into_generator().into_root_schema_for::<OutcomeEvent>();
    event::schemas(settings)
        .into_iter()
        .chain([("outcome", outcome)])
        .map(|(name, schema)| (name.to_owned(), schema.to_value()))
}

#[cfg(test)]
mod tests;
