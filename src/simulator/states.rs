//! `statecode` and `statuscode`: valid combinations, and rules for setting them.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::refusal::Refusal;
use super::row::Row;
use super::settings::EnvironmentSettings;
use super::switches::Resolving;
use super::table::{ColumnKind, Table};

/// `statecode` of a resolved incident.
pub(super) const RESOLVED: i64 = 1;

/// Sets the state of a new row. The state can't be chosen; the status must belong to the first state.
pub(super) fn at_first(table: &Table, key: Uuid, values: &mut Map<String, Value>) -> Result<(), Refusal> {
    let Some((state, label, statuses)) = states(table).first() else {
        return Ok(());
    };
    if values.contains_key("statecode") {
        let message =
            "State code is invalid or state code is valid but status code is invalid for a specified state code.";
        return Err(Refusal::new(400, "0x80048408", message));
    }
    values.insert("statecode".into(), (*state).into());
    match values.get("statuscode").and_then(Value::as_i64) {
        Some(status) if statuses.contains(&status) => Ok(()),
        Some(status) => Err(Refusal::bad_state(table, key, status, label)),
        None => {
            values.insert("statuscode".into(), statuses.first().copied().into());
            Ok(())
        }
    }
}

/// Returns true if a change resolves a case. Refused if only the action may do so.
pub(super) fn resolves(
    settings: &EnvironmentSettings,
    table: &Table,
    row: &Row,
    values: &Map<String, Value>,
) -> Result<bool, Refusal> {
    if table.set != "incidents" || values.get("statecode").and_then(Value::as_i64) != Some(RESOLVED) {
        return Ok(false);
    }
    if settings.resolving == Resolving::Refused {
        return Err(needs_the_action());
    }
    let is_resolved = row.value("statecode") == RESOLVED;
    Ok(!is_resolved || settings.already_resolved.is_some())
}

/// Validates the state of a changed row. A state without a status gets its first status.
pub(super) fn changed(table: &Table, row: &Row, values: &mut Map<String, Value>) -> Result<(), Refusal> {
    if !values.contains_key("statecode") && !values.contains_key("statuscode") {
        return Ok(());
    }
    let number = |values: &Map<String, Value>, name: &str| values.get(name).and_then(Value::as_i64);
    let before = number(&row.values, "statecode");
    let wanted = number(values, "statecode").or(before).unwrap_or_default();
    let Some((state, label, statuses)) = states(table).iter().find(|(state, ..)| *state == wanted) else {
        return Ok(());
    };
    let kept = number(&row.values, "statuscode").filter(|_| before == Some(*state));
    let status = number(values, "statuscode").or(kept).or(statuses.first().copied()).unwrap_or_default();
    if !statuses.contains(&status) {
        return Err(Refusal::bad_state(table, row.key, status, label));
    }
    values.insert("statecode".into(), (*state).into());
    values.insert("statuscode".into(), status.into());
    Ok(())
}

/// Returns the columns that the system sets in every new row: the first state with its first status, and `merged`.
pub(super) fn initial_columns(table: &Table) -> Vec<(&'static str, Value)> {
    let mut columns = Vec::new();
    if let Some((state, _, statuses)) = states(table).first() {
        columns.push(("statecode", (*state).into()));
        columns.push(("statuscode", statuses.first().copied().into()));
    }
    if table.column("merged").is_some() {
        columns.push(("merged", false.into()));
    }
    columns
}

/// Returns the states of a table, each with its label and its statuses.
pub(super) fn states(table: &Table) -> &[(i64, &'static str, Vec<i64>)] {
    match table.column("statecode").map(|column| &column.kind) {
        Some(ColumnKind::State(states)) => states,
        _ => &[],
    }
}

fn needs_the_action() -> Refusal {
    Refusal::new(
        400,
        "0x80040203",
        "This message can not be used to set the state of incident to Resolved. In order to set state of incident to Resolved, \
         use the CloseIncidentRequest message instead.",
    )
}
