//! Creation, update and deletion of rows.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::answer::SimulatedAnswer;
use super::closing;
use super::context::RequestContext;
use super::guard;
use super::payload::{self, Changes};
use super::privileges::{self, PrivilegeVerb};
use super::queueing;
use super::read::{self, Shown};
use super::refusal::Refusal;
use super::row::Row;
use super::rules::{AccessRight, PluginMessage};
use super::states;
use super::switches::Customer;
use super::table::Table;

/// Answers POST to a table.
pub(super) fn create<'a>(scene: &mut RequestContext<'a>, table: &'a Table) -> Result<SimulatedAnswer, Refusal> {
    let shown = Shown::of(scene.call, table)?;
    read::only(scene.call, &["$select"])?;
    let changes = Changes::read(payload::object(scene.call, table)?, table, &scene.live.schema)?;
    let key = changes.key.unwrap_or_else(Uuid::new_v4);
    insert(scene, table, key, changes)?;
    scene.touched.set(Some((table, key)));
    done(scene, table, key, &shown, 201)
}

/// Answers PATCH of a row. Without `If-Match` a missing row is created.
pub(super) fn update<'a>(
    scene: &mut RequestContext<'a>,
    table: &'a Table,
    key: Uuid,
) -> Result<SimulatedAnswer, Refusal> {
    let shown = Shown::of(scene.call, table)?;
    read::only(scene.call, &["$select"])?;
    let changes = Changes::read(payload::object(scene.call, table)?, table, &scene.live.schema)?;
    let there = scene.row(table, key);
    match (&there, scene.call.header("if-match"), scene.call.header("if-none-match")) {
        (Err(missing), Some(_), _) => return Err(missing.clone()),
        (Ok(_), _, Some("*")) => return Err(Refusal::duplicate(scene.live.settings.duplicate_key)),
        (Ok(row), wanted, _) => matched(row, wanted)?,
        _ => {}
    }
    let is_new = there.is_err();
    if is_new {
        insert(scene, table, key, changes)?;
    } else {
        change(scene, table, key, changes)?;
    }
    scene.touched.set(Some((table, key)));
    done(scene, table, key, &shown, if is_new { 201 } else { 200 })
}

/// Answers DELETE of a row.
pub(super) fn delete<'a>(
    scene: &mut RequestContext<'a>,
    table: &'a Table,
    key: Uuid,
) -> Result<SimulatedAnswer, Refusal> {
    scene.require_privilege(PrivilegeVerb::Delete, table)?;
    let row = guard::accessible(scene, table, key, AccessRight::Delete)?;
    matched(row, scene.call.header("if-match"))?;
    guard::plugins(scene, table, PluginMessage::Delete)?;
    scene.rows.of(table).remove(table, key);
    scene.touched.set(Some((table, key)));
    Ok(SimulatedAnswer::empty())
}

/// Refuses an `If-Match` with the ETag of another version.
fn matched(row: &Row, wanted: Option<&str>) -> Result<(), Refusal> {
    match wanted {
        Some(wanted) if wanted != "*" && wanted != row.etag() => Err(Refusal::changed_meanwhile()),
        _ => Ok(()),
    }
}

/// Inserts a new row.
pub(super) fn insert(
    scene: &mut RequestContext<'_>,
    table: &Table,
    key: Uuid,
    changes: Changes,
) -> Result<(), Refusal> {
    scene.require_privilege(PrivilegeVerb::Create, table)?;
    guard::plugins(scene, table, PluginMessage::Create)?;
    guard::writable(scene, table, &changes, PluginMessage::Create)?;
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
    guard::unique(scene, table, key, &values)?;
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
    let queue = bound_queue(scene, table, &lookups);
    values.extend(lookups);
    computed(table, &mut values);
    if table.set == "annotations" {
        guard::attachment(scene, &values)?;
    }
    scene.rows.put(table, key, values, scene.now);
    queued(scene, table, key, queue);
    Ok(())
}

fn change(scene: &mut RequestContext<'_>, table: &Table, key: Uuid, changes: Changes) -> Result<(), Refusal> {
    scene.require_privilege(PrivilegeVerb::Write, table)?;
    guard::access(scene, table, key, AccessRight::Write)?;
    guard::plugins(scene, table, PluginMessage::Update)?;
    guard::writable(scene, table, &changes, PluginMessage::Update)?;
    let (mut values, lookups) = linked(scene, table, changes)?;
    let row = scene.row(table, key)?;
    let closes = states::resolves(&scene.live.settings, table, row, &values)?;
    if closes {
        closing::check(scene, row)?;
    }
    states::changed(table, row, &mut values)?;
    guard::unique(scene, table, key, &values)?;
    let mut whole = row.values.clone();
    whole.remove("modifiedon");
    whole.extend(values);
    let queue = bound_queue(scene, table, &lookups);
    whole.extend(lookups);
    computed(table, &mut whole);
    if table.set == "annotations" {
        guard::attachment(scene, &whole)?;
    }
    scene.rows.put(table, key, whole, scene.now);
    queued(scene, table, key, queue);
    if closes {
        closing::leave_resolution(scene.rows, &scene.live.schema, key, scene.now);
    }
    Ok(())
}

/// Adds a case to the queue that this request binds. Without a binding the case stays where a rep may have moved it.
fn queued(scene: &mut RequestContext<'_>, table: &Table, key: Uuid, queue: Option<Uuid>) {
    if let Some(queue) = queue {
        queueing::place(scene.rows, &scene.live.schema, (table, key), queue, scene.now);
    }
}

/// Returns the queue among the rows that a request binds.
fn bound_queue(scene: &RequestContext<'_>, table: &Table, lookups: &Values) -> Option<Uuid> {
    let field = scene.live.settings.queue_field.as_ref().filter(|_| table.set == "incidents")?;
    lookups.get(&format!("_{}_value", field.to_lowercase()))?.as_str()?.parse().ok()
}

/// Values by column.
type Values = Map<String, Value>;

/// Returns the answer to a create or update: the row if `Prefer` requests it, else its address.
fn done(
    scene: &RequestContext<'_>,
    table: &Table,
    key: Uuid,
    shown: &Shown,
    status: u16,
) -> Result<SimulatedAnswer, Refusal> {
    if scene.call.preference("return").as_deref() == Some("representation") {
        let row = scene.row(table, key)?;
        let body = read::single(scene, table, row, shown);
        let answer = SimulatedAnswer::odata(status, &body).with("etag", row.etag());
        return Ok(answer.with("preference-applied", "return=representation"));
    }
    Ok(SimulatedAnswer::empty().with("odata-entityid", scene.address(table, key)))
}

/// Returns the values and the lookups after checking that every bound row exists.
fn linked(scene: &RequestContext<'_>, table: &Table, changes: Changes) -> Result<(Values, Values), Refusal> {
    let mut lookups = Map::new();
    if !changes.binds.is_empty() {
        scene.require_privilege(PrivilegeVerb::Append, table)?;
    }
    for (link, key) in changes.binds {
        let Some(key) = key else {
            lookups.insert(link.column(), Value::Null);
            continue;
        };
        let target = scene.table(link.target)?;
        // Naming an owner assigns the row and links nothing.
        let right = if link.lookup == "ownerid" { PrivilegeVerb::Read } else { PrivilegeVerb::AppendTo };
        scene.require_privilege(right, target)?;
        let bound = guard::accessible(scene, target, key, AccessRight::Read)?;
        guard::access(scene, target, key, AccessRight::AppendTo)?;
        if table.set == "incidents" && link.lookup == "customerid" && bound.value("statecode") == 1 {
            return Err(Refusal::inactive_customer());
        }
        if link.lookup == "ownerid" && bound.value("isdisabled") == true {
            let message = format!("The specified user(Id = {key}) is disabled. Consider enabling this user.");
            return Err(Refusal::new(403, "0x80040225", message));
        }
        if link.lookup == "ownerid" {
            privileges::check_owner(&scene.live.settings, scene.user, key, table)?;
        }
        if table.column("objecttypecode").is_some() && link.lookup == "objectid" {
            lookups.insert("objecttypecode".into(), target.logical.clone().into());
        }
        lookups.insert(link.column(), key.to_string().into());
    }
    Ok((changes.values, lookups))
}

/// Sets columns derived from others.
fn computed(table: &Table, values: &mut Values) {
    let text = |values: &Values, name: &str| values.get(name).and_then(Value::as_str).map(str::to_owned);
    if table.set == "contacts" {
        let names = ["firstname", "lastname"].map(|name| text(values, name));
        let names: Vec<String> = names.into_iter().flatten().collect();
        values.insert("fullname".into(), names.join(" ").into());
    }
    if table.set == "annotations" {
        let body = text(values, "documentbody").unwrap_or_default();
        values.insert("filesize".into(), guard::file_size(&body).into());
        default(values, "isdocument", || false.into());
    }
}

fn default(values: &mut Map<String, Value>, column: &str, value: impl FnOnce() -> Value) {
    if values.get(column).is_none_or(Value::is_null) {
        values.insert(column.into(), value());
    }
}
