//! The version of the layout, in a row of its own.

use handoffd_engine::ports::store::StoreError;
use sled::{Db, IVec};

use super::errors::{unreadable, unwritten};
use super::keys::SCHEMA;

/// The version that this program writes.
pub(super) const KNOWN: u32 = 2;

/// What the version row says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Schema {
    /// This program's.
    Known,
    /// A newer program's.
    Newer(u32),
    /// One that no program has written.
    Unknown,
}

/// Whether the folder had a complete store before it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Before {
    /// No: it is new, or its making was cut short.
    Nothing,
    /// Yes. sled opens a file of which it can read nothing as an empty one, without a word: this tells the two apart.
    Store,
}

/// Reads the version, writes it into a new database, brings an older one up to date.
pub(super) fn check(db: &Db, before: Before) -> Result<Schema, StoreError> {
    let row = db.get(SCHEMA).map_err(|error| unreadable("the schema version", error))?;
    match row.as_ref().map(version) {
        None if before == Before::Nothing && db.is_empty() => write(db).map(|()| Schema::Known),
        Some(Some(found)) if found > KNOWN => Ok(Schema::Newer(found)),
        Some(Some(found)) => Ok(migrate(found)),
        None | Some(None) => Ok(Schema::Unknown),
    }
}

/// One arm for each step from an older version to the next.
fn migrate(found: u32) -> Schema {
    match found {
        KNOWN => Schema::Known,
        _ => Schema::Unknown,
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
