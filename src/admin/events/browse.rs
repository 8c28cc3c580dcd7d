//! Browsing of events by state, organization, session and time, newest first, in pages.

use std::collections::HashMap;

use handoffd_engine::event::{EventKey, OrganizationId, SessionId};
use handoffd_engine::ports::store::EventScan;
use handoffd_engine::ports::store::position::Position;
use handoffd_engine::ports::store::scan::{self};
use handoffd_engine::ports::store::{Cursor, OutcomeFilter, StoreError, StoredEvent};
use handoffd_engine::worker::{EventStage, MOST_TRACKED, TrackedEvent};
use handoffd_engine::workflow::{Record, Status};
use jiff::Timestamp;

use super::answer::{EventAnswer, EventState, is_outdated};
use super::find::{EventSources, FoundEvent};
use crate::admin::search_line::SearchError;

/// Most pages of outcomes read for one page of events, when few of them match.
const MOST_READ: usize = 10;
/// Number of outcomes read at once, at least.
const READ: usize = 200;

/// Filter of events; every field that is set must match.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct EventFilter {
    /// State.
    pub state: Option<EventState>,
    /// Organization.
    pub organization: Option<OrganizationId>,
    /// Session.
    pub session: Option<SessionId>,
    /// Earliest time, inclusive.
    pub after: Option<Timestamp>,
    /// Latest time, exclusive.
    pub before: Option<Timestamp>,
}

/// Page of events.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct EventPage {
    /// Events, newest first.
    pub events: Vec<FoundEvent>,
    /// Position of the next page, if there may be one.
    pub next: Option<Cursor>,
}

/// Event with its place in the list.
struct Listed {
    position: Position,
    record: Option<Record>,
    tracked: Option<TrackedEvent>,
}

/// Sorted part of a list.
#[derive(Default)]
struct ListPart {
    listed: Vec<Listed>,
    /// Position up to which the part is complete; `None` if there is nothing beyond it.
    until: Option<Position>,
}

/// Lists events. Unfinished ones are listed by the time a worker first received them, the others by their end.
///
/// # Errors
/// If the store can't be read, the cursor is none of its own, or too many searches wait.
pub async fn browse(
    sources: &EventSources<'_>,
    filter: &EventFilter,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<EventPage, SearchError> {
    let after = cursor.map(Position::read).transpose()?;
    let _place = sources.line.enter().await?;
    let mut parts = Vec::new();
    if filter.state.is_none_or(|state| matches!(state, EventState::Waiting | EventState::InProgress)) {
        parts.push(tracked(sources, filter, after.as_ref(), limit));
        if filter.state != Some(EventState::InProgress) {
            parts.push(noted(sources, filter, after.as_ref(), limit).await?);
        }
        parts.push(unfinished(sources, filter, after.as_ref(), limit).await?);
    }
    if filter.state.is_none_or(|state| !matches!(state, EventState::Waiting | EventState::InProgress)) {
        parts.push(ended(sources, filter, after.as_ref(), limit).await?);
    }
    Ok(page(sources, filter, parts, limit))
}

/// Keeps the truest row of each event, of equals the first. The parts are read one after the other, so an event that ends meanwhile is in the
/// worker's as well as in the store's: its end is newer than what the worker knew, which is newer than what it had stored.
fn one_row_each(listed: &mut Vec<Listed>) {
    let truth = |listed: &Listed| match (&listed.record, &listed.tracked) {
        (Some(record), _) if record.outcome().is_some() => 2,
        (_, Some(_)) => 1,
        _ => 0,
    };
    let mut truest = HashMap::new();
    for row in &*listed {
        let best = truest.entry(row.position.key()).or_insert(0);
        *best = truth(row).max(*best);
    }
    listed.retain(|row| {
        let key = row.position.key();
        truest.get(&key) == Some(&truth(row)) && truest.remove(&key).is_some()
    });
}

/// Merges parts. Nothing is shown beyond the position up to which every part is complete.
fn page(sources: &EventSources<'_>, filter: &EventFilter, parts: Vec<ListPart>, limit: usize) -> EventPage {
    let until = parts.iter().filter_map(|part| part.until.clone()).max();
    let mut listed: Vec<Listed> = parts.into_iter().flat_map(|part| part.listed).collect();
    listed.sort_by(|one, other| other.position.cmp(&one.position));
    one_row_each(&mut listed);
    listed.retain(|listed| until.as_ref().is_none_or(|until| listed.position >= *until));
    let mut next = until;
    if listed.len() > limit {
        listed.truncate(limit);
        next = listed.last().map(|last| last.position.clone());
    }
    let answered = |Listed { position, record, tracked }: Listed| {
        let key = position.key();
        let answer = EventAnswer::of(&key, record.as_ref(), tracked.as_ref(), &sources.around)?;
        let matches = filter.state.is_none_or(|state| state == answer.state);
        matches.then(|| FoundEvent { answer, stored: record.map(|record| StoredEvent { key, record }) })
    };
    EventPage { events: listed.into_iter().filter_map(answered).collect(), next: next.map(|next| next.cursor()) }
}

fn tracked(sources: &EventSources<'_>, filter: &EventFilter, after: Option<&Position>, limit: usize) -> ListPart {
    let Some(tracker) = sources.tracker else { return ListPart::default() };
    let found = tracker.select(|key, tracked| {
        let is_running = matches!(tracked.stage, EventStage::InProgress);
        let state = if is_running { EventState::InProgress } else { EventState::Waiting };
        // Events that wait elsewhere may be over, which their notes and records tell.
        filter.state.is_none_or(|wanted| wanted == state)
            && (is_running || !is_elsewhere(sources, key))
            && filter.matches_tracked((key, tracked), after)
    });
    ListPart { listed: newest_of(found, limit + 1), until: None }
}

/// Lists the events that wait for other workers, or that others have moved to this one's queues, by their notes in the
/// store.
async fn noted(
    sources: &EventSources<'_>,
    filter: &EventFilter,
    after: Option<&Position>,
    limit: usize,
) -> Result<ListPart, StoreError> {
    if !sources.around.is_shared {
        return Ok(ListPart::default());
    }
    let notes = sources.store.queued(MOST_TRACKED).await?.into_iter();
    let notes = notes.map(|(key, note)| (key, TrackedEvent::of_note(note)));
    let is_unknown = |key: &EventKey| sources.tracker.is_none_or(|tracker| tracker.get(key).is_none());
    let is_listed = |key: &EventKey| is_elsewhere(sources, key) || is_unknown(key);
    let wanted = notes.filter(|(key, noted)| is_listed(key) && filter.matches_tracked((key, noted), after));
    let most = (READ * MOST_READ).max(limit + 1);
    let newest = newest_of(wanted.collect(), most);
    let mut part = ListPart { listed: Vec::new(), until: newest.get(most - 1).map(|last| last.position.clone()) };
    for listed in newest {
        let record = sources.store.record(&listed.position.key()).await?;
        // An unfinished record is listed by itself.
        let is_over = listed.tracked.as_ref().is_some_and(|noted| is_outdated(noted, record.as_ref()));
        if !is_over && record.as_ref().is_none_or(|record| record.outcome().is_some()) {
            part.listed.push(Listed { record, ..listed });
        }
        if part.listed.len() > limit {
            part.until = None;
            break;
        }
    }
    Ok(part)
}

fn is_elsewhere(sources: &EventSources<'_>, key: &EventKey) -> bool {
    sources.around.elsewhere.contains_key(key.organization_id.as_str())
}

fn place(key: &EventKey, tracked: &TrackedEvent) -> Position {
    Position::new(listed_at(tracked), key)
}

/// Returns the newest of these events, newest first.
fn newest_of(found: Vec<(EventKey, TrackedEvent)>, most: usize) -> Vec<Listed> {
    let mut listed: Vec<Listed> = found
        .into_iter()
        .map(|(key, tracked)| Listed { position: place(&key, &tracked), record: None, tracked: Some(tracked) })
        .collect();
    let newest_first = |one: &Listed, other: &Listed| other.position.cmp(&one.position);
    // Of a hundred thousand few are sorted.
    if listed.len() > most {
        listed.select_nth_unstable_by(most - 1, newest_first);
        listed.truncate(most);
    }
    listed.sort_unstable_by(newest_first);
    listed
}

async fn unfinished(
    sources: &EventSources<'_>,
    filter: &EventFilter,
    after: Option<&Position>,
    limit: usize,
) -> Result<ListPart, StoreError> {
    let scan = EventScan {
        id: filter.session.as_ref().map(ToString::to_string),
        organization: filter.organization.clone(),
        unfinished_only: true,
        after: newest(filter, after).map(|newest| newest.cursor()),
        limit: limit + 1,
    };
    let scanned = sources.store.scan(&scan).await?;
    let until = scanned.found.last().filter(|_| scanned.more).map(|last| scan::position(&last.key, &last.record));
    let wanted = |found: &StoredEvent| {
        filter.matches_time(scan::listed_at(&found.record))
            && filter.session.as_ref().is_none_or(|wanted| found.record.session_id.as_ref() == Some(wanted))
    };
    let listed = scanned.found.into_iter().filter(wanted).filter_map(|found| of_store(sources, found)).collect();
    Ok(ListPart { listed, until })
}

async fn ended(
    sources: &EventSources<'_>,
    filter: &EventFilter,
    after: Option<&Position>,
    limit: usize,
) -> Result<ListPart, StoreError> {
    let outcomes = OutcomeFilter {
        organization: filter.organization.clone(),
        session: filter.session.clone(),
        status: match filter.state {
            Some(EventState::Succeeded) => Some(Status::Succeeded),
            Some(EventState::Skipped) => Some(Status::Skipped),
            Some(EventState::Dead | EventState::Discarded) => Some(Status::Failed),
            Some(EventState::Waiting | EventState::InProgress) | None => None,
        },
        after: filter.after,
        before: filter.before,
        ..OutcomeFilter::default()
    };
    let is_wanted = |record: &Record| match filter.state {
        Some(EventState::Dead) => !record.is_discarded(),
        Some(EventState::Discarded) => record.is_discarded(),
        _ => true,
    };
    let (mut listed, mut cursor) = (Vec::new(), after.map(Position::cursor));
    for _ in 0..MOST_READ {
        let read = sources.store.outcomes(&outcomes, cursor.as_ref(), READ.max(limit + 1)).await?;
        cursor = read.next;
        let wanted = read.found.into_iter().filter(|found| is_wanted(&found.record));
        listed.extend(wanted.filter_map(|found| of_store(sources, found)));
        if cursor.is_none() || listed.len() > limit {
            break;
        }
    }
    let until = cursor.as_ref().map(Position::read).transpose()?;
    Ok(ListPart { listed, until })
}

/// Returns an event of the store, unless the worker knows it better and lists it by itself.
fn of_store(sources: &EventSources<'_>, StoredEvent { key, record }: StoredEvent) -> Option<Listed> {
    if sources.tracker.is_some_and(|tracker| tracker.get(&key).is_some()) {
        return None;
    }
    Some(Listed { position: scan::position(&key, &record), record: Some(record), tracked: None })
}

fn listed_at(tracked: &TrackedEvent) -> Timestamp {
    tracked.received().unwrap_or_else(|| tracked.since())
}

/// Returns the position that a page begins after, given the latest time of the filter.
fn newest(filter: &EventFilter, after: Option<&Position>) -> Option<Position> {
    let before = filter.before.map(|at| Position { at, event_id: "".into(), organization_id: "".into() });
    after.cloned().into_iter().chain(before).min()
}

impl EventFilter {
    /// Returns true if an answer matches.
    pub fn accepts(&self, answer: &EventAnswer) -> bool {
        self.state.is_none_or(|wanted| wanted == answer.state)
            && self
                .organization
                .as_ref()
                .is_none_or(|wanted| answer.organization_id.as_deref() == Some(wanted.as_str()))
            && self.session.as_ref().is_none_or(|wanted| answer.session_id.as_deref() == Some(wanted.as_str()))
            && answer.since.is_none_or(|since| self.matches_time(since))
    }

    fn matches_tracked(&self, (key, tracked): (&EventKey, &TrackedEvent), after: Option<&Position>) -> bool {
        self.organization.as_ref().is_none_or(|wanted| *wanted == key.organization_id)
            && self.session.as_ref().is_none_or(|wanted| *wanted == tracked.session_id)
            && self.matches_time(listed_at(tracked))
            && after.is_none_or(|after| place(key, tracked) < *after)
    }

    fn matches_time(&self, at: Timestamp) -> bool {
        self.after.is_none_or(|after| at >= after) && self.before.is_none_or(|before| at < before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use handoffd_engine::event::Kind;
    use handoffd_engine::ports::store::queued::QueuedNote;
    use handoffd_engine::workflow::{Outcome, Phase, samples};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn row(second: i64, event: &str, record: Option<Phase>, tracked: bool) -> Listed {
        let position = Position { at: at(second), event_id: event.into(), organization_id: "org".into() };
        let note = QueuedNote { kind: Kind::Handoff, session_id: "ses".into(), received: at(second), moved: None };
        let tracked = tracked.then(|| TrackedEvent::of_note(note));
        Listed { position, record: record.map(samples::record), tracked }
    }

    #[test]
    fn an_event_that_changes_while_a_page_is_read_has_one_row_the_truest() {
        let ended = Phase::Finished(Outcome::bare(Kind::Handoff, Status::Succeeded, 1, at(9)));
        let mut rows = vec![
            row(5, "ends", None, true),
            row(5, "begins", None, true),
            row(4, "ends", Some(Phase::InHand), false),
            row(4, "begins", Some(Phase::InHand), false),
            row(3, "elsewhere", Some(Phase::InHand), false),
            row(9, "ends", Some(ended.clone()), false),
            row(8, "ends", Some(ended), false),
        ];
        one_row_each(&mut rows);
        let left: Vec<(&str, i64)> =
            rows.iter().map(|row| (row.position.event_id.as_str(), row.position.at.as_second())).collect();
        assert_eq!(left, [("begins", 5), ("elsewhere", 3), ("ends", 9)]);
    }
}
