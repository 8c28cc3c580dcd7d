//! Listing of outcomes from the index, newest first, in small steps. The listing reads only the disk, so pending
//! changes are made durable before it starts.

use std::collections::BinaryHeap;
use std::ops::Bound;

use handoffd_engine::event::{EventId, EventKey};
use handoffd_engine::ports::store::position::Position;
use handoffd_engine::ports::store::terms;
use handoffd_engine::ports::store::{Cursor, OutcomeFilter, OutcomePage, StoreError, StoredEvent};
use jiff::{SignedDuration, Timestamp};
use sled::IVec;

use super::errors::unreadable;
use super::outcome_index::{self, SPAN};
use super::read;
use super::view::StoreView;
use super::{SweepStep, keys};

/// Name of the listed data in errors.
pub(super) const OUTCOMES: &str = "outcomes";

/// Maximum number of index entries read for one page, which takes about a second. Such a page may be short or empty and
/// still has a cursor for the next one.
const LOOKED_AT: usize = 1_000_000;

/// Number of entries read in one step, which takes a few milliseconds. The commit thread may have to wait for a step.
const STEP: usize = 4_000;

/// Cost of reading a record, in entries.
const RECORD: usize = 20;

/// Walk over the outcome index, from the newest row back.
///
/// A row is stored under the time of its newest entry, so no entry of a later row in the walk is newer than that row's
/// time. A match is therefore put on the page as soon as it is newer than the next row.
pub(super) struct OutcomeWalk {
    filter: OutcomeFilter,
    ticket: Option<String>,
    after: Option<Position>,
    limit: usize,
    /// End of the rows that remain to be read.
    before: Vec<u8>,
    /// Possible matches that are not yet on the page.
    waiting: BinaryHeap<Position>,
    looked_at: usize,
    /// Last match put on the page.
    last: Option<Position>,
    /// Page so far.
    pub page: OutcomePage,
}

impl OutcomeWalk {
    /// Starts after the cursor, or at the newest outcome.
    pub(super) fn new(filter: OutcomeFilter, after: Option<&Cursor>, limit: usize) -> Result<Self, StoreError> {
        let after = after.map(Position::read).transpose()?;
        let newest = after.as_ref().map(|position| position.at).into_iter().chain(filter.before).min();
        // Rows up to one span later may have entries of that time.
        let before = match newest.and_then(|newest| newest.checked_add(SPAN).ok()) {
            Some(newest) => keys::journal_after(newest),
            None => keys::end(keys::JOURNAL),
        };
        let ticket = filter.ticket_number.as_deref().map(terms::fold);
        let (waiting, last, page) = (BinaryHeap::new(), None, OutcomePage::default());
        Ok(Self { filter, ticket, after, limit, before, waiting, looked_at: 0, last, page })
    }

    /// Continues the walk for a few milliseconds; returns whether the page is complete.
    pub(super) fn step(&mut self, view: &StoreView<'_>) -> Result<SweepStep, StoreError> {
        if self.limit == 0 {
            return Ok(SweepStep::Done);
        }
        if let Some(event_id) = self.filter.event_id.clone() {
            self.page = by_event(view, &self.filter, &event_id, self.after.as_ref(), self.limit)?;
            return Ok(SweepStep::Done);
        }
        let until = self.looked_at + STEP;
        let oldest = self.filter.after.map_or_else(|| keys::JOURNAL.to_vec(), keys::journal_from);
        if oldest >= self.before {
            return self.fill_page(view, None);
        }
        let range = (Bound::Included(oldest), Bound::Excluded(self.before.clone()));
        for row in view.tree().range(range).rev() {
            let (key, value) = row.map_err(|error| unreadable(OUTCOMES, error))?;
            if self.row(view, &key, &value)? == SweepStep::Done {
                return Ok(SweepStep::Done);
            }
            self.before = key.to_vec();
            if self.looked_at >= until {
                return Ok(SweepStep::More);
            }
        }
        self.fill_page(view, None)
    }

    /// Puts the matches newer than the row on the page, then reads the row's entries.
    fn row(&mut self, view: &StoreView<'_>, key: &[u8], value: &IVec) -> Result<SweepStep, StoreError> {
        let Some(time) = keys::journal_time(key) else {
            return Ok(SweepStep::More);
        };
        if self.fill_page(view, Some(time))? == SweepStep::Done || self.stop(time) {
            return Ok(SweepStep::Done);
        }
        for listed in outcome_index::entries(value) {
            self.looked_at += 1;
            if listed.may_match(&self.filter, self.ticket.as_deref()) {
                let position = listed.position();
                if self.after.as_ref().is_none_or(|after| position < *after) {
                    self.waiting.push(position);
                }
            }
        }
        Ok(SweepStep::More)
    }

    /// Puts the matches newer than this time, or all of them, on the page.
    fn fill_page(&mut self, view: &StoreView<'_>, newer_than: Option<Timestamp>) -> Result<SweepStep, StoreError> {
        while let Some(position) = self.waiting.peek() {
            if newer_than.is_some_and(|time| position.at <= time) {
                return Ok(SweepStep::More);
            }
            let Some(position) = self.waiting.pop() else { break };
            self.looked_at += RECORD;
            // An event indexed twice at the same position appears once.
            let again = self.last.as_ref() == Some(&position);
            let Some(found) = find(view, &self.filter, &position)?.filter(|_| !again) else {
                continue;
            };
            if self.page.found.len() == self.limit {
                self.page.next = self.last.as_ref().map(Position::cursor);
                return Ok(SweepStep::Done);
            }
            self.page.found.push(found);
            self.last = Some(position);
        }
        Ok(if newer_than.is_some() { SweepStep::More } else { SweepStep::Done })
    }

    /// Reports whether the walk has reached its limit. The next page then starts at this time, since everything newer
    /// is on the page.
    fn stop(&mut self, time: Timestamp) -> bool {
        if self.looked_at < LOOKED_AT {
            return false;
        }
        let just_after = time.saturating_add(SignedDuration::from_nanos(1)).unwrap_or(Timestamp::MAX);
        let place = Position { at: just_after, event_id: "".into(), organization_id: "".into() };
        // A cursor equal to the start of this page would never advance.
        let ahead = self.after.as_ref().is_none_or(|after| place < *after);
        if ahead {
            self.page.next = Some(place.cursor());
        }
        ahead
    }
}

/// Returns the event at a position if it matches.
fn find(view: &StoreView<'_>, filter: &OutcomeFilter, position: &Position) -> Result<Option<StoredEvent>, StoreError> {
    let key = position.key();
    let Some(record) = read::record(view, &key)? else {
        return Ok(None);
    };
    // The event may have been processed again since its entry was written, and may have ended again.
    let there = record.outcome().is_some_and(|outcome| outcome.finished_at == position.at);
    Ok((there && filter.matches(&key, &record)).then_some(StoredEvent { key, record }))
}

/// Returns the outcomes of an event id in one organization or in all.
fn by_event(
    view: &StoreView<'_>,
    filter: &OutcomeFilter,
    event_id: &str,
    after: Option<&Position>,
    limit: usize,
) -> Result<OutcomePage, StoreError> {
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
            all.push((position, StoredEvent { key, record }));
        }
    }
    all.sort_by(|(one, _), (other, _)| other.cmp(one));
    let more = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| more).map(|(position, _)| position.cursor());
    let found = all.into_iter().map(|(_, found)| found).collect();
    Ok(OutcomePage { found, next })
}

fn events(view: &StoreView<'_>, filter: &OutcomeFilter, event_id: &str) -> Result<Vec<EventKey>, StoreError> {
    if let Some(organization_id) = &filter.organization {
        return Ok(vec![EventKey { organization_id: organization_id.clone(), event_id: EventId::from(event_id) }]);
    }
    let rows = view.tree().scan_prefix(keys::records_of(event_id)).keys();
    let keys: Result<Vec<IVec>, _> = rows.collect();
    let keys = keys.map_err(|error| unreadable(OUTCOMES, error))?;
    Ok(keys.iter().filter_map(|key| keys::event_of(key)).collect())
}
