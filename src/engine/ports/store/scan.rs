//! Scan of events that no index finds: those without an outcome, and those of which only the beginning of an id is
//! known. Pure but for the walk itself, which each store makes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use jiff::Timestamp;

use super::position::Position;
use super::terms::fold;
use super::{EventScan, ScannedEvents, StoreError, StoredEvent};
use crate::event::EventKey;
use crate::workflow::Record;

/// Newest matches of a scan so far; memory is bounded by its limit.
pub struct ScanPage {
    scan: EventScan,
    after: Option<Position>,
    newest: BinaryHeap<Reverse<Ranked>>,
    more: bool,
}

struct Ranked(Position, StoredEvent);

impl EventScan {
    /// Returns true if the event matches, whatever its position.
    pub fn matches(&self, key: &EventKey, record: &Record) -> bool {
        (!self.unfinished_only || record.outcome().is_none())
            && self.organization.as_ref().is_none_or(|wanted| *wanted == key.organization_id)
            && self.id.as_deref().is_none_or(|id| has_id(key, record, id))
    }
}

impl ScanPage {
    /// Creates an empty page.
    ///
    /// # Errors
    /// If the scan's cursor was not issued by a store.
    pub fn new(scan: EventScan) -> Result<Self, StoreError> {
        let after = scan.after.as_ref().map(Position::read).transpose()?;
        Ok(Self { scan, after, newest: BinaryHeap::new(), more: false })
    }

    /// Returns the position that the page begins after.
    pub fn after(&self) -> Option<&Position> {
        self.after.as_ref()
    }

    /// Takes an event if it matches and belongs to the page.
    pub fn offer(&mut self, key: EventKey, record: Record) {
        let position = position(&key, &record);
        if !self.scan.matches(&key, &record) || self.after.as_ref().is_some_and(|after| position >= *after) {
            return;
        }
        self.newest.push(Reverse(Ranked(position, StoredEvent { key, record })));
        if self.newest.len() > self.scan.limit {
            self.newest.pop();
            self.more = true;
        }
    }

    /// Returns true if no event of this time or an earlier one belongs to the page any more.
    pub fn is_full_before(&self, at: Timestamp) -> bool {
        let oldest = self.newest.peek().filter(|_| self.more);
        oldest.is_some_and(|Reverse(Ranked(position, _))| position.at > at)
    }

    /// Returns the page. `is_partial`: the walk ended early.
    pub fn end(self, is_partial: bool) -> ScannedEvents {
        let found = self.newest.into_sorted_vec().into_iter().map(|Reverse(Ranked(_, event))| event).collect();
        ScannedEvents { found, more: self.more, is_partial }
    }
}

/// Returns the position of an event in a scan.
pub fn position(key: &EventKey, record: &Record) -> Position {
    Position::new(listed_at(record), key)
}

/// Returns the time by which an event is listed.
pub fn listed_at(record: &Record) -> Timestamp {
    record.outcome().map_or(record.first_seen, |outcome| outcome.finished_at)
}

/// Returns true if any id of an event begins with `id`, in any case.
pub fn has_id(key: &EventKey, record: &Record, id: &str) -> bool {
    let wanted = fold(id);
    ids(key, record).iter().any(|id| id.starts_with(&wanted))
}

/// Returns true if `id` is any id of an event, in any case.
pub fn is_id(key: &EventKey, record: &Record, id: &str) -> bool {
    ids(key, record).contains(&fold(id))
}

/// Returns all ids of an event, folded: event, session, incidents, ticket numbers, live work item, and the request ids of
/// Dynamics.
fn ids(key: &EventKey, record: &Record) -> Vec<String> {
    let mut ids = vec![fold(key.event_id.as_str())];
    ids.extend(record.session_id.iter().map(|id| fold(id.as_str())));
    let progress = &record.progress;
    ids.extend(progress.incident.iter().map(|posted| posted.id.to_string()));
    ids.extend(progress.incident.iter().filter_map(|posted| posted.ticket_number.as_deref()).map(fold));
    ids.extend(progress.closed.iter().map(ToString::to_string));
    ids.extend(progress.work_item.iter().map(ToString::to_string));
    if let Some(outcome) = record.outcome() {
        ids.extend(outcome.session_id.iter().map(|id| fold(id.as_str())));
        ids.extend(outcome.incident.iter().map(|incident| incident.id.to_string()));
        ids.extend(outcome.incident.iter().filter_map(|incident| incident.ticket_number.as_deref()).map(fold));
        ids.extend(outcome.closed.iter().map(ToString::to_string));
        ids.extend(outcome.work_item.iter().map(ToString::to_string));
    }
    ids.extend(record.history.iter().filter_map(|request| request.request_id.as_deref()).map(fold));
    ids
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
