//! Opening of the store.

use std::sync::{Arc, Mutex};

use handoffd_engine::ports::metrics::Metrics;
use handoffd_engine::ports::store::StoreError;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::commit::BatchCommitter;
use super::connect::Connector;
use super::errors::ServerFailure;
use super::health::{StoreHealth, StorePart};
use super::link::{LONGEST_PAUSE, LinkRole, ServerLink};
use super::options::PostgresOptions;
use super::pending::PendingKeys;
use super::read::EventReader;
use super::schema::{self, Migration};
use super::store::PostgresStore;
use super::sweep::{self, SweptTo};

/// Opens the store. A server that is away is no failure: the store is unhealthy until it is back.
///
/// # Errors
/// If the URL is invalid, or the server refuses the worker: its password, its rights, its version.
pub async fn open(options: &PostgresOptions, metrics: Arc<dyn Metrics>) -> Result<PostgresStore, StoreError> {
    let connector = Connector::new(options)?;
    let (health, closing) = (Arc::new(StoreHealth::new()), CancellationToken::new());
    let closed_when_dropped = closing.clone().drop_guard();
    let migration = if options.migrate { Migration::Migrate } else { Migration::Check };
    let link = |name, part, schema| {
        ServerLink::start(
            connector.clone(),
            LinkRole { name, part, schema, longest_pause: LONGEST_PAUSE },
            health.clone(),
            closing.clone(),
        )
    };
    let mut committer = link("committer", Some(StorePart::Committer), Some(migration));
    if let Err(failure) = committer.first_attempt().await
        && let Some(fatal) = schema::fatal(&failure, &connector.place)
    {
        return Err(fatal);
    }
    // The others find the tables migrated.
    let mut reader = link("reader", Some(StorePart::Reader), Some(Migration::Check));
    let mut lists = link("lists", None, Some(Migration::Check));
    _ = tokio::join!(reader.first_attempt(), lists.first_attempt());
    let (pending, swept_to) = (Arc::new(PendingKeys::default()), Arc::new(SweptTo::new()));
    let (calls, received) = mpsc::unbounded_channel();
    let ended = {
        let swept_to = swept_to.clone();
        Box::new(move |at| swept_to.written(at))
    };
    let commits = BatchCommitter {
        calls: received,
        link: committer.clone(),
        pending: pending.clone(),
        health: health.clone(),
        metrics: metrics.clone(),
        ended,
    };
    tokio::spawn(commits.serve());
    tokio::spawn(prepare(committer, closing.clone()));
    Ok(PostgresStore {
        health,
        reader: EventReader::start(reader),
        pending,
        calls: Mutex::new(Some(calls)),
        lists,
        swept_to,
        connector,
        metrics,
        closing,
        _closed_when_dropped: closed_when_dropped,
    })
}

/// Creates the tables, or migrates them to this program's version. Returns that version.
///
/// # Errors
/// If the server can't be reached or refuses.
pub async fn migrate(options: &PostgresOptions) -> Result<u32, StoreError> {
    let connector = Connector::new(options)?;
    let done = async {
        let (client, connection) = connector.connect().await?;
        let connection = tokio::spawn(connection);
        schema::ready(&client, Some(Migration::Migrate), &connector.place).await?;
        sweep::add_days(&client, Timestamp::now()).await?;
        drop(client);
        _ = connection.await;
        Ok(schema::KNOWN)
    };
    done.await.map_err(|failure: ServerFailure| StoreError::Open {
        path: connector.place.clone(),
        problem: failure.to_string(),
    })
}

/// Creates the partitions of the first days, and warns of settings under which a failover loses commits.
async fn prepare(mut link: ServerLink, closing: CancellationToken) {
    let prepared = closing.run_until_cancelled(async {
        link.opened().await;
        let client = link.client()?;
        sweep::add_days(&client, Timestamp::now()).await?;
        durability(&client).await
    });
    // What fails here fails later again, where it is needed.
    if let Some(Err(failure)) = prepared.await {
        warn!(error = %failure, "could not prepare PostgreSQL");
    }
}

async fn durability(client: &tokio_postgres::Client) -> Result<(), ServerFailure> {
    const TEXT: &str = "SELECT current_setting('synchronous_commit'), current_setting('synchronous_standby_names') = '', \
         (SELECT count(*) > 0 FROM pg_stat_replication)";
    let rows = client.query_typed(TEXT, &[]).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (commit, no_names, replicates): (String, bool, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if commit == "off" {
        warn!("synchronous_commit is off; the worker raises it to on for what must not be lost");
    }
    if replicates && (no_names || commit == "off" || commit == "local") {
        warn!(
            synchronous_commit = commit,
            "PostgreSQL has a standby that commits do not wait for; a failover to it may lose the last commits: set \
             synchronous_standby_names, or read what that means in docs/STORE.md"
        );
    }
    Ok(())
}
