//! Selection of dead letters as an operator gives it to a command, a request or a form. Pure.

use jiff::{Timestamp, Zoned};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::letter_id::is_letter_id;
use super::selection::Selection;
use crate::time_input::{TIME_FORMS, optional_time_schema, parse_time};
use crate::workflow::Reason;

/// Selection of dead letters, and whether to act or only preview. All given criteria must match; at least one must be
/// given.
///
/// White space around a value is not part of it. A blank value is refused: most often it is a variable that is not set,
/// and ignoring it would select too much. Only [`add`](Self::add) leaves it out, because a form sends every field.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Selection", transform = describe)]
pub struct SelectionText {
    /// Filter by dead letter: its `letter_id`.
    #[serde(deserialize_with = "or_default")]
    #[schemars(with = "Option<Vec<String>>")]
    pub letters: Vec<String>,
    /// Filter by event.
    #[serde(deserialize_with = "or_default")]
    #[schemars(with = "Option<Vec<String>>")]
    pub ids: Vec<String>,
    /// Filter by organization.
    pub organization: Option<String>,
    /// Filter by reason.
    pub reason: Option<String>,
    /// Filter by session.
    pub session: Option<String>,
    /// Filter by group: the `group` of a list of groups.
    pub group: Option<String>,
    /// Only events failed before this time: RFC 3339, a date, a local time, or a span before now (`2h`).
    #[schemars(schema_with = "time")]
    pub before: Option<String>,
    /// Only events failed at or after this time: RFC 3339, a date, a local time, or a span before now.
    #[schemars(schema_with = "time")]
    pub after: Option<String>,
    /// Selects every dead letter that matches the other criteria.
    #[serde(deserialize_with = "or_default")]
    #[schemars(with = "Option<bool>")]
    pub all: bool,
    /// Previews the effect and changes nothing.
    #[serde(deserialize_with = "or_default")]
    #[schemars(with = "Option<bool>")]
    pub dry_run: bool,
}

/// Invalid value of a selection.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: found {value:?}, expected {expected}")]
pub struct SelectionError {
    /// Name of the field, as in [`SelectionText`].
    pub field: &'static str,
    /// Value found.
    pub value: String,
    /// Value expected.
    pub expected: String,
}

impl SelectionText {
    /// Adds a value of a query or a form, where a blank value counts as absent. Returns false if no criterion has this
    /// name.
    pub fn add(&mut self, name: &str, value: &str) -> Result<bool, SelectionError> {
        let given = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        match name {
            "letters" | "letter" => self.letters.extend(given),
            "ids" | "id" => self.ids.extend(given),
            "organization" => self.organization = given,
            "reason" => self.reason = given,
            "session" => self.session = given,
            "group" => self.group = given,
            "before" => self.before = given,
            "after" => self.after = given,
            "all" => self.all = given.map_or(Ok(false), |value| truth(&value))?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Adds the id of a dead letter or of an event.
    pub fn add_id(&mut self, id: String) {
        if is_letter_id(id.trim()) {
            self.letters.push(id);
        } else {
            self.ids.push(id);
        }
    }

    /// Returns the selection, with local times in the time zone of `now`.
    pub fn selection(&self, now: &Zoned) -> Result<Selection, SelectionError> {
        Ok(Selection {
            letters: self.letters.iter().map(|id| given("letters", id)).collect::<Result<_, _>>()?,
            ids: self.ids.iter().map(|id| given("ids", id)).collect::<Result<_, _>>()?,
            organization: optional("organization", self.organization.as_ref())?,
            reason: optional("reason", self.reason.as_ref())?.map(|name| reason(&name)).transpose()?,
            session: optional("session", self.session.as_ref())?,
            group: optional("group", self.group.as_ref())?,
            before: moment("before", self.before.as_ref(), now)?,
            after: moment("after", self.after.as_ref(), now)?,
            all: self.all,
        })
    }
}

fn given(field: &'static str, value: &str) -> Result<String, SelectionError> {
    let trimmed = value.trim();
    if trimmed.is_empty() { Err(expected(field, value, "a value")) } else { Ok(trimmed.to_owned()) }
}

fn optional(field: &'static str, value: Option<&String>) -> Result<Option<String>, SelectionError> {
    value.map(|value| given(field, value)).transpose()
}

fn moment(field: &'static str, value: Option<&String>, now: &Zoned) -> Result<Option<Timestamp>, SelectionError> {
    let time = |value: String| parse_time(&value, now).ok_or_else(|| expected(field, &value, TIME_FORMS));
    optional(field, value)?.map(time).transpose()
}

fn reason(value: &str) -> Result<Reason, SelectionError> {
    let found = Reason::DEAD.into_iter().find(|reason| reason.as_str() == value);
    found.ok_or_else(|| expected("reason", value, &Reason::DEAD.map(Reason::as_str).join(", ")))
}

fn truth(value: &str) -> Result<bool, SelectionError> {
    value.parse().map_err(|_| expected("all", value, "true or false"))
}

fn expected(field: &'static str, value: &str, expected: &str) -> SelectionError {
    SelectionError { field, value: value.to_owned(), expected: expected.to_owned() }
}

/// Treats `null` as absent.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

fn time(_: &mut SchemaGenerator) -> Schema {
    optional_time_schema()
}

/// Marks all properties as optional, requires at least one criterion, and refuses blank values.
fn describe(schema: &mut Schema) {
    schema.remove("required");
    let filled = json!({ "type": "string", "pattern": "\\S" });
    let given = |name: &str, value: Value| json!({ "required": [name], "properties": { name: value } });
    let mut ways = vec![given("all", json!({ "const": true }))];
    ways.extend(["letters", "ids"].map(|name| given(name, json!({ "type": "array", "minItems": 1 }))));
    ways.extend(
        ["organization", "reason", "session", "group", "before", "after"]
            .map(|name| given(name, json!({ "type": "string" }))),
    );
    schema.insert("anyOf".to_owned(), Value::Array(ways));
    let Some(properties) = schema.get_mut("properties") else { return };
    for name in ["letters", "ids"] {
        properties[name]["items"] = filled.clone();
    }
    for name in ["organization", "session", "group"] {
        properties[name]["pattern"] = filled["pattern"].clone();
    }
    let names = Reason::DEAD.map(|reason| json!(reason.as_str()));
    properties["reason"]["enum"] = names.into_iter().chain([Value::Null]).collect();
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn now() -> Zoned {
        "2026-11-22T10:15:00Z".parse::<Timestamp>().expect("a test's time is RFC 3339").to_zoned(TimeZone::UTC)
    }

    fn of_query(pairs: &[(&str, &str)]) -> Result<Selection, SelectionError> {
        let mut text = SelectionText::default();
        for (name, value) in pairs {
            assert_eq!(text.add(name, value).map(|known| known || *name == "act"), Ok(true), "{name}");
        }
        text.selection(&now())
    }

    fn of_json(value: Value) -> Result<Selection, String> {
        let text: SelectionText = serde_json::from_value(value).map_err(|error| error.to_string())?;
        text.selection(&now()).map_err(|error| error.to_string())
    }

    /// The criteria that both forms below give.
    fn expected_selection() -> Selection {
        let texts = |texts: [&str; 2]| texts.map(str::to_owned).into_iter().collect();
        Selection {
            letters: texts(["dl_1", "dl_2"]),
            ids: texts(["a", "b&c"]),
            organization: Some("org_acme".to_owned()),
            reason: Some(Reason::DeliveryLimit),
            session: None,
            group: Some("g_1".to_owned()),
            before: "2026-11-22T10:00:00Z".parse().ok(),
            after: "2026-11-22T08:15:00Z".parse().ok(),
            all: true,
        }
    }

    #[test]
    fn a_query_a_form_and_a_json_object_give_the_same_selection() {
        let one = [
            ("group", "g_1"),
            ("reason", "delivery_limit"),
            ("after", "2h"),
            ("before", "2026-11-22T10:00"),
            ("all", "true"),
        ];
        let query =
            [("letters", "dl_1"), ("letters", "dl_2"), ("ids", "a"), ("ids", "b&c"), ("organization", " org_acme ")];
        let form = [("letter", "dl_1"), ("letter", "dl_2"), ("id", "a"), ("id", "b&c"), ("organization", "org_acme")];
        let blank = [("session", ""), ("id", " "), ("act", "replay")];
        assert_eq!(of_query(&[&query[..], &one[..]].concat()), Ok(expected_selection()));
        assert_eq!(of_query(&[&form[..], &one[..], &blank[..]].concat()), Ok(expected_selection()));
        let object = json!({
            "letters": ["dl_1", "dl_2"], "ids": ["a", " b&c"], "organization": " org_acme ", "reason": "delivery_limit",
            "group": "g_1", "session": null, "before": "2026-11-22T10:00", "after": "2h", "all": true, "dry_run": true,
        });
        assert_eq!(of_json(object), Ok(expected_selection()));
        assert!(of_query(&[]).expect("nothing is fine").is_empty());
        assert!(of_json(json!({ "ids": null, "all": null, "dry_run": null })).expect("absent").is_empty());
    }

    #[test]
    fn an_invalid_value_is_refused_with_its_field() {
        let refused = |name, value| of_query(&[(name, value)]).unwrap_err();
        assert_eq!(
            (refused("reason", "no_incident").field, refused("before", "soon").value),
            ("reason", "soon".to_owned())
        );
        assert!(
            refused("after", "yesterday").to_string().starts_with("after: found \"yesterday\", expected an RFC 3339")
        );
        assert_eq!(SelectionText::default().add("all", "yes").unwrap_err().expected, "true or false");
        assert_eq!(SelectionText::default().add("organisation", "x"), Ok(false));
        assert!(of_json(json!({ "organisation": "org_acme", "all": true })).unwrap_err().contains("organisation"));
    }

    #[test]
    fn a_blank_value_is_refused_so_that_an_unset_variable_selects_nothing() {
        for value in [json!({ "ids": [""] }), json!({ "organization": " ", "all": true }), json!({ "before": "" })] {
            assert!(of_json(value.clone()).unwrap_err().contains("expected a value"), "{value}");
        }
    }

    #[test]
    fn an_id_is_recognized_as_a_letters_or_an_events() {
        let mut text = SelectionText::default();
        text.add_id("dl_0123456789abcdef.2".to_owned());
        text.add_id("evt_1".to_owned());
        assert_eq!((text.letters, text.ids), (vec!["dl_0123456789abcdef.2".to_owned()], vec!["evt_1".to_owned()]));
    }
}
