//! Version of the layout, stored in a row of its own.

use handoffd_engine::ports::store::StoreError;
use sled::{Db, IVec};

use super::errors::{unreadable, unwritten};
use super::keys::SCHEMA;

/// Version that this program writes.
pub(super) const KNOWN: u32 = 2;

/// Version found in a database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StoredSchema {
    /// Version of this program.
    Known,
    /// Version of a newer program.
    Newer(u32),
    /// Missing version, or one that no program has written.
    Unknown,
}

/// Content of the folder before the database was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Before {
    /// No complete store: the folder is new, or its creation was interrupted.
    Nothing,
    /// Complete store. sled silently opens a file that it can't read at all as an empty one; this distinguishes the
    /// two.
    Store,
}

/// Reads the version, writes it into a new database and migrates an older one.
pub(super) fn check(db: &Db, before: Before) -> Result<StoredSchema, StoreError> {
    let row = db.get(SCHEMA).map_err(|error| unreadable("the schema version", error))?;
    match row.as_ref().map(version) {
        None if before == Before::Nothing && db.is_empty() => write(db).map(|()| StoredSchema::Known),
        Some(Some(found)) if found > KNOWN => Ok(StoredSchema::Newer(found)),
        Some(Some(found)) => Ok(migrate(found)),
        None | Some(None) => Ok(StoredSchema::Unknown),
    }
}

/// Migrates the database, with one arm for each step from an older version to the next.
fn migrate(found: u32) -> StoredSchema {
    match found {
        KNOWN => StoredSchema::Known,
        _ => StoredSchema::Unknown,
    }
}

fn write(db: &Db) -> Result<(), StoreError> {
    db.insert(SCHEMA, &KNOWN.to_be_bytes()).map_err(unwritten)?;
    db.flush().map_err(unwritten)?;
    Ok(())
}

fn version(row: &IVec) -> Option<u32> {
    row.as_ref().try_into().ok().map(u32::from_be_bytes)
}
