//! Request to the Web API, with everything it operates on.

use std::cell::Cell;

use jiff::Timestamp;
use uuid::Uuid;

use super::call::IncomingRequest;
use super::live_settings::LiveSettings;
use super::privileges::{self, PrivilegeVerb};
use super::refusal::Refusal;
use super::row::Row;
use super::rows::Rows;
use super::table::Table;

/// Request and the state it operates on.
pub(super) struct RequestContext<'a> {
    /// Request being answered.
    pub call: &'a IncomingRequest,
    /// Settings and tables of the environment.
    pub live: &'a LiveSettings,
    /// URL of the environment.
    pub base: &'a str,
    /// Caller.
    pub user: Uuid,
    /// Current time of the environment.
    pub now: Timestamp,
    /// Row that the request concerns, once known; reps act on it.
    pub touched: Cell<Option<(&'a Table, Uuid)>>,
    /// Rows of all tables.
    pub rows: &'a mut Rows,
}

impl<'a> RequestContext<'a> {
    /// Returns a table by entity set name.
    pub(super) fn table(&self, set: &str) -> Result<&'a Table, Refusal> {
        self.live.schema.table(set).ok_or_else(|| Refusal::no_table(set))
    }

    /// Returns a row.
    pub(super) fn row(&self, table: &Table, key: Uuid) -> Result<&Row, Refusal> {
        self.rows.row(&table.set, key).ok_or_else(|| Refusal::no_row(table, key))
    }

    /// Refuses an operation for which the user lacks the privilege.
    pub(super) fn require_privilege(&self, verb: PrivilegeVerb, table: &Table) -> Result<(), Refusal> {
        privileges::check(&self.live.settings, self.user, verb, table)
    }

    /// Returns the `@odata.context` of an answer.
    pub(super) fn context(&self, shown: &str) -> String {
        format!("{}/api/data/v9.2/$metadata#{shown}", self.base)
    }

    /// Returns the URL of a row.
    pub(super) fn address(&self, table: &Table, key: Uuid) -> String {
        format!("{}/api/data/v9.2/{}({key})", self.base, table.set)
    }
}
