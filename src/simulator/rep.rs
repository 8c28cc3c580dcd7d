//! Simulated reps: their scripts, their actions and the resulting rows.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::closing::{self, CANCELLED, VOID, object};
use super::queueing;
use super::rows::Rows;
use super::schema::Schema;
use super::states::RESOLVED;
use super::table::Table;

/// Script of a rep who acts on a row after a request has taken effect, regardless of what happens to the answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepScript {
    /// Operation that triggers the rep, as for faults (`incidents.create`, `CloseIncident`, `*.read`); at once if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Text that the request's URL or body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containing: Option<String>,
    /// Number of times the rep acts; 1 by default, null for no limit.
    #[serde(default = "super::faults::once")]
    pub times: Option<u64>,
    /// Number of matching requests to skip first.
    #[serde(default)]
    pub skip: u64,
    /// Delay after the request's effect in milliseconds; with 0 the rep acts before any other request.
    #[serde(default)]
    pub after_ms: u64,
    /// Entity set of the row to act on, together with `key`; the request's own row by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Row to act on, together with `table`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Uuid>,
    /// Action of the rep.
    pub does: RepAction,
}

/// Action of a rep. Actions on contacts apply to a case's customer if the row is a case.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepAction {
    /// Changes these columns; an empty set saves the row unchanged.
    Edit(Map<String, Value>),
    /// Moves the case into this queue.
    Move(Uuid),
    /// Resolves the case.
    Resolve,
    /// Cancels the case.
    Cancel,
    /// Makes the case active again.
    Reopen,
    /// Deactivates the contact, or the row of any other table.
    Deactivate,
    /// Activates the contact, or the row of any other table.
    Activate,
    /// Merges the contact into this one, which takes over its cases.
    Merge(Uuid),
    /// Deletes the row.
    Delete,
}

/// Action performed by a rep.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RepActionRecord {
    /// Time by the environment's clock.
    pub at: Timestamp,
    /// Entity set of the row.
    pub table: String,
    /// Key of the row.
    pub key: Uuid,
    /// Action.
    pub does: RepAction,
    /// False if no such row existed or the action did not apply to it.
    pub done: bool,
}

/// Rows of an environment at one moment.
pub(super) struct RepSession<'a> {
    pub rows: &'a mut Rows,
    pub schema: &'a Schema,
    pub now: Timestamp,
}

impl RepSession<'_> {
    /// Performs an action on a row. A missing row, or one the action does not apply to, is left unchanged.
    pub(super) fn act(&mut self, set: &str, key: Uuid, does: &RepAction) -> RepActionRecord {
        let (set, key) = self.concerned(set, key, does).unwrap_or_else(|| (set.to_owned(), key));
        let table = self.schema.table(&set).filter(|_| self.rows.row(&set, key).is_some());
        let done = table.and_then(|table| self.change(table, key, does)).is_some();
        RepActionRecord { at: self.now, table: set, key, does: does.clone(), done }
    }

    /// Returns the customer of a case if the action applies only to contacts.
    fn concerned(&self, set: &str, key: Uuid, does: &RepAction) -> Option<(String, Uuid)> {
        let of_contacts = matches!(does, RepAction::Deactivate | RepAction::Activate | RepAction::Merge(_));
        let customer = self.rows.row(set, key)?.lookup("_customerid_value");
        customer.filter(|_| of_contacts && set == "incidents").map(|contact| ("contacts".to_owned(), contact))
    }

    fn change(&mut self, table: &Table, key: Uuid, does: &RepAction) -> Option<()> {
        let is_case = table.set == "incidents";
        match does {
            RepAction::Edit(values) => self.put(table, key, values.clone()),
            RepAction::Move(queue) => {
                queueing::place(self.rows, self.schema, (table, key), *queue, self.now)?;
            }
            RepAction::Resolve if is_case => {
                self.put(table, key, state(RESOLVED, 5));
                closing::leave_resolution(self.rows, self.schema, key, self.now);
            }
            RepAction::Cancel if is_case => self.put(table, key, state(CANCELLED, 6)),
            RepAction::Reopen if is_case => self.reopen(table, key),
            RepAction::Deactivate => self.put(table, key, state(1, 2)),
            RepAction::Activate => self.put(table, key, state(0, 1)),
            RepAction::Merge(survivor) if table.set == "contacts" => self.merge(table, key, *survivor),
            RepAction::Delete => drop(self.rows.of(table).remove(table, key)),
            _ => return None,
        }
        Some(())
    }

    fn reopen(&mut self, table: &Table, key: Uuid) {
        self.put(table, key, state(0, 1));
        if let Some(resolutions) = self.schema.table("incidentresolutions") {
            closing::complete(self.rows, resolutions, key, self.now, VOID);
        }
    }

    fn merge(&mut self, contacts: &Table, key: Uuid, survivor: Uuid) {
        let mut merged = state(1, 2);
        merged.insert("merged".into(), true.into());
        merged.insert("_masterid_value".into(), survivor.to_string().into());
        self.put(contacts, key, merged);
        let Some(cases) = self.schema.table("incidents") else { return };
        let loser = Value::from(key.to_string());
        let of_loser = self.rows.of(cases).iter().filter(|case| *case.value("_customerid_value") == loser);
        let of_loser: Vec<Uuid> = of_loser.map(|case| case.key).collect();
        for case in of_loser {
            self.put(cases, case, object(json!({"_customerid_value": survivor})));
        }
    }

    fn put(&mut self, table: &Table, key: Uuid, mut values: Map<String, Value>) {
        if table.column("_modifiedby_value").is_some() {
            let rep = Uuid::new_v5(&Uuid::NAMESPACE_OID, b"rep");
            values.entry("_modifiedby_value").or_insert(rep.to_string().into());
        }
        self.rows.put(table, key, values, self.now);
    }
}

fn state(state: i64, status: i64) -> Map<String, Value> {
    object(json!({"statecode": state, "statuscode": status}))
}
