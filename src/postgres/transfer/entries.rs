//! Entries of rows.

use std::time::Duration;

use handoffd_engine::event::{ContactId, EventId, EventKey, OrganizationId};
use handoffd_engine::ports::store::StoreError;
use handoffd_engine::ports::store::portable::PortableEntry;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use crate::postgres::errors::unreadable;
use crate::postgres::{keys, read, rows};

/// Longest wait for an answer.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

/// Name of the moved data in errors.
pub(super) const ENTRIES: &str = "entries to move";

/// Columns that [`event`] reads.
pub(super) const EVENT: &str = "id, organization, event, record";
/// Columns that [`session`] reads.
pub(super) const SESSION: &str = "session, event, first, at, entry";
/// Columns that [`contact`] reads.
pub(super) const CONTACT: &str = "id, contact, at";

/// Table with one value for each organization.
pub(super) struct SmallTable {
    /// Name without its prefix.
    pub name: &'static str,
    /// Column of the value.
    pub column: &'static str,
    /// Reads an entry from organization and value.
    pub entry: fn(&Row) -> Result<PortableEntry, StoreError>,
}

/// Tables with one value for each organization, in the order in which commits lock them.
pub(super) const SMALL: [SmallTable; 4] = [
    SmallTable {
        name: "environments",
        column: "learned",
        entry: |row| {
            let learned = rows::read(ENTRIES, column(row, 1)?)?;
            Ok(PortableEntry::Learned { organization_id: organization(row, 0)?, learned })
        },
    },
    SmallTable {
        name: "organizations",
        column: "document",
        entry: |row| {
            Ok(PortableEntry::Organization { organization_id: organization(row, 0)?, document: column(row, 1)? })
        },
    },
    SmallTable {
        name: "pauses",
        column: "since",
        entry: |row| {
            let since = keys::timestamp(column(row, 1)?);
            Ok(PortableEntry::Pause { organization_id: organization(row, 0)?, since })
        },
    },
    SmallTable {
        name: "queues",
        column: "declared",
        entry: |row| {
            let declared = keys::timestamp(column(row, 1)?);
            Ok(PortableEntry::Queue { organization_id: organization(row, 0)?, declared })
        },
    },
];

/// Reads the record of an event, or the note that it is queued.
pub(super) fn event(row: &Row) -> Result<PortableEntry, StoreError> {
    let event_id = std::str::from_utf8(column(row, 2)?).map_err(|error| unreadable(ENTRIES, error))?;
    let key = EventKey { organization_id: organization(row, 1)?, event_id: EventId::from(event_id) };
    let text: &str = column(row, 3)?;
    if text.starts_with(rows::QUEUED) {
        return Ok(PortableEntry::queued(key, rows::read_queued(ENTRIES, text)?));
    }
    Ok(PortableEntry::record(key, rows::read(ENTRIES, text)?))
}

/// Reads a session entry.
pub(super) fn session(row: &Row) -> Result<PortableEntry, StoreError> {
    let (organization_id, session_id, entry) = rows::read_entry(ENTRIES, column(row, 4)?)?;
    let (first, at) = (keys::timestamp(column(row, 2)?), keys::timestamp(column(row, 3)?));
    Ok(PortableEntry::Session { organization_id, session_id, first, at, entry })
}

/// Reads a contact.
pub(super) fn contact(row: &Row) -> Result<PortableEntry, StoreError> {
    let (key, contact): (Uuid, Uuid) = (column(row, 0)?, column(row, 1)?);
    Ok(PortableEntry::Contact { key, contact_id: ContactId(contact), at: keys::timestamp(column(row, 2)?) })
}

/// Reads a column.
pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, nth: usize) -> Result<T, StoreError> {
    row.try_get(nth).map_err(|error| unreadable(ENTRIES, error))
}

fn organization(row: &Row, nth: usize) -> Result<OrganizationId, StoreError> {
    read::organization(ENTRIES, column(row, nth)?)
}
