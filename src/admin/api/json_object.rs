//! Body of a request as a JSON object.
//!
//! Derived readers of serde take the fields of a struct from an array too, in their order: `[[], ["evt_1"]]` would be a
//! selection of dead letters, of which no document says what it selects.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// Value read from a JSON object, and from nothing else.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct JsonObject<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for JsonObject<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(JsonObjectVisitor(PhantomData))
    }
}

struct JsonObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for JsonObjectVisitor<T> {
    type Value = JsonObject<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map(JsonObject)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(PartialEq, Default, Debug, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Fields {
        one: String,
        other: Vec<u8>,
    }

    fn read(text: &str) -> Result<Fields, String> {
        serde_json::from_str::<JsonObject<Fields>>(text).map(|JsonObject(fields)| fields).map_err(|it| it.to_string())
    }

    #[test]
    fn only_an_object_is_read_and_its_fields_are_checked_as_before() {
        assert_eq!(read(r#"{"other":[1]}"#), Ok(Fields { one: String::new(), other: vec![1] }));
        for other in ["[]", r#"["x"]"#, r#"["x",[1]]"#, r#"[{"one":"x"}]"#, "null", "1", "\"x\""] {
            let problem = read(other).expect_err(other);
            assert!(problem.contains("expected a JSON object"), "{other}: {problem}");
        }
        for (wrong, named) in
            [(r#"{"two":1}"#, "unknown field `two`"), (r#"{"one":"x","one":"y"}"#, "duplicate field `one`")]
        {
            assert!(read(wrong).expect_err(wrong).contains(named), "{wrong}");
        }
    }
}
