//! Rows that exist from the start.

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::{Uuid, uuid};

use super::rows::Rows;
use super::schema::Schema;

/// Ids of rows that an organization's configuration may reference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seeds {
    /// `systemusers`
    pub owners: Vec<Uuid>,
    /// `queues`
    pub queues: Vec<Uuid>,
    /// `accounts`
    pub accounts: Vec<Uuid>,
    /// `subjects`
    pub subjects: Vec<Uuid>,
    /// `msdyn_liveworkstreams`
    pub workstreams: Vec<Uuid>,
}

impl Default for Seeds {
    /// Returns the ids of the example organization file.
    fn default() -> Self {
        Self {
            owners: vec![uuid!("33333333-3333-3333-3333-333333333333")],
            queues: vec![uuid!("44444444-4444-4444-4444-444444444444")],
            accounts: vec![uuid!("77777777-7777-7777-7777-777777777777")],
            subjects: vec![uuid!("55555555-5555-5555-5555-555555555555")],
            workstreams: vec![uuid!("66666666-6666-6666-6666-666666666666")],
        }
    }
}

impl Seeds {
    /// Returns seeds without rows.
    pub(super) fn none() -> Self {
        Self {
            owners: Vec::new(),
            queues: Vec::new(),
            accounts: Vec::new(),
            subjects: Vec::new(),
            workstreams: Vec::new(),
        }
    }

    /// Inserts the seeded rows and the application user.
    pub(super) fn insert(&self, schema: &Schema, rows: &mut Rows, application_user: Uuid, now: Timestamp) {
        let mut plant = |set: &str, key: Uuid, values: Value| {
            if let (Some(table), Value::Object(values)) = (schema.table(set), values) {
                rows.put(table, key, values, now);
            }
        };
        let user = json!({"fullname": "# handoffd", "isdisabled": false, "accessmode": 4});
        plant("systemusers", application_user, user);
        for (number, key) in (1..).zip(&self.owners) {
            let owner = json!({"fullname": format!("Owner {number}"), "isdisabled": false, "accessmode": 0});
            plant("systemusers", *key, owner);
        }
        for (number, key) in (1..).zip(&self.queues) {
            plant("queues", *key, json!({"name": format!("Queue {number}")}));
        }
        for (number, key) in (1..).zip(&self.accounts) {
            plant("accounts", *key, json!({"name": format!("Account {number}")}));
        }
        for (number, key) in (1..).zip(&self.subjects) {
            plant("subjects", *key, json!({"title": format!("Subject {number}")}));
        }
        for (number, key) in (1..).zip(&self.workstreams) {
            plant("msdyn_liveworkstreams", *key, json!({"msdyn_name": format!("Workstream {number}")}));
        }
    }
}
