//! Version of the tables, and its migration.
//!
//! Each step is one text of several statements, which the server runs as one transaction, also behind a pooler. It
//! holds a lock, so that of several workers one migrates and the others find the work done.

use handoffd_engine::ports::store::StoreError;
use tokio_postgres::Client;

use super::errors::{FailureKind, ServerFailure};

/// Steps from each version to the next, from an empty database on.
const STEPS: [&str; KNOWN as usize] =
    [include_str!("migrations/1.sql"), include_str!("migrations/2.sql"), include_str!("migrations/3.sql")];

/// Version that this program writes.
pub(super) const KNOWN: u32 = 3;

/// Newest version that this program can use: the next one adds only what this program ignores, so that workers of two
/// neighbouring versions share the tables.
const USABLE: u32 = KNOWN + 1;

/// Reaction to tables of an older version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Migration {
    /// Migrate them.
    Migrate,
    /// Refuse them.
    Check,
}

/// Returns once the tables have this program's version; at once if the connection has no such task.
pub(super) async fn ready(client: &Client, migration: Option<Migration>, place: &str) -> Result<(), ServerFailure> {
    let Some(migration) = migration else { return Ok(()) };
    loop {
        let found = version(client).await?;
        let steps = usize::try_from(found).ok().and_then(|found| STEPS.get(found..));
        match (steps, migration) {
            (None, _) if found <= USABLE => return Ok(()),
            (None, _) => {
                return Err(ServerFailure::new(
                    FailureKind::Refused,
                    format!(
                        "the tables at {place} have version {found}, but this program supports up to {USABLE}; use a newer version"
                    ),
                ));
            }
            (Some([]), _) => return Ok(()),
            (Some([step, ..]), Migration::Migrate) => migrate(client, found, step).await?,
            (Some(_), Migration::Check) => {
                return Err(ServerFailure::new(
                    FailureKind::Unavailable,
                    format!(
                        "the tables at {place} have version {found}, expected {KNOWN}; run `handoffd store migrate` (store.migrate is false)"
                    ),
                ));
            }
        }
    }
}

/// Returns the version of the tables, 0 if there are none.
pub(super) async fn version(client: &Client) -> Result<u32, ServerFailure> {
    let exists = "SELECT to_regclass('handoffd_schema') IS NOT NULL";
    if !client.query_typed(exists, &[]).await?.first().is_some_and(|row| row.get(0)) {
        return Ok(0);
    }
    let rows = client.query_typed("SELECT max(version) FROM handoffd_schema", &[]).await?;
    let version: Option<i32> = rows.first().and_then(|row| row.get(0));
    Ok(version.and_then(|version| u32::try_from(version).ok()).unwrap_or(0))
}

/// Takes one step. Does nothing if another worker has taken it meanwhile.
async fn migrate(client: &Client, from: u32, step: &str) -> Result<(), ServerFailure> {
    let to = from + 1;
    let text = format!(
        "SELECT set_config('lock_timeout', '2s', true);
         SELECT pg_advisory_xact_lock(1751215717, hashtext(current_schema()));
         CREATE TABLE IF NOT EXISTS handoffd_schema (version int4 PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());
         INSERT INTO handoffd_schema (version) VALUES ({to});
         {step}"
    );
    match client.batch_execute(&text).await.map_err(ServerFailure::from) {
        Err(failure) if version(client).await? < to => Err(failure),
        // Or a duplicate version: another worker has taken the step.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Converts a failure of the first connection. Only what no wait repairs ends the start.
pub(super) fn fatal(failure: &ServerFailure, place: &str) -> Option<StoreError> {
    (failure.kind == FailureKind::Refused)
        .then(|| StoreError::Open { path: place.to_owned(), problem: failure.to_string() })
}
