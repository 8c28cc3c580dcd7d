//! A rep in Dynamics: what makes them act, what they do, and how the rows look afterwards.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::closing::{self, CANCELLED, VOID, object};
use super::queueing;
use super::rows::Rows;
use super::schema::{Schema, Table};
use super::states::RESOLVED;

/// A rep who acts on a row once a request has had its effect, whatever becomes of the answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepScript {
    /// The request they act upon, as for faults (`incidents.create`, `CloseIncident`, `*.read`); without one they act now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Only requests whose URL or body contains this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containing: Option<String>,
    /// How often, 1 when left out; null is for ever.
    #[serde(default = "super::faults::once")]
    pub times: Option<u64>,
    /// So many requests that match pass without them.
    #[serde(default)]
    pub skip: u64,
    /// How long after the request's effect; 0 is before any other request.
    #[serde(default)]
    pub after_ms: u64,
    /// Entity set of the row they act on, with `key`; the request's own row when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The row they act on, with `table`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Uuid>,
    /// What they do.
    pub does: RepAction,
}

/// What a rep does. What is done to contacts is done to a case's customer when the row is a case.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RepAction {
    /// Changes these columns; none at all is a save without a change.
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

/// One action of a rep.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RepActed {
    /// When, by the environment's clock.
    pub at: Timestamp,
    /// Entity set of the row.
    pub table: String,
    /// The row.
    pub key: Uuid,
    /// What they did.
    pub does: RepAction,
    /// Whether there was such a row to do it to.
    pub done: bool,
}

/// The rows of an environment, at one moment.
pub(super) struct Desktop<'a> {
    pub rows: &'a mut Rows,
    pub schema: &'a Schema,
    pub now: Timestamp,
}

impl Desktop<'_> {
    /// Does it to a row. A row that is not there, or that it does not suit, stays as it is.
    pub(super) fn act(&mut self, set: &str, key: Uuid, does: &RepAction) -> RepActed {
        let (set, key) = self.concerned(set, key, does).unwrap_or_else(|| (set.to_owned(), key));
        let table = self.schema.table(&set).filter(|_| self.rows.row(&set, key).is_some());
        let done = table.and_then(|table| self.change(table, key, does)).is_some();
        RepActed { at: self.now, table: set, key, does: does.clone(), done }
    }

    /// A case's customer stands in for the case where only a contact makes sense.
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
