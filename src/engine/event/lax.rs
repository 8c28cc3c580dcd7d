//! JSON values as contract 2 reads them: null, absent and a blank string are the same. A value of a wrong type is an
//! error that names the type found and never quotes the value.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Optional string, borrowed from the JSON unless an escape had to be resolved.
#[derive(Clone, PartialEq, Default, Debug)]
pub(super) struct Text<'a>(pub(super) Option<Cow<'a, str>>);

/// Optional object.
pub(super) struct Object<T>(pub(super) Option<T>);

/// Array of objects; empty if it is absent. Null and blank items are left out.
pub(super) struct List<T>(pub(super) Vec<T>);

/// Optional string; a value of any other type counts as absent.
#[derive(Default)]
pub(super) struct LenientText<'a>(pub(super) Text<'a>);

impl<T> Default for Object<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Implements the visitor methods that reject a type.
macro_rules! refuse {
    (scalars) => {
        refuse!(bool visit_bool "a boolean");
        refuse!(i64 visit_i64 "a number");
        refuse!(u64 visit_u64 "a number");
        refuse!(f64 visit_f64 "a number");
    };
    (list) => {
        fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
            Err(found(&self, "an array"))
        }
    };
    (object) => {
        fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
            Err(found(&self, "an object"))
        }
    };
    ($type:ident $method:ident $what:literal) => {
        fn $method<E: Error>(self, _: $type) -> Result<Self::Value, E> {
            Err(found(&self, $what))
        }
    };
}

/// Implements the visitor methods for null and strings: null and blank count as absent, any other string is rejected.
macro_rules! nothing_or_refuse {
    () => {
        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            if text.trim().is_empty() { Ok(Self::Value::default()) } else { Err(found(&self, "a string")) }
        }
    };
}

macro_rules! expecting {
    ($what:literal) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str($what)
        }
    };
}

fn found<'de, V: Visitor<'de>, E: Error>(visitor: &V, what: &str) -> E {
    let expected: &dyn serde::de::Expected = visitor;
    E::custom(format_args!("expected {expected}, found {what}"))
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;
    expecting!("a string");
    refuse!(scalars);
    refuse!(list);
    refuse!(object);

    fn visit_unit<E: Error>(self) -> Result<Text<'de>, E> {
        Ok(Text(None))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text((!text.trim().is_empty()).then_some(Cow::Borrowed(text))))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text((!text.trim().is_empty()).then(|| Cow::Owned(text.to_owned()))))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;
    expecting!("an object");
    refuse!(scalars);
    refuse!(list);
    nothing_or_refuse!();

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        let value = T::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Object(Some(value)))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;
    expecting!("an array");
    refuse!(scalars);
    refuse!(object);
    nothing_or_refuse!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Object<T>>()? {
            list.extend(item.0);
        }
        Ok(List(list))
    }
}

struct LooseVisitor;

impl<'de> Visitor<'de> for LooseVisitor {
    type Value = LenientText<'de>;
    expecting!("anything");

    fn visit_unit<E: Error>(self) -> Result<LenientText<'de>, E> {
        Ok(LenientText::default())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<LenientText<'de>, E> {
        Ok(LenientText::default())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<LenientText<'de>, E> {
        Ok(LenientText::default())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<LenientText<'de>, E> {
        Ok(LenientText::default())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<LenientText<'de>, E> {
        Ok(LenientText::default())
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<LenientText<'de>, E> {
        TextVisitor.visit_borrowed_str(text).map(LenientText)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<LenientText<'de>, E> {
        TextVisitor.visit_str(text).map(LenientText)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<LenientText<'de>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(LenientText::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LenientText<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(LenientText::default())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextVisitor)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ObjectVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ListVisitor(PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for LenientText<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(LooseVisitor)
    }
}

impl JsonSchema for Text<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "null"] })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl JsonSchema for LenientText<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Loose".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!(true)
    }

    fn inline_schema() -> bool {
        true
    }
}

/// Schema of an absent value: null or a blank string, wherever a value is optional.
fn nothing() -> Schema {
    json_schema!({ "type": ["null", "string"], "pattern": r"^\s*$" })
}

impl<T: JsonSchema> JsonSchema for Object<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Optional{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [generator.subschema_for::<T>(), nothing()] })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = Object::<T>::json_schema(generator);
        json_schema!({ "anyOf": [{ "type": "array", "items": item }, nothing()] })
    }

    fn inline_schema() -> bool {
        true
    }
}
