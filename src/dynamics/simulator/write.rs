//! Creating, changing and deleting rows.

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::answer::Answer;
use super::dataverse::Scene;
use super::payload::{self, Changes};
use super::privileges::Verb;
use super::read::{self, Shown};
use super::refusal::Refusal;
use super::rows::Row;
use super::schema::Table;
use super::settings::Customer;
use super::states;

/// POST to a table.
pub(super) fn create(scene: &mut Scene<'_>, table: &Table) -> Result<Answer, Refusal> {
    let shown = Shown::of(scene.call, table)?;
    read::only(scene.call, &["$select"])?;
    let changes = Changes::read(payload::object(scene.call, table)?, table, &scene.live.schema)?;
    let key = changes.key.unwrap_or_else(Uuid::new_v4);
    insert(scene, table, key, changes)?;
    done(scene, table, key, &shown, 201)
}

/// PATCH of a row. Without `If-Match` a row that is not there is created.
pub(super) fn update(scene: &mut Scene<'_>, table: &Table, key: Uuid) -> Result<Answer, Refusal> {
    let shown = Shown::of(scene.call, table)?;
    read::only(scene.call, &["$select"])?;
    let changes = Changes::read(payload::object(scene.call, table)?, table, &scene.live.schema)?;
    let there = scene.row(table, key).map(Row::etag);
    match (&there, scene.call.header("if-match"), scene.call.header("if-none-match")) {
        (Err(missing), Some(_), _) => return Err(missing.clone()),
        (Ok(_), _, Some("*")) => return Err(Refusal::duplicate(scene.live.settings.duplicate_key)),
        (Ok(etag), Some(wanted), _) if wanted != "*" && wanted != etag => {
            let message = "The version of the existing record doesn't match the RowVersion property provided.";
            return Err(Refusal::new(412, "0x80060882", message));
        }
        _ => {}
    }
    if there.is_err() {
        insert(scene, table, key, changes)?;
        return done(scene, table, key, &shown, 201);
    }
    change(scene, table, key, changes)?;
    done(scene, table, key, &shown, 200)
}

/// DELETE of a row.
pub(super) fn delete(scene: &mut Scene<'_>, table: &Table, key: Uuid) -> Result<Answer, Refusal> {
    scene.may(Verb::Delete, table)?;
    scene.row(table, key)?;
    scene.rows.of(table).remove(table, key);
    Ok(Answer::empty())
}

/// A new row.
pub(super) fn insert(scene: &mut Scene<'_>, table: &Table, key: Uuid, changes: Changes) -> Result<(), Refusal> {
    scene.may(Verb::Create, table)?;
    let (mut values, lookups) = linked(scene, table, changes)?;
    if table.set == "incidents" && lookups.get("_customerid_value").is_none_or(Value::is_null) {
        match scene.live.settings.customer {
            Customer::Required => return Err(Refusal::no_customer()),
            Customer::Optional => {}
        }
    }
    states::at_first(table, key, &mut values)?;
    if scene.row(table, key).is_ok() {
        return Err(Refusal::duplicate(scene.live.settings.duplicate_key));
    }
    let now = Value::from(payload::seconds(Timestamp::now()));
    values.insert("createdon".into(), now.clone());
    values.insert("modifiedon".into(), now);
    let user = Value::from(scene.user.to_string());
    for column in ["_ownerid_value", "_createdby_value", "_modifiedby_value"] {
        if table.column(column).is_some() {
            values.insert(column.into(), user.clone());
        }
    }
    if table.set == "incidents" {
        default(&mut values, "ticketnumber", || scene.rows.ticket().into());
        default(&mut values, "prioritycode", || 2.into());
        default(&mut values, "isescalated", || false.into());
    }
    values.extend(lookups);
    computed(table, &mut values);
    scene.rows.of(table).put(table, key, values);
    Ok(())
}

fn change(scene: &mut Scene<'_>, table: &Table, key: Uuid, changes: Changes) -> Result<(), Refusal> {
    scene.may(Verb::Write, table)?;
    let (mut values, lookups) = linked(scene, table, changes)?;
    let row = scene.row(table, key)?;
    states::changed(&scene.live.settings, table, row, &mut values)?;
    let mut whole = row.values.clone();
    values.insert("modifiedon".into(), payload::seconds(Timestamp::now()).into());
    whole.extend(values);
    whole.extend(lookups);
    computed(table, &mut whole);
    scene.rows.of(table).put(table, key, whole);
    Ok(())
}

/// Values by column.
type Values = Map<String, Value>;

/// The answer to a create or update: the row if `Prefer` asks for it, else its address.
fn done(scene: &Scene<'_>, table: &Table, key: Uuid, shown: &Shown, status: u16) -> Result<Answer, Refusal> {
    if scene.call.preference("return").as_deref() == Some("representation") {
        let row = scene.row(table, key)?;
        let body = read::single(scene, table, row, shown);
        let answer = Answer::odata(status, &body).with("etag", row.etag());
        return Ok(answer.with("preference-applied", "return=representation"));
    }
    Ok(Answer::empty().with("odata-entityid", scene.address(table, key)))
}

/// The values, and those of the lookups, once it is sure that every bound row is there.
fn linked(scene: &Scene<'_>, table: &Table, changes: Changes) -> Result<(Values, Values), Refusal> {
    let mut lookups = Map::new();
    if !changes.binds.is_empty() {
        scene.may(Verb::Append, table)?;
    }
    for (link, key) in changes.binds {
        let Some(key) = key else {
            lookups.insert(link.column(), Value::Null);
            continue;
        };
        let target = scene.table(link.target)?;
        scene.may(Verb::AppendTo, target)?;
        let bound = scene.row(target, key)?;
        if link.lookup == "ownerid" && bound.value("isdisabled") == true {
            let message = format!("The specified user(Id = {key}) is disabled. Consider enabling this user.");
            return Err(Refusal::new(403, "0x80040225", message));
        }
        if table.column("objecttypecode").is_some() && link.lookup == "objectid" {
            lookups.insert("objecttypecode".into(), target.logical.clone().into());
        }
        lookups.insert(link.column(), key.to_string().into());
    }
    Ok((changes.values, lookups))
}

/// Columns that follow from others.
fn computed(table: &Table, values: &mut Values) {
    let text = |values: &Values, name: &str| values.get(name).and_then(Value::as_str).map(str::to_owned);
    if table.set == "contacts" {
        let names = ["firstname", "lastname"].map(|name| text(values, name));
        let names: Vec<String> = names.into_iter().flatten().collect();
        values.insert("fullname".into(), names.join(" ").into());
    }
    if table.set == "annotations" {
        let body = text(values, "documentbody").unwrap_or_default();
        let padding = body.bytes().rev().take_while(|byte| *byte == b'=').count();
        values.insert("filesize".into(), (body.len() / 4 * 3 - padding.min(2)).into());
        default(values, "isdocument", || false.into());
    }
}

fn default(values: &mut Map<String, Value>, column: &str, value: impl FnOnce() -> Value) {
    if values.get(column).is_none_or(Value::is_null) {
        values.insert(column.into(), value());
    }
}
