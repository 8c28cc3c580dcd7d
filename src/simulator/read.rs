//! GET of one row or one of its columns, and serialization of rows.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::SimulatedAnswer;
use super::call::IncomingRequest;
use super::context::RequestContext;
use super::guard;
use super::refusal::Refusal;
use super::row::Row;
use super::rules::AccessRight;
use super::table::{Column, ColumnKind, Table};

/// Columns included in an answer.
#[derive(Debug)]
pub(super) enum Shown {
    /// All columns.
    All,
    /// Columns named by `$select`, and the key.
    Some(Vec<String>),
}

/// Answers with one row.
pub(super) fn row<'a>(scene: &RequestContext<'a>, table: &'a Table, key: Uuid) -> Result<SimulatedAnswer, Refusal> {
    let shown = Shown::of(scene.call, table)?;
    only(scene.call, &["$select"])?;
    let row = guard::accessible(scene, table, key, AccessRight::Read)?;
    scene.touched.set(Some((table, key)));
    Ok(SimulatedAnswer::odata(200, &single(scene, table, row, &shown)).with("etag", row.etag()))
}

/// Answers with one column of one row.
pub(super) fn property(
    scene: &RequestContext<'_>,
    table: &Table,
    key: Uuid,
    name: &str,
) -> Result<SimulatedAnswer, Refusal> {
    let row = guard::accessible(scene, table, key, AccessRight::Read)?;
    let column = table.queried(name).ok_or_else(|| Refusal::no_table(name))?;
    match row.value(&column.name) {
        _ if guard::secured(scene, table, &column.name).is_some() => Ok(SimulatedAnswer::empty()),
        Value::Null => Ok(SimulatedAnswer::empty()),
        value => {
            let context = scene.context(&format!("{}({key})/{name}", table.set));
            Ok(SimulatedAnswer::odata(200, &json!({"@odata.context": context, "value": value})))
        }
    }
}

/// Returns a row as a complete answer.
pub(super) fn single(scene: &RequestContext<'_>, table: &Table, row: &Row, shown: &Shown) -> Value {
    let context = scene.context(&format!("{}{}/$entity", table.set, shown.context()));
    let mut body = Map::new();
    body.insert("@odata.context".into(), context.into());
    body.extend(element(scene, table, row, shown));
    Value::Object(body)
}

/// Returns a row as an element of an answer: every selected column, null if it has no value.
pub(super) fn element(scene: &RequestContext<'_>, table: &Table, row: &Row, shown: &Shown) -> Map<String, Value> {
    let annotated = scene.call.preference("odata.include-annotations").is_some();
    let mut body = Map::new();
    body.insert("@odata.etag".into(), row.etag().into());
    for column in table.columns.iter().filter(|column| shown.shows(table, &column.name)) {
        if annotated && let Some(target) = target(scene, table, column, row) {
            let name = format!("{}@Microsoft.Dynamics.CRM.lookuplogicalname", column.name);
            body.insert(name, target.into());
        }
        let value = match column.name.as_str() {
            "versionnumber" => row.version.into(),
            name if guard::secured(scene, table, name).is_some() => Value::Null,
            name => row.value(name).clone(),
        };
        body.insert(column.name.clone(), value);
    }
    body
}

/// Refuses system query options other than these instead of ignoring them.
pub(super) fn only(call: &IncomingRequest, known: &[&str]) -> Result<(), Refusal> {
    let mut options = call.query.iter().map(|(name, _)| name);
    match options.find(|name| name.starts_with('$') && !known.contains(&name.as_str())) {
        Some(name) => Err(Refusal::not_simulated(&format!("the query option '{name}' here"))),
        None => Ok(()),
    }
}

impl Shown {
    /// Parses `$select`.
    pub(super) fn of(call: &IncomingRequest, table: &Table) -> Result<Self, Refusal> {
        let Some(select) = call.option("$select") else {
            return Ok(Self::All);
        };
        if select.trim() == "*" {
            return Ok(Self::All);
        }
        let names = select.split(',').map(|name| {
            let name = name.trim();
            let column = table.queried(name).ok_or_else(|| Refusal::no_property(table, name))?;
            Ok(column.name.clone())
        });
        Ok(Self::Some(names.collect::<Result<_, Refusal>>()?))
    }

    fn shows(&self, table: &Table, column: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(names) => column == table.key || names.iter().any(|name| name == column),
        }
    }

    /// Returns the selection in the notation of `@odata.context`.
    pub(super) fn context(&self) -> String {
        match self {
            Self::All => String::new(),
            Self::Some(names) => format!("({})", names.join(",")),
        }
    }
}

/// Returns the logical name of the table that a lookup refers to.
fn target(scene: &RequestContext<'_>, table: &Table, column: &Column, row: &Row) -> Option<String> {
    let key = (column.kind == ColumnKind::Lookup).then(|| row.lookup(&column.name))??;
    let mut links = table.links.iter().filter(|link| column.name == link.column());
    let link = links.find(|link| scene.rows.row(link.target, key).is_some())?;
    Some(scene.live.schema.table(link.target)?.logical.clone())
}
