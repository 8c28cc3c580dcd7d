//! Resolution of cases: conditions for refusal, and the case resolution row that results.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::context::RequestContext;
use super::refusal::Refusal;
use super::row::Row;
use super::rows::Rows;
use super::schema::Schema;
use super::states::RESOLVED;
use super::table::Table;

/// `statecode` of a case that is cancelled or merged into another.
pub(super) const CANCELLED: i64 = 2;

/// Refuses to resolve a case that is not active, or that has open child cases or activities.
pub(super) fn check(scene: &RequestContext<'_>, case: &Row) -> Result<(), Refusal> {
    let state = case.value("statecode").as_i64().unwrap_or_default();
    if state == RESOLVED {
        let code = scene.live.settings.already_resolved.as_deref();
        return Err(Refusal::resolved_already(code.unwrap_or("0x800404cf")));
    }
    if state != 0 {
        let message = "This case can't be resolved because it is inactive.";
        return Err(Refusal::new(400, "0x80040230", message));
    }
    if scene.live.settings.open_activities.contains(&case.key) || has_open_children(scene.rows, case.key) {
        let message = "This case can't be resolved because it has open child cases or open activities.";
        return Err(Refusal::new(400, "0x8004440a", message));
    }
    Ok(())
}

fn has_open_children(rows: &Rows, case: Uuid) -> bool {
    let case = Value::from(case.to_string());
    let is_open_child = |row: &Row| *row.value("_parentcaseid_value") == case && row.value("statecode") == 0;
    rows.at("incidents").is_some_and(|cases| cases.iter().any(is_open_child))
}

/// Creates the case resolution that Dataverse writes when a case is resolved without the `CloseIncident` action.
pub(super) fn leave_resolution(rows: &mut Rows, schema: &Schema, case: Uuid, now: Timestamp) {
    let Some(resolutions) = schema.table("incidentresolutions") else { return };
    let row = json!({"subject": "Problem Solved", "_incidentid_value": case});
    rows.put(resolutions, Uuid::new_v4(), object(row), now);
    complete(rows, resolutions, case, now, COMPLETED);
}

/// State and status of a case resolution in effect.
pub(super) const COMPLETED: (i64, i64) = (1, 2);
/// State and status of the case resolution of a reopened case.
pub(super) const VOID: (i64, i64) = (2, 3);

/// Sets the state of all case resolutions of a case that are not void.
pub(super) fn complete(rows: &mut Rows, resolutions: &Table, case: Uuid, now: Timestamp, (state, status): (i64, i64)) {
    let found = rows.of(resolutions).with_text(resolutions, "_incidentid_value", &case.to_string());
    let found = found.unwrap_or_default().into_iter().filter(|row| row.value("statecode") != VOID.0);
    let keys: Vec<Uuid> = found.map(|row| row.key).collect();
    for key in keys {
        rows.put(resolutions, key, object(json!({"statecode": state, "statuscode": status})), now);
    }
}

/// Returns the members of a JSON object.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
