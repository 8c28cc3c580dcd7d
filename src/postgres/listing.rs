//! Listing of outcomes, newest first.

use std::time::Duration;

use handoffd_engine::event::{EventId, EventKey};
use handoffd_engine::ports::store::position::Position;
use handoffd_engine::ports::store::terms::fold;
use handoffd_engine::ports::store::{Cursor, OutcomeFilter, OutcomePage, StoreError, StoredEvent};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::errors::{in_time, unreadable};
use super::link::ServerLink;
use super::statement::Statement;
use super::{keys, read, rows};

/// Name of the listed data in errors.
const OUTCOMES: &str = "outcomes";
/// Longest wait for a page.
const LONGEST: Duration = Duration::from_secs(30);

/// Returns the outcomes that match after the cursor.
pub(super) async fn page(
    link: &ServerLink,
    filter: &OutcomeFilter,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<OutcomePage, StoreError> {
    let mut after = after.map(Position::read).transpose()?;
    let mut found: Vec<StoredEvent> = Vec::new();
    let mut more = limit > 0;
    while more && found.len() <= limit {
        let wanted = limit.saturating_add(1) - found.len();
        let statement = statement(filter, after.as_ref(), wanted);
        let client = link.client().map_err(|failure| failure.reading(OUTCOMES))?;
        let params = statement.params();
        let rows = in_time(LONGEST, client.query_typed(&statement.text, &params)).await;
        let rows = rows.map_err(|failure| failure.reading(OUTCOMES))?;
        more = rows.len() == wanted;
        for row in &rows {
            let (position, event) = outcome(row)?;
            after = Some(position);
            found.extend(event);
        }
    }
    let is_last = found.len() <= limit;
    found.truncate(limit);
    let next = found.last().filter(|_| !is_last).and_then(|last| Some(position(last)?.cursor()));
    Ok(OutcomePage { found, next })
}

/// Builds the query for the next rows.
///
/// An index gives the rows in the order of time, so a page reads few of them, however many match. The planner sees that
/// only if the join is by a unique key, so stale rows are recognized afterwards. With search terms, few rows match:
/// those are found first, so that no plan looks for them in the order of time.
fn statement(filter: &OutcomeFilter, after: Option<&Position>, limit: usize) -> Statement {
    let mut statement = Statement::default();
    let mut wanted = Vec::new();
    let terms = terms(filter);
    if !terms.is_empty() {
        wanted.push(format!("terms @> {}", statement.bind(terms.clone(), Type::UUID_ARRAY)));
    }
    if let Some(organization) = &filter.organization {
        wanted.push(format!("organization = {}", statement.bind(keys::organization(organization), Type::UUID)));
    }
    if let Some(status) = filter.status {
        // Written out, since a plan uses the index of few statuses only for a known one.
        wanted.push(format!("status = {}", rows::status(status)));
    }
    if let Some(from) = filter.after {
        wanted.push(format!("finished_at >= {}", statement.bind(keys::nanoseconds(from), Type::INT8)));
    }
    if let Some(before) = filter.before {
        wanted.push(format!("finished_at < {}", statement.bind(keys::nanoseconds(before), Type::INT8)));
    }
    let mut beyond = String::new();
    if let Some(after) = after {
        let at = statement.bind(keys::nanoseconds(after.at), Type::INT8);
        let event = statement.bind(after.event_id.as_str().as_bytes().to_vec(), Type::BYTEA);
        let organization = statement.bind(after.organization_id.as_str().as_bytes().to_vec(), Type::BYTEA);
        wanted.push(format!("finished_at <= {at}"));
        beyond = format!("WHERE (o.finished_at, e.event, e.organization) < ({at}, {event}, {organization})");
    }
    let wanted = if wanted.is_empty() { String::new() } else { format!("WHERE {}", wanted.join(" AND ")) };
    let first = if terms.is_empty() { "NOT MATERIALIZED" } else { "MATERIALIZED" };
    let limit = statement.bind(i64::try_from(limit).unwrap_or(i64::MAX), Type::INT8);
    statement.text = format!(
        "WITH o AS {first} (SELECT finished_at, id FROM handoffd_outcomes {wanted}) \
         SELECT e.organization, e.event, e.record, o.finished_at, e.finished_at FROM o \
         JOIN handoffd_events e ON e.id = o.id {beyond} \
         ORDER BY o.finished_at DESC, e.event DESC, e.organization DESC LIMIT {limit}"
    );
    statement
}

fn terms(filter: &OutcomeFilter) -> Vec<Uuid> {
    let terms = [
        filter.event_id.as_ref().map(|id| keys::term(rows::EVENT, id)),
        filter.session.as_ref().map(|id| keys::term(rows::SESSION, id.as_str())),
        filter.incident.map(|id| keys::term(rows::INCIDENT, &id.to_string())),
        filter.ticket_number.as_ref().map(|number| keys::term(rows::TICKET, &fold(number))),
        filter.work_item.map(|id| keys::term(rows::WORK_ITEM, &id.to_string())),
    ];
    terms.into_iter().flatten().collect()
}

/// Reads a row: its position, and its event unless the row is stale.
fn outcome(row: &Row) -> Result<(Position, Option<StoredEvent>), StoreError> {
    let bytes = |column| row.try_get::<_, &[u8]>(column).map_err(|error| unreadable(OUTCOMES, error));
    let event_id = std::str::from_utf8(bytes(1)?).map_err(|error| unreadable(OUTCOMES, error))?;
    let key = EventKey { organization_id: read::organization(OUTCOMES, bytes(0)?)?, event_id: EventId::from(event_id) };
    let listed: i64 = row.try_get(3).map_err(|error| unreadable(OUTCOMES, error))?;
    let ended: Option<i64> = row.try_get(4).map_err(|error| unreadable(OUTCOMES, error))?;
    let position = Position::new(keys::timestamp(listed), &key);
    if ended != Some(listed) {
        return Ok((position, None));
    }
    let record = row.try_get::<_, &str>(2).map_err(|error| unreadable(OUTCOMES, error))?;
    Ok((position, Some(StoredEvent { key, record: rows::read(OUTCOMES, record)? })))
}

fn position(event: &StoredEvent) -> Option<Position> {
    Some(Position::new(event.record.outcome()?.finished_at, &event.key))
}
