//! Which dead letters, as an operator says it over HTTP.

use handoffd_engine::dead_letters::{Effect, Selection};
use handoffd_engine::workflow::Reason;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::admin::api::Problem;
use crate::admin::api::parameter::{AGO, Kind, Parameter, count, expected, in_query, read, time};

/// Most entries that a list may be asked to stop at; without a limit it has all.
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

/// A selection in a query.
pub(super) const PARAMETERS: &[Parameter] = &[
    in_query("ids", Kind::Texts, "Of these events; repeated for more than one."),
    in_query("organization", Kind::Text, "Of this organization."),
    in_query("reason", Kind::Word(REASON_NAMES), "Given up for this reason."),
    in_query("session", Kind::Text, "Of this conversation."),
    in_query("after", Kind::Time, "Given up at this time or later."),
    in_query("before", Kind::Time, "Given up before this time."),
    in_query("all", Kind::Word(&["true", "false"]), "All of them, as without any parameter."),
    in_query("limit", Kind::Count(MAX_LIMIT), "So many at most, the oldest; all unless told."),
];

/// How the two that change something answer.
pub(super) const WAIT: &[Parameter] = &[
    in_query("wait", Kind::Word(&["true", "false"]), "`false`: answer at once with a job (202)."),
    Parameter {
        name: "Prefer",
        place: crate::admin::api::parameter::Place::Header,
        kind: Kind::Text,
        about: "`respond-async` (RFC 7240): as `wait=false`.",
        example: "respond-async",
    },
];

/// Which dead letters, and whether it is only said what would happen. Everything that is given must match; something
/// must be given.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Selection", transform = something)]
pub struct Request {
    /// Of these events.
    #[serde(deserialize_with = "or_default")]
    #[schemars(with = "Option<Vec<String>>")]
    ids: Vec<String>,
    /// Of this organization.
    organization: Option<String>,
    /// Given up for this reason.
    #[schemars(extend("enum" = ["invalid_event", "unsupported_event", "unknown_organization", "rejected_by_dynamics",
        "retries_exhausted", "delivery_limit", "expired", null]))]
    reason: Option<String>,
    /// Of this conversation.
    session: Option<String>,
    /// Given up before this time: RFC 3339, or how long ago (`2h`).
    #[schemars(schema_with = "time_schema")]
    before: Option<String>,
    /// Given up at this time or later: RFC 3339, or how long ago.
    #[schemars(schema_with = "time_schema")]
    after: Option<String>,
    /// All of them (that match what else is given).
    #[serde(deserialize_with = "or_default")]
    #[schemars(with = "Option<bool>")]
    all: bool,
    /// Says what would happen, and does nothing.
    #[serde(deserialize_with = "or_default")]
    #[schemars(with = "Option<bool>")]
    dry_run: bool,
}

impl Request {
    /// Which; nothing given at all is a mistake.
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
                "expected to be told which: ids, organization, reason, session, before, after, or \"all\": true"
                    .to_owned(),
            ));
        }
        Ok(selection)
    }

    /// Whether it is done or only said.
    pub fn effect(&self) -> Effect {
        if self.dry_run { Effect::Rehearsed } else { Effect::Real }
    }
}

/// A selection from a query, and how many at most.
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

/// `true` or `false`.
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

/// All of it may be absent, but not all at once: something must say which.
fn something(schema: &mut Schema) {
    schema.remove("required");
    let given = |name: &str, value: Value| json!({ "required": [name], "properties": { name: value } });
    let mut ways =
        vec![given("ids", json!({ "type": "array", "minItems": 1 })), given("all", json!({ "const": true }))];
    let texts = ["organization", "reason", "session", "before", "after"];
    ways.extend(texts.map(|name| given(name, json!({ "type": "string" }))));
    schema.insert("anyOf".to_owned(), Value::Array(ways));
}

/// `null` is as good as absent.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}
