//! Selections of dead letters in HTTP requests.

use handoffd_engine::dead_letters::{RunMode, Selection};
use handoffd_engine::workflow::Reason;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::admin::api::Problem;
use crate::admin::api::parameter::{AGO, Parameter, ParameterType, count, expected, in_query, read, time};

/// Highest limit of a list; without a limit it has all entries.
const MAX_LIMIT: usize = 100_000;
const REASON_NAMES: &[&str] = &[
    "invalid_event",
    "unsupported_event",
    "unknown_organization",
    "rejected_by_dynamics",
    "retries_exhausted",
    "delivery_limit",
    "expired",
];

/// Selection as query parameters.
pub(super) const PARAMETERS: &[Parameter] = &[
    in_query("ids", ParameterType::Texts, "Filter by event; repeat the parameter for several."),
    in_query("organization", ParameterType::Text, "Filter by organization."),
    in_query("reason", ParameterType::Word(REASON_NAMES), "Filter by reason."),
    in_query("session", ParameterType::Text, "Filter by session."),
    in_query("after", ParameterType::Time, "Only events failed at or after this time."),
    in_query("before", ParameterType::Time, "Only events failed before this time."),
    in_query("all", ParameterType::Word(&["true", "false"]), "All dead letters; same as no parameters."),
    in_query("limit", ParameterType::Count(MAX_LIMIT), "Maximum number of dead letters, oldest first; default all."),
];

/// Parameters that select how actions respond.
pub(super) const WAIT: &[Parameter] = &[
    in_query("wait", ParameterType::Word(&["true", "false"]), "`false`: respond at once with a job (202)."),
    Parameter {
        name: "Prefer",
        place: crate::admin::api::parameter::ParameterPlace::Header,
        kind: ParameterType::Text,
        about: "`respond-async` (RFC 7240): same as `wait=false`.",
        example: "respond-async",
    },
];

/// Selection of dead letters, and whether to act or only preview. All given criteria must match; at least one must be
/// given.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Selection", transform = something)]
pub struct DeadLetterRequest {
    /// Filter by event.
    #[serde(deserialize_with = "or_default")]
    #[schemars(with = "Option<Vec<String>>")]
    ids: Vec<String>,
    /// Filter by organization.
    organization: Option<String>,
    /// Filter by reason.
    #[schemars(extend("enum" = ["invalid_event", "unsupported_event", "unknown_organization", "rejected_by_dynamics",
        "retries_exhausted", "delivery_limit", "expired", null]))]
    reason: Option<String>,
    /// Filter by session.
    session: Option<String>,
    /// Only events failed before this time: RFC 3339, or an age (`2h`).
    #[schemars(schema_with = "time_schema")]
    before: Option<String>,
    /// Only events failed at or after this time: RFC 3339, or an age.
    #[schemars(schema_with = "time_schema")]
    after: Option<String>,
    /// Selects every dead letter that matches the other criteria.
    #[serde(deserialize_with = "or_default")]
    #[schemars(with = "Option<bool>")]
    all: bool,
    /// Previews the effect and changes nothing.
    #[serde(deserialize_with = "or_default")]
    #[schemars(with = "Option<bool>")]
    dry_run: bool,
}

impl DeadLetterRequest {
    /// Returns the selection; an empty one is refused.
    pub fn selection(&self) -> Result<Selection, Problem> {
        let selection = Selection {
            ids: self.ids.clone(),
            organization: self.organization.clone(),
            reason: self.reason.as_deref().map(reason).transpose()?,
            session: self.session.clone(),
            before: moment("before", self.before.as_deref())?,
            after: moment("after", self.after.as_deref())?,
            all: self.all,
        };
        if selection.is_empty() {
            return Err(Problem::bad_request(
                "specify at least one of `ids`, `organization`, `reason`, `session`, `before`, `after`, or `\"all\": true`"
                    .to_owned(),
            ));
        }
        Ok(selection)
    }

    /// Returns the effect: real, or a preview.
    pub fn effect(&self) -> RunMode {
        if self.dry_run { RunMode::DryRun } else { RunMode::Apply }
    }
}

/// Parses a selection and a limit from a query.
pub(super) fn listed(query: &str) -> Result<(Selection, Option<usize>), Problem> {
    let (mut selection, mut limit) = (Selection::default(), None);
    for (name, value) in read(query, PARAMETERS)? {
        match name {
            "ids" => selection.ids.push(value),
            "organization" => selection.organization = Some(value),
            "reason" => selection.reason = Some(reason(&value)?),
            "session" => selection.session = Some(value),
            "after" => selection.after = Some(time(name, &value)?),
            "before" => selection.before = Some(time(name, &value)?),
            "all" => selection.all = truth(name, &value)?,
            _ => limit = Some(count(name, &value, MAX_LIMIT)?),
        }
    }
    Ok((selection, limit))
}

/// Parses `true` or `false`.
pub(super) fn truth(name: &str, value: &str) -> Result<bool, Problem> {
    value.parse().map_err(|_| expected(name, value, "true or false"))
}

fn reason(value: &str) -> Result<Reason, Problem> {
    let found = Reason::DEAD.into_iter().find(|reason| reason.as_str() == value);
    found.ok_or_else(|| expected("reason", value, &REASON_NAMES.join(", ")))
}

fn moment(name: &str, value: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    value.map(|value| time(name, value)).transpose()
}

fn time_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [
        { "type": "string", "format": "date-time" },
        { "type": "string", "pattern": AGO },
        { "type": "null" },
    ] })
}

/// Marks all properties as optional, but requires at least one criterion.
fn something(schema: &mut Schema) {
    schema.remove("required");
    let given = |name: &str, value: Value| json!({ "required": [name], "properties": { name: value } });
    let mut ways =
        vec![given("ids", json!({ "type": "array", "minItems": 1 })), given("all", json!({ "const": true }))];
    let texts = ["organization", "reason", "session", "before", "after"];
    ways.extend(texts.map(|name| given(name, json!({ "type": "string" }))));
    schema.insert("anyOf".to_owned(), Value::Array(ways));
}

/// Treats `null` as absent.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}
