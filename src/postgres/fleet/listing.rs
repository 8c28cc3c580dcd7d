//! List of workers for operators.

use std::time::Duration;

use handoffd_engine::ports::store::StoreError;
use jiff::Timestamp;
use tokio_postgres::{Client, Row};

use super::super::connect::Connector;
use super::super::errors::{ServerFailure, in_time};
use super::super::keys;
use super::super::options::PostgresOptions;

/// Longest wait for the list of a command.
const LONGEST: Duration = Duration::from_secs(10);
/// Name of the list in errors.
const WORKERS: &str = "the workers";

/// Worker as operators see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FleetWorker {
    /// Name: `fleet.name`, or host name and process id.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Time at which it joined.
    pub started_at: Timestamp,
    /// Time at which it last renewed its lease.
    pub seen_at: Timestamp,
    /// State: `joined`, `leaving` or `lost`.
    pub state: String,
    /// Number of organizations that it owns.
    pub organizations: i64,
    /// Number of events in progress.
    pub in_flight: i64,
}

/// Lists the workers, over a connection of its own.
///
/// # Errors
/// If the server can't be reached or refuses.
pub async fn list_workers(options: &PostgresOptions) -> Result<Vec<FleetWorker>, StoreError> {
    let connector = Connector::new(options)?;
    let listed = async {
        let (client, connection) = connector.connect().await?;
        let connection = tokio::spawn(connection);
        let listed = list(&client, LONGEST).await?;
        drop(client);
        _ = connection.await;
        Ok(listed)
    };
    listed.await.map_err(|failure: ServerFailure| failure.reading(WORKERS))
}

/// Lists the workers, oldest first. A silent one is lost, whether or not another worker has declared it so.
pub(super) async fn list(client: &Client, limit: Duration) -> Result<Vec<FleetWorker>, ServerFailure> {
    const TEXT: &str = "SELECT name, version, (extract(epoch FROM started_at) * 1e9)::int8, \
         (extract(epoch FROM seen_at) * 1e9)::int8, \
         CASE WHEN seen_at + lease < clock_timestamp() THEN 'lost' ELSE state END, in_flight, \
         (SELECT count(*) FROM handoffd_owners o WHERE o.worker = w.id) \
         FROM handoffd_workers w ORDER BY started_at, id";
    let row = |row: &Row| {
        Ok(FleetWorker {
            name: row.try_get(0)?,
            version: row.try_get(1)?,
            started_at: milliseconds(row.try_get(2)?),
            seen_at: milliseconds(row.try_get(3)?),
            state: row.try_get(4)?,
            organizations: row.try_get(6)?,
            in_flight: row.try_get(5)?,
        })
    };
    in_time(limit, client.query_typed(TEXT, &[])).await?.iter().map(row).collect()
}

/// Returns a time without digits that would only lengthen lists.
fn milliseconds(nanoseconds: i64) -> Timestamp {
    keys::timestamp(nanoseconds - nanoseconds.rem_euclid(1_000_000))
}
