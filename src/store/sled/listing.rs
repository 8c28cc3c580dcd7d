//! Outcomes, newest first, by the index that narrows them most. Walks what is on disk: what is pending is made durable
//! before.

use std::ops::Bound;

use sled::IVec;

use super::codec;
use super::errors::unreadable;
use super::keys::{self, Index};
use super::read;
use super::view::View;
use crate::event::{EventId, EventKey};
use crate::store::position::Position;
use crate::store::terms;
use crate::store::{Cursor, Filter, Found, Page, StoreError};

/// Name of what is read, for errors.
pub(super) const OUTCOMES: &str = "outcomes";

/// Index entries looked at for one page, at most: about 0.1 s. A page may then be short, or empty, and still say where
/// to go on.
const LOOKED_AT: usize = 100_000;

/// One page.
pub(super) fn outcomes(
    view: &View<'_>,
    filter: &Filter,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Page, StoreError> {
    let after = after.map(Position::read).transpose()?;
    if limit == 0 {
        return Ok(Page::default());
    }
    if let Some(event_id) = &filter.event_id {
        return by_event(view, filter, event_id, after.as_ref(), limit);
    }
    let ticket = filter.ticket_number.as_deref().map(terms::fold);
    let index = match (filter, &ticket) {
        (Filter { incident: Some(id), .. }, _) => Index::Incident(id.0),
        (Filter { work_item: Some(id), .. }, _) => Index::WorkItem(id.0),
        (_, Some(ticket)) => Index::Ticket(ticket),
        (Filter { session: Some(session), .. }, _) => Index::Session(session),
        _ => Index::Ended,
    };
    by_time(view, filter, index, after.as_ref(), limit)
}

/// One event id, of one organization or of each.
fn by_event(
    view: &View<'_>,
    filter: &Filter,
    event_id: &str,
    after: Option<&Position>,
    limit: usize,
) -> Result<Page, StoreError> {
    let mut all = Vec::new();
    for key in events(view, filter, event_id)? {
        let Some(record) = read::record(view, &key)? else {
            continue;
        };
        if !filter.matches(&key, &record) {
            continue;
        }
        let position = record.outcome().map(|outcome| Position::new(outcome.finished_at, &key));
        if let Some(position) = position
            && after.is_none_or(|after| position < *after)
        {
            all.push((position, Found { key, record }));
        }
    }
    all.sort_by(|(one, _), (other, _)| other.cmp(one));
    let more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| more).map(|(position, _)| position.cursor());
    let found = all.into_iter().map(|(_, found)| found).collect();
    Ok(Page { found, next })
}

fn events(view: &View<'_>, filter: &Filter, event_id: &str) -> Result<Vec<EventKey>, StoreError> {
    if let Some(organization_id) = &filter.organization {
        return Ok(vec![EventKey { organization_id: organization_id.clone(), event_id: EventId::from(event_id) }]);
    }
    let rows = view.tree().scan_prefix(keys::records_of(event_id)).keys();
    let keys: Result<Vec<IVec>, _> = rows.collect();
    let keys = keys.map_err(|error| unreadable(OUTCOMES, error))?;
    Ok(keys.iter().filter_map(|key| keys::event_of(key)).collect())
}

/// What an index lists, from the newest back.
fn by_time(
    view: &View<'_>,
    filter: &Filter,
    index: Index<'_>,
    after: Option<&Position>,
    limit: usize,
) -> Result<Page, StoreError> {
    let prefix = index.prefix().len();
    let mut page = Page::default();
    let mut last = None;
    for (looked_at, row) in view.tree().range(bounds(filter, index, after)).rev().enumerate() {
        let (entry, status) = row.map_err(|error| unreadable(OUTCOMES, error))?;
        if looked_at >= LOOKED_AT {
            page.next = last.as_ref().map(Position::cursor);
            return Ok(page);
        }
        let Some(position) = keys::position(&entry, prefix) else {
            continue;
        };
        if let Some(found) = find(view, filter, &position, &status)? {
            if page.found.len() == limit {
                page.next = last.as_ref().map(Position::cursor);
                return Ok(page);
            }
            page.found.push(found);
        }
        last = Some(position);
    }
    Ok(page)
}

/// The event of an index entry, when it is asked for. What the entry tells is looked at first: most need not be read.
fn find(view: &View<'_>, filter: &Filter, position: &Position, status: &[u8]) -> Result<Option<Found>, StoreError> {
    let key = position.key();
    let wanted = filter.status.map(codec::encode_status);
    if !filter.matches_names(&key) || wanted.is_some_and(|wanted| status != [wanted]) {
        return Ok(None);
    }
    let Some(record) = read::record(view, &key)? else {
        return Ok(None);
    };
    // Since the entry was read the event may have been looked at afresh.
    let there = record.outcome().is_some_and(|outcome| outcome.finished_at == position.at);
    Ok((there && filter.matches(&key, &record)).then_some(Found { key, record }))
}

fn bounds(filter: &Filter, index: Index<'_>, after: Option<&Position>) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let lowest = filter.after.map_or_else(|| index.prefix(), |after| index.from(after));
    let cursor = after.map(|position| index.entry(position.at, &position.key()));
    let before = filter.before.map(|before| index.from(before));
    let highest = cursor.into_iter().chain(before).min().unwrap_or_else(|| {
        let mut end = index.prefix();
        end.push(0xFF); // no time begins with it
        end
    });
    // An empty range the wrong way round is an error to sled.
    let highest = highest.max(lowest.clone());
    (Bound::Included(lowest), Bound::Excluded(highest))
}
