//! Request bodies, validated against their tables.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::call::IncomingRequest;
use super::literal;
use super::refusal::Refusal;
use super::schema::Schema;
use super::table::{Column, ColumnKind, Navigation, Table, Written};

/// Changes requested by a body.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Primary key in the body.
    pub key: Option<Uuid>,
    /// Values by column.
    pub values: Map<String, Value>,
    /// Lookups to set: the link of the navigation property, and the row; `None` clears the lookup.
    pub binds: Vec<(Navigation, Option<Uuid>)>,
}

/// Returns the JSON object of a body; `table` is named in error texts.
pub(super) fn object(call: &IncomingRequest, table: &Table) -> Result<Map<String, Value>, Refusal> {
    let Some(content_type) = call.header("content-type") else {
        let problem = "A missing or empty content type header was found when trying to read a message. The content type \
                       header is required.";
        return Err(Refusal::new(400, "0x0", problem));
    };
    if !content_type.to_ascii_lowercase().starts_with("application/json") {
        let problem = format!("The content type '{content_type}' is not supported; expected 'application/json'.");
        return Err(Refusal::new(415, "0x0", problem));
    }
    match serde_json::from_slice(&call.body) {
        Ok(Value::Object(body)) => Ok(body),
        Ok(_) => Err(Refusal::payload(table, "An unexpected node was found when reading; a JSON object is expected.")),
        Err(error) => Err(Refusal::payload(table, &format!("Invalid JSON. {error}"))),
    }
}

impl Changes {
    /// Parses a body. Existence of the bound rows is checked later.
    pub(super) fn read(body: Map<String, Value>, table: &Table, schema: &Schema) -> Result<Self, Refusal> {
        let mut changes = Self::default();
        for (name, value) in body {
            if let Some(navigation) = name.strip_suffix("@odata.bind") {
                changes.binds.push(bind(navigation, &value, table, schema)?);
            } else if !name.contains('@') {
                changes.take(name, value, table)?;
            }
        }
        Ok(changes)
    }

    fn take(&mut self, name: String, value: Value, table: &Table) -> Result<(), Refusal> {
        if table.link(&name).is_some() && value.is_object() {
            return Err(Refusal::not_simulated("deep inserts"));
        }
        let column = table.column(&name).ok_or_else(|| Refusal::invalid_property(table, &name))?;
        match (&column.kind, column.written) {
            (_, Written::BySystem) => {}
            (ColumnKind::Lookup, _) => {
                let problem = "CRM do not support direct update of Entity Reference properties, Use Navigation properties \
                               instead.";
                return Err(Refusal::new(400, "0x80048d19", problem));
            }
            (ColumnKind::Key, _) => self.key = Some(guid(&value, table)?),
            _ => {
                self.values.insert(name, checked(value, column, table)?);
            }
        }
        Ok(())
    }
}

fn bind(
    navigation: &str,
    value: &Value,
    table: &Table,
    schema: &Schema,
) -> Result<(Navigation, Option<Uuid>), Refusal> {
    let link = table.link(navigation).ok_or_else(|| Refusal::undeclared(table, navigation))?;
    let text = match value {
        Value::Null => return Ok((link.clone(), None)),
        Value::String(text) => text,
        _ => {
            let problem = format!("The value of '{navigation}@odata.bind' must be a string.");
            return Err(Refusal::payload(table, &problem));
        }
    };
    let path = text.split_once("/api/data/v9.2/").map_or(text.as_str(), |(_, path)| path);
    let path = path.strip_prefix('/').unwrap_or(path);
    let parsed = path.strip_suffix(')').and_then(|path| path.split_once('('));
    let Some((set, Ok(key))) = parsed.map(|(set, key)| (set, Uuid::try_parse(key))) else {
        let problem = format!("The URI '{text}' of '{navigation}@odata.bind' is no entity reference.");
        return Err(Refusal::payload(table, &problem));
    };
    if schema.table(set).is_none() {
        return Err(Refusal::no_table(set));
    }
    if set != link.target {
        let problem = format!(
            "The navigation property '{navigation}' of '{}' takes rows of '{}', not of '{set}'.",
            table.logical, link.target
        );
        return Err(Refusal::payload(table, &problem));
    }
    Ok((link.clone(), Some(key)))
}

/// Validates a value and returns it as stored.
fn checked(value: Value, column: &Column, table: &Table) -> Result<Value, Refusal> {
    let name = &column.name;
    match (&column.kind, &value) {
        (_, Value::Null) | (ColumnKind::Flag, Value::Bool(_)) | (ColumnKind::Open, Value::Object(_)) => Ok(value),
        (ColumnKind::Text(limit) | ColumnKind::Memo(limit), Value::String(text)) => {
            if text.encode_utf16().count() > *limit {
                return Err(Refusal::too_long(table, name, *limit));
            }
            Ok(value)
        }
        (ColumnKind::Time, Value::String(text)) => {
            let time = literal::time(text).ok_or_else(|| mistyped(&value, column, table))?;
            Ok(seconds(time).into())
        }
        (ColumnKind::File, Value::String(text)) => match STANDARD.decode(text) {
            Ok(_) => Ok(value),
            Err(_) => Err(Refusal::new(400, "0x80040203", "Invalid character in a Base-64 string.")),
        },
        (kind, Value::Number(number)) => {
            let number = number.as_i64().ok_or_else(|| mistyped(&value, column, table))?;
            whole(number, kind, column, table)?;
            Ok(value)
        }
        _ => Err(mistyped(&value, column, table)),
    }
}

fn whole(number: i64, kind: &ColumnKind, column: &Column, table: &Table) -> Result<(), Refusal> {
    let allowed: Vec<i64> = match kind {
        ColumnKind::Choice(options) => options.iter().map(|(value, _)| *value).collect(),
        ColumnKind::State(states) => states.iter().map(|(value, ..)| *value).collect(),
        ColumnKind::Status => return Ok(()),
        ColumnKind::Whole(least, most) if (*least..=*most).contains(&number) => return Ok(()),
        ColumnKind::Whole(..) => {
            let name = &column.name;
            let problem =
                format!("A validation error occurred. The value {number} of '{name}' is outside the valid range.");
            return Err(Refusal::new(400, "0x80044330", problem));
        }
        _ => return Err(mistyped(&number.into(), column, table)),
    };
    if allowed.contains(&number) {
        return Ok(());
    }
    Err(Refusal::no_option(table, &column.name, number, &allowed))
}

fn guid(value: &Value, table: &Table) -> Result<Uuid, Refusal> {
    let guid = value.as_str().filter(|text| text.len() == 36).and_then(|text| text.parse().ok());
    guid.ok_or_else(|| {
        let problem = format!("Cannot convert the literal '{}' to the expected type 'Edm.Guid'.", shown(value));
        Refusal::payload(table, &problem)
    })
}

fn mistyped(value: &Value, column: &Column, table: &Table) -> Refusal {
    let (name, edm) = (&column.name, column.kind.edm());
    let problem =
        format!("Cannot convert the literal '{}' to the expected type '{edm}'. (property '{name}')", shown(value));
    Refusal::payload(table, &problem)
}

/// Formats a value for an error text.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(_) => "{…}".into(),
        Value::Array(_) => "[…]".into(),
        other => other.to_string(),
    }
}

/// Truncates a time to whole seconds, as Dataverse stores it.
pub(super) fn seconds(time: jiff::Timestamp) -> String {
    let whole = jiff::Timestamp::from_second(time.as_second()).unwrap_or(time);
    whole.to_string()
}
