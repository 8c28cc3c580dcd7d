//! Refusals caused by an administrator's rules: plug-ins, column security, row access, alternate keys, attachments.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::context::RequestContext;
use super::filter::Filter;
use super::payload::Changes;
use super::refusal::Refusal;
use super::row::Row;
use super::rules::{AccessRight, PluginEffect, PluginMessage, SecuredColumn};
use super::table::{Column, Table};

/// Characters not allowed in the file name of a note.
const NOT_IN_FILE_NAMES: [char; 9] = ['\\', '/', ':', '*', '?', '"', '<', '>', '|'];

/// Runs the plug-ins of a table.
pub(super) fn plugins(scene: &RequestContext<'_>, table: &Table, message: PluginMessage) -> Result<(), Refusal> {
    let mut plugins = scene.live.settings.plugins.iter();
    match plugins.find(|plugin| plugin.runs(&table.set, message)).map(|plugin| &plugin.does) {
        Some(PluginEffect::Refuse(text)) => Err(Refusal::new(400, "0x80040265", text.as_str())),
        Some(PluginEffect::Crash(text)) => Err(Refusal::new(
            500,
            "0x80040224",
            format!(
                "An unexpected error occurred from ISV code. (ErrorType = ClientError) Unexpected exception from plug-in \
                 (Execute): Contoso.Plugins.{}Guard: System.InvalidOperationException: {text}",
                table.schema_name
            ),
        )),
        None => Ok(()),
    }
}

/// Returns a row if the user has this right to it.
pub(super) fn accessible<'a>(
    scene: &'a RequestContext<'_>,
    table: &Table,
    key: Uuid,
    right: AccessRight,
) -> Result<&'a Row, Refusal> {
    let row = scene.row(table, key)?;
    access(scene, table, key, right)?;
    Ok(row)
}

/// Refuses access to one row. The message lists counts of roles and privileges although none is missing.
pub(super) fn access(scene: &RequestContext<'_>, table: &Table, key: Uuid, right: AccessRight) -> Result<(), Refusal> {
    if !denied(scene, table, key, right) {
        return Ok(());
    }
    let (user, logical) = (scene.user, &table.logical);
    Err(Refusal::new(
        403,
        "0x80048306",
        format!(
            "Principal user (Id={user}, type=8, roleCount=2, privilegeCount=590, accessMode='4 Non-interactive') does not have \
             {right:?}Access right(s) for record with id {key} of entity {logical}"
        ),
    ))
}

/// Returns true if the application user lacks this right to this row.
pub(super) fn denied(scene: &RequestContext<'_>, table: &Table, key: Uuid, right: AccessRight) -> bool {
    scene.live.settings.no_access.iter().any(|rule| rule.denies(&table.set, key, right))
}

/// Returns the column security rule that restricts the application user.
pub(super) fn secured(scene: &RequestContext<'_>, table: &Table, column: &str) -> Option<SecuredColumn> {
    let columns = &scene.live.settings.secured_columns;
    if columns.is_empty() {
        return None;
    }
    let rule = columns.get(&format!("{}.{column}", table.set)).copied();
    rule.filter(|rule| *rule != SecuredColumn::Granted)
}

/// Refuses a filter or an order that uses a column the application user can't read.
pub(super) fn readable<'a>(
    scene: &RequestContext<'_>,
    table: &Table,
    filter: Option<&Filter>,
    order: impl Iterator<Item = &'a str>,
) -> Result<(), Refusal> {
    let mut names: Vec<&str> = order.collect();
    if let Some(filter) = filter {
        filter.columns(&mut names);
    }
    let columns = names.into_iter().filter_map(|name| table.queried(name));
    match columns.into_iter().find(|column| is_refused(scene, table, column)) {
        Some(column) => Err(no_permission(scene, table, &column.name, "0x8004f506", "read")),
        None => Ok(()),
    }
}

/// Refuses values for columns the application user can't write. No public source documents the code for an update.
pub(super) fn writable(
    scene: &RequestContext<'_>,
    table: &Table,
    changes: &Changes,
    message: PluginMessage,
) -> Result<(), Refusal> {
    let columns = changes.values.keys().filter_map(|name| table.column(name));
    match columns.into_iter().find(|column| is_refused(scene, table, column)) {
        Some(column) if message == PluginMessage::Create => {
            Err(no_permission(scene, table, &column.name, "0x8004f502", "create"))
        }
        Some(column) => Err(no_permission(scene, table, &column.name, "0x8004f504", "update")),
        None => Ok(()),
    }
}

fn is_refused(scene: &RequestContext<'_>, table: &Table, column: &Column) -> bool {
    secured(scene, table, &column.name) == Some(SecuredColumn::Refused)
}

fn no_permission(scene: &RequestContext<'_>, table: &Table, column: &str, code: &str, verb: &str) -> Refusal {
    let (user, logical) = (scene.user, &table.logical);
    let message = format!(
        "Caller user with Id {user} does not have {verb} permissions to the attribute {column} of entity {logical}, which is \
         secured."
    );
    Refusal::new(403, code, message)
}

/// Refuses a value of an alternate key that another row already has.
pub(super) fn unique(
    scene: &RequestContext<'_>,
    table: &Table,
    key: Uuid,
    values: &Map<String, Value>,
) -> Result<(), Refusal> {
    let columns = scene.live.settings.alternate_keys.get(&table.set).into_iter().flatten();
    for column in columns {
        let value = values.get(column).filter(|value| !value.is_null());
        let Some(value) = value else { continue };
        let same = |row: &&Row| row.key != key && folded(row.value(column)) == folded(value);
        if scene.rows.at(&table.set).is_some_and(|rows| rows.iter().any(|row| same(&row))) {
            return Err(Refusal::new(
                412,
                "0x80060892",
                format!(
                    "Entity Key {column} violated. A record with the same value for {column} already exists. A duplicate \
                     record cannot be created. Select one or more unique values and try again."
                ),
            ));
        }
    }
    Ok(())
}

/// Normalizes a value as Dataverse compares: case-insensitively.
fn folded(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_lowercase)
}

/// Refuses an attachment because of its file name, type or size; `values` are those of a note.
pub(super) fn attachment(scene: &RequestContext<'_>, values: &Map<String, Value>) -> Result<(), Refusal> {
    let text = |column: &str| values.get(column).and_then(Value::as_str);
    let name = text("filename").unwrap_or_default();
    if name.contains(NOT_IN_FILE_NAMES) || name.contains(char::is_control) {
        let message = "Attachment file name contains invalid characters.";
        return Err(Refusal::new(400, "0x80044a08", message));
    }
    let Some(body) = text("documentbody") else { return Ok(()) };
    let settings = &scene.live.settings;
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let is_blocked = |blocked: &String| blocked == "*" || blocked.eq_ignore_ascii_case(extension);
    if settings.blocked_attachments.iter().any(is_blocked) || file_size(body) > settings.attachment_limit {
        let message = "The attachment is either not a valid type or is too large. It cannot be uploaded or downloaded.";
        return Err(Refusal::new(400, "0x80043e09", message));
    }
    Ok(())
}

/// Returns the size in bytes of a Base64-encoded file.
pub(super) fn file_size(base64: &str) -> usize {
    let padding = base64.bytes().rev().take_while(|byte| *byte == b'=').count();
    (base64.len() / 4 * 3).saturating_sub(padding.min(2))
}
