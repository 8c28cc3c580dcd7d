//! Rules that administrators of an environment add: column security, row access, plug-ins.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Effect of column security on the application user.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecuredColumn {
    /// Reads return null; a filter is refused with `0x8004f506`, a value on create with `0x8004f502`.
    Refused,
    /// Reads return null; filters and writes work.
    Hidden,
    /// A column security profile of the application user allows everything.
    Granted,
}

/// Rows that the application user has no right to, as if another business unit owned them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoAccess {
    /// Entity set.
    pub table: String,
    /// Key of one row; every row of the table by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Uuid>,
    /// Rights that are denied; all by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rights: Vec<AccessRight>,
}

/// Right to one row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessRight {
    /// Reading the row.
    Read,
    /// Changing the row.
    Write,
    /// Deleting the row.
    Delete,
    /// Linking other rows to the row.
    AppendTo,
}

/// Plug-in that runs before a row is created, changed or deleted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plugin {
    /// Entity set.
    pub table: String,
    /// Message the plug-in is registered for; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on: Option<PluginMessage>,
    /// Effect of the plug-in.
    pub does: PluginEffect,
}

/// Message that a plug-in is registered for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginMessage {
    /// Creating a row.
    Create,
    /// Changing a row, or closing a case.
    Update,
    /// Deleting a row.
    Delete,
}

/// Effect of a plug-in on a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginEffect {
    /// 400 `0x80040265` with this text.
    Refuse(String),
    /// 500 `0x80040224`, an exception with this text.
    Crash(String),
}

impl NoAccess {
    /// Returns true if the rule denies this right to this row.
    pub(super) fn denies(&self, table: &str, key: Uuid, right: AccessRight) -> bool {
        let row = self.table == table && self.key.is_none_or(|denied| denied == key);
        row && (self.rights.is_empty() || self.rights.contains(&right))
    }
}

impl Plugin {
    /// Returns true if the plug-in runs for this message of this table.
    pub(super) fn runs(&self, table: &str, message: PluginMessage) -> bool {
        self.table == table && self.on.is_none_or(|on| on == message)
    }
}
