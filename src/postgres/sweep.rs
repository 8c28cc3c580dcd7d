//! Deletion of expired rows in small batches, and the partitions of outcomes: one for each day, made ahead and dropped
//! whole.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use handoffd_engine::ports::store::{StoreError, Swept};
use jiff::Timestamp;
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use tracing::debug;
use uuid::Uuid;

use super::errors::{FailureKind, ServerFailure, in_time};
use super::keys;
use super::link::ServerLink;

/// Name of the deleted data in errors.
const OLD: &str = "expired records";
/// Number of rows in one batch, which takes some ten milliseconds.
const BATCH: i64 = 1000;
/// Number of days for which partitions are made ahead.
const AHEAD: i64 = 3;
/// Longest wait for a batch.
const LONGEST: Duration = Duration::from_secs(30);

/// Time up to which no outcome has an event any more, as far as this process knows. It spares each sweep the rows of the
/// oldest day, which stay until their whole day is dropped.
pub(super) struct SweptTo(AtomicI64);

impl SweptTo {
    /// Starts with the oldest row.
    pub(super) fn new() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }

    /// Takes an outcome into account that is about to be written.
    pub(super) fn written(&self, finished_at: i64) {
        self.0.fetch_min(finished_at, Ordering::Relaxed);
    }
}

/// Creates the partitions of today and of the next days.
pub(super) async fn add_days(client: &Client, now: Timestamp) -> Result<(), ServerFailure> {
    let today = keys::day(keys::nanoseconds(now));
    for day in today..=today + AHEAD {
        add_day(client, day).await?;
    }
    Ok(())
}

/// Creates the partition of a day, unless it exists.
pub(super) async fn add_day(client: &Client, day: i64) -> Result<(), ServerFailure> {
    client.query_typed("SELECT handoffd_add_day($1)", &[(&day, Type::INT8)]).await?;
    Ok(())
}

/// Deletes everything that ended, or last changed, before this time.
pub(super) async fn sweep(link: &ServerLink, before: Timestamp, swept_to: &SweptTo) -> Result<Swept, StoreError> {
    let sweeper = Sweeper { link, before: keys::nanoseconds(before) };
    sweeper.run(swept_to).await.map_err(|failure| failure.reading(OLD))
}

struct Sweeper<'a> {
    link: &'a ServerLink,
    before: i64,
}

impl Sweeper<'_> {
    async fn run(&self, swept_to: &SweptTo) -> Result<Swept, ServerFailure> {
        let swept = Swept {
            records: self.ended(swept_to).await? + self.rows("handoffd_events", "id", UNFINISHED).await?,
            sessions: self.rows("handoffd_sessions", "session, event", "at < $1").await?,
            contacts: self.rows("handoffd_contacts", "id", "at < $1").await?,
        };
        self.days().await?;
        Ok(swept)
    }

    /// Deletes the events of old outcomes, oldest first. The outcomes themselves go with their day.
    async fn ended(&self, swept_to: &SweptTo) -> Result<u64, ServerFailure> {
        const TEXT: &str = "WITH old AS (SELECT finished_at, id FROM handoffd_outcomes \
             WHERE finished_at < $1 AND finished_at >= $2 AND (finished_at, id) > ($2, $3) \
             ORDER BY finished_at, id LIMIT $4), \
             gone AS (DELETE FROM handoffd_events e USING old \
             WHERE e.id = old.id AND e.finished_at = old.finished_at RETURNING 1) \
             SELECT (SELECT count(*) FROM gone), o.finished_at, o.id, set_config('synchronous_commit', 'off', true) \
             FROM old o ORDER BY o.finished_at DESC, o.id DESC LIMIT 1";
        // Outcomes that are written from here on, older than what is swept, lower it again.
        let (mut at, mut id) = (swept_to.0.swap(self.before, Ordering::Relaxed), Uuid::nil());
        let mut deleted = 0;
        loop {
            let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] =
                [(&self.before, Type::INT8), (&at, Type::INT8), (&id, Type::UUID), (&BATCH, Type::INT8)];
            let rows = self.query(TEXT, &params).await;
            let rows = rows.inspect_err(|_| swept_to.written(at))?;
            let Some(row) = rows.first() else { return Ok(deleted) };
            deleted += u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0);
            (at, id) = (row.try_get(1)?, row.try_get(2)?);
        }
    }

    /// Deletes the rows of a table that a condition holds for.
    async fn rows(&self, table: &str, key: &str, condition: &str) -> Result<u64, ServerFailure> {
        let text = format!(
            "WITH gone AS (DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {condition} LIMIT $2) \
             AND {condition} RETURNING 1) SELECT count(*), set_config('synchronous_commit', 'off', true) FROM gone"
        );
        let mut deleted = 0;
        loop {
            let rows = self.query(&text, &[(&self.before, Type::INT8), (&BATCH, Type::INT8)]).await?;
            let count: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
            deleted += u64::try_from(count).unwrap_or(0);
            if count < BATCH {
                return Ok(deleted);
            }
        }
    }

    /// Drops the days that are wholly old, and creates the coming ones.
    async fn days(&self) -> Result<(), ServerFailure> {
        let day = keys::day(self.before);
        loop {
            match self.query("SELECT handoffd_drop_day($1)", &[(&day, Type::INT8)]).await {
                Ok(rows) if rows.first().is_some_and(|row| row.get(0)) => {}
                Ok(_) => break,
                Err(failure) if failure.kind == FailureKind::Conflict => {
                    debug!(error = %failure, "could not drop a day of outcomes; trying again with the next sweep");
                    break;
                }
                Err(failure) => return Err(failure),
            }
        }
        add_days(&*self.link.client()?, Timestamp::now()).await
    }

    async fn query(
        &self,
        text: &str,
        params: &[(&(dyn tokio_postgres::types::ToSql + Sync), Type)],
    ) -> Result<Vec<tokio_postgres::Row>, ServerFailure> {
        let client = self.link.client()?;
        in_time(LONGEST, client.query_typed(text, params)).await
    }
}

/// Condition of events that began before the limit and never ended: their messages are long gone.
const UNFINISHED: &str = "finished_at IS NULL AND first_seen < $1";
