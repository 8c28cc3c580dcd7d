//! Scan of events for what no index finds, and discards, which are added to records that are there.

use std::time::Duration;

use handoffd_engine::event::{EventId, EventKey};
use handoffd_engine::ports::store::StoreError;
use handoffd_engine::ports::store::queued::QueuedNote;
use handoffd_engine::ports::store::scan::ScanPage;
use handoffd_engine::ports::store::{EventScan, ScannedEvents};
use handoffd_engine::workflow::{Milestone, Record, discarded};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::errors::{ServerFailure, in_time, unreadable};
use super::link::ServerLink;
use super::statement::Statement;
use super::{keys, read, rows};

/// Name of the scanned data in errors.
const EVENTS: &str = "events";
/// Longest wait for an answer.
const LONGEST: Duration = Duration::from_secs(30);
/// Most events that one statement reads or changes.
const BATCH: usize = 500;

/// Scans events, newest first. The server looks for the text of the id in the records; whether it is the beginning of an
/// id is decided here.
pub(super) async fn scan(link: &ServerLink, scan: &EventScan) -> Result<ScannedEvents, StoreError> {
    let mut page = ScanPage::new(scan.clone())?;
    let newest = page.after().map(|position| keys::nanoseconds(position.at));
    let mut after: Option<i64> = None;
    loop {
        let statement = statement(scan, newest.into_iter().chain(after).min());
        let rows = query(link, &statement).await?;
        for row in &rows {
            let (key, record) = event(row)?;
            page.offer(key, record);
        }
        let Some(last) = rows.last().filter(|_| rows.len() == BATCH) else { return Ok(page.end(false)) };
        let last: i64 = last.try_get(3).map_err(|error| unreadable(EVENTS, error))?;
        // Rows of the same time as the last one are read again, and beyond a page nothing can come that belongs to it.
        if after == Some(last) || page.is_full_before(keys::timestamp(last)) {
            return Ok(page.end(false));
        }
        after = Some(last);
    }
}

/// Adds a discard to the records of dead events. A record that changes meanwhile is left as it is then.
pub(super) async fn record_discards(
    link: &ServerLink,
    events: &[EventKey],
    discard: &Milestone,
) -> Result<u64, StoreError> {
    let mut count = 0;
    for some in events.chunks(BATCH) {
        let mut ids: Vec<Uuid> = some.iter().map(keys::event).collect();
        ids.sort_unstable(); // workers that change the same rows lock them in the same order
        ids.dedup();
        let mut found = Statement::default();
        let wanted = found.bind(ids, Type::UUID_ARRAY);
        found.text = format!(
            "SELECT id, record FROM handoffd_events WHERE id = ANY({wanted}) AND finished_at IS NOT NULL ORDER BY id"
        );
        let (mut changed, mut old, mut new) = (Vec::new(), Vec::new(), Vec::new());
        for row in query(link, &found).await? {
            let text: &str = row.try_get(1).map_err(|error| unreadable(EVENTS, error))?;
            if let Some(record) = discarded(&rows::read::<Record>(EVENTS, text)?, discard) {
                changed.push(row.try_get::<_, Uuid>(0).map_err(|error| unreadable(EVENTS, error))?);
                old.push(text.to_owned());
                new.push(rows::json(&record));
            }
        }
        if !changed.is_empty() {
            count += replace(link, changed, old, new).await?;
        }
    }
    Ok(count)
}

async fn replace(link: &ServerLink, ids: Vec<Uuid>, old: Vec<String>, new: Vec<String>) -> Result<u64, StoreError> {
    let mut statement = Statement::default();
    let ids = statement.bind(ids, Type::UUID_ARRAY);
    let (old, new) = (statement.bind(old, Type::TEXT_ARRAY), statement.bind(new, Type::TEXT_ARRAY));
    statement.text = format!(
        "UPDATE handoffd_events e SET record = u.new FROM UNNEST({ids}, {old}, {new}) AS u(id, old, new) \
         WHERE e.id = u.id AND e.record = u.old RETURNING e.id"
    );
    let client = link.client().map_err(ServerFailure::writing)?;
    let params = statement.params();
    let rows = in_time(LONGEST, client.query_typed(&statement.text, &params)).await;
    Ok(rows.map_err(ServerFailure::writing)?.len() as u64)
}

/// Reads the notes of queued events.
pub(super) async fn queued(link: &ServerLink, limit: usize) -> Result<Vec<(EventKey, QueuedNote)>, StoreError> {
    let mut statement = Statement::default();
    let (notes, limit) = (
        statement.bind(format!("{}%", rows::QUEUED), Type::TEXT),
        statement.bind(i64::try_from(limit).unwrap_or(i64::MAX), Type::INT8),
    );
    statement.text = format!(
        "SELECT organization, event, record FROM handoffd_events \
         WHERE finished_at IS NULL AND record LIKE {notes} LIMIT {limit}"
    );
    let note = |row: &Row| {
        let text = row.try_get::<_, &str>(2).map_err(|error| unreadable(EVENTS, error))?;
        Ok((key(row)?, rows::read_queued(EVENTS, text)?))
    };
    query(link, &statement).await?.iter().map(note).collect()
}

fn statement(scan: &EventScan, newest: Option<i64>) -> Statement {
    let mut statement = Statement::default();
    let notes = statement.bind(format!("{}%", rows::QUEUED), Type::TEXT);
    let mut wanted = vec![format!("(finished_at IS NOT NULL OR record NOT LIKE {notes})")];
    if scan.unfinished_only {
        wanted.push("finished_at IS NULL".to_owned());
    }
    if let Some(organization) = &scan.organization {
        let organization = statement.bind(organization.as_str().as_bytes().to_vec(), Type::BYTEA);
        wanted.push(format!("organization = {organization}"));
    }
    if let Some(id) = &scan.id {
        let pattern = statement.bind(pattern(id), Type::TEXT);
        let name = statement.bind(id.to_lowercase().into_bytes(), Type::BYTEA);
        // An event's id is in a column of its own: bytes, which `escape` writes as text whatever they are.
        wanted.push(format!(
            "(lower(record) LIKE {pattern} \
             OR position(lower(encode({name}, 'escape')) IN lower(encode(event, 'escape'))) = 1)"
        ));
    }
    if let Some(newest) = newest {
        wanted.push(format!("coalesce(finished_at, first_seen) <= {}", statement.bind(newest, Type::INT8)));
    }
    let wanted = wanted.join(" AND ");
    statement.text = format!(
        "SELECT organization, event, record, coalesce(finished_at, first_seen) FROM handoffd_events WHERE {wanted} \
         ORDER BY coalesce(finished_at, first_seen) DESC LIMIT {BATCH}"
    );
    statement
}

/// Returns the pattern of the text that a record with this id contains.
fn pattern(id: &str) -> String {
    let text = serde_json::to_string(&id.to_lowercase()).unwrap_or_default(); // a text always serializes
    let text = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    let text = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%\"{text}%")
}

async fn query(link: &ServerLink, statement: &Statement) -> Result<Vec<Row>, StoreError> {
    let client = link.client().map_err(|failure| failure.reading(EVENTS))?;
    let params = statement.params();
    let rows = in_time(LONGEST, client.query_typed(&statement.text, &params)).await;
    rows.map_err(|failure| failure.reading(EVENTS))
}

fn event(row: &Row) -> Result<(EventKey, Record), StoreError> {
    let record = row.try_get::<_, &str>(2).map_err(|error| unreadable(EVENTS, error))?;
    Ok((key(row)?, rows::read(EVENTS, record)?))
}

fn key(row: &Row) -> Result<EventKey, StoreError> {
    let bytes = |column| row.try_get::<_, &[u8]>(column).map_err(|error| unreadable(EVENTS, error));
    let event_id = std::str::from_utf8(bytes(1)?).map_err(|error| unreadable(EVENTS, error))?;
    Ok(EventKey { organization_id: read::organization(EVENTS, bytes(0)?)?, event_id: EventId::from(event_id) })
}
