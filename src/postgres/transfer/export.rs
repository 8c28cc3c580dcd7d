//! Reading of everything, in one snapshot, page by page.

use handoffd_engine::ports::store::StoreError;
use handoffd_engine::ports::store::portable::{PAGE, PortableEntry};
use tokio::sync::mpsc;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::entries::{self, ENTRIES, LONGEST, SMALL, column};
use crate::postgres::errors::in_time;
use crate::postgres::rows;

/// Receiver of pages that wants no more.
struct Unwanted;

type Pages = mpsc::Sender<Vec<PortableEntry>>;

/// Sends all entries as they are at one moment, whatever workers do meanwhile.
pub(super) async fn export(client: &Client, pages: &Pages) -> Result<(), StoreError> {
    const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    in_time(LONGEST, client.batch_execute(BEGIN)).await.map_err(|failure| failure.reading(ENTRIES))?;
    let sent = all(client, pages).await;
    // Nothing was changed, so a failure has no consequence.
    _ = in_time(LONGEST, client.batch_execute("COMMIT")).await;
    sent.map(|_| ())
}

async fn all(client: &Client, pages: &Pages) -> Result<Result<(), Unwanted>, StoreError> {
    for sign in ["NOT LIKE", "LIKE"] {
        let notes = format!("record {sign} '{}%'", rows::QUEUED);
        let text = format!(
            "SELECT {} FROM handoffd_events WHERE id > $1 AND {notes} ORDER BY id LIMIT {PAGE}",
            entries::EVENT
        );
        if by_id(client, pages, &text, entries::event).await?.is_err() {
            return Ok(Err(Unwanted));
        }
    }
    if sessions(client, pages).await?.is_err() {
        return Ok(Err(Unwanted));
    }
    let text = format!("SELECT {} FROM handoffd_contacts WHERE id > $1 ORDER BY id LIMIT {PAGE}", entries::CONTACT);
    if by_id(client, pages, &text, entries::contact).await?.is_err() {
        return Ok(Err(Unwanted));
    }
    for table in &SMALL {
        let text = format!("SELECT organization, {} FROM handoffd_{}", table.column, table.name);
        let rows = query(client, &text, &[]).await?;
        if send(pages, &rows, table.entry).await?.is_err() {
            return Ok(Err(Unwanted));
        }
    }
    Ok(Ok(()))
}

/// Sends a table whose first column is its key.
async fn by_id(
    client: &Client,
    pages: &Pages,
    text: &str,
    entry: fn(&Row) -> Result<PortableEntry, StoreError>,
) -> Result<Result<(), Unwanted>, StoreError> {
    let mut after = Uuid::nil();
    loop {
        let rows = query(client, text, &[(&after, Type::UUID)]).await?;
        if send(pages, &rows, entry).await?.is_err() {
            return Ok(Err(Unwanted));
        }
        match rows.last() {
            Some(last) if rows.len() == PAGE => after = column(last, 0)?,
            _ => return Ok(Ok(())),
        }
    }
}

async fn sessions(client: &Client, pages: &Pages) -> Result<Result<(), Unwanted>, StoreError> {
    let text = format!(
        "SELECT {} FROM handoffd_sessions WHERE (session, event) > ($1, $2) ORDER BY session, event LIMIT {PAGE}",
        entries::SESSION
    );
    let mut after = (Uuid::nil(), Uuid::nil());
    loop {
        let rows = query(client, &text, &[(&after.0, Type::UUID), (&after.1, Type::UUID)]).await?;
        if send(pages, &rows, entries::session).await?.is_err() {
            return Ok(Err(Unwanted));
        }
        match rows.last() {
            Some(last) if rows.len() == PAGE => after = (column(last, 0)?, column(last, 1)?),
            _ => return Ok(Ok(())),
        }
    }
}

async fn send(
    pages: &Pages,
    rows: &[Row],
    entry: fn(&Row) -> Result<PortableEntry, StoreError>,
) -> Result<Result<(), Unwanted>, StoreError> {
    let page: Vec<PortableEntry> = rows.iter().map(entry).collect::<Result<_, _>>()?;
    if page.is_empty() {
        return Ok(Ok(()));
    }
    Ok(pages.send(page).await.map_err(|_| Unwanted))
}

async fn query(client: &Client, text: &str, params: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>, StoreError> {
    in_time(LONGEST, client.query_typed(text, params)).await.map_err(|failure| failure.reading(ENTRIES))
}
