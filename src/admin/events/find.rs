//! Search for events by an id of any kind, or by its beginning, in everything that knows of events.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use async_trait::async_trait;
use handoffd_engine::dead_letters::DeadLetterEntry;
use handoffd_engine::event::{EventKey, IncidentId, WorkItemId};
use handoffd_engine::ports::store::EventScan;
use handoffd_engine::ports::store::scan::is_id;
use handoffd_engine::ports::store::{OutcomeFilter, Store, StoreError, StoredEvent};
use handoffd_engine::worker::{EventStage, EventTracker, MOST_TRACKED, TrackedEvent};
use handoffd_engine::workflow::{Phase, Record};
use uuid::Uuid;

use super::answer::{EventAnswer, EventState, Surroundings};
use crate::admin::search_line::{SearchError, SearchLine};

/// Most events in an answer.
const MOST: usize = 50;
/// Most slashes of an id that may separate an organization from an event; each costs a look into the store.
const MOST_SPLITS: usize = 100;
/// Fewest characters of an id's beginning; fewer would find every event.
pub(super) const SHORTEST: usize = 4;

/// Sources of an answer.
pub struct EventSources<'a> {
    /// Store.
    pub store: &'a dyn Store,
    /// Unfinished events of the worker, if one runs.
    pub tracker: Option<&'a EventTracker>,
    /// Number of events that wait in organizations' queues, as far as it is known.
    pub waiting: u64,
    /// Dead letters.
    pub letters: &'a dyn LetterSearch,
    /// Organizations, queues and time.
    pub around: Surroundings<'a>,
    /// Line of the searches of the store.
    pub line: &'a SearchLine,
}

/// Search of the dead letters.
#[async_trait]
pub trait LetterSearch: Send + Sync {
    /// Returns the dead letters whose letter id, event id or session id begins with this text, at most so many.
    async fn search(&self, id: &str, most: usize) -> Result<LetterMatches, String>;
}

/// Dead letters that were found by an id.
#[derive(Default)]
pub struct LetterMatches {
    /// Entries.
    pub entries: Vec<DeadLetterEntry>,
    /// Reason why there may be more.
    pub incomplete: Option<String>,
}

/// Result of a search.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Found {
    /// Events, newest first.
    pub events: Vec<FoundEvent>,
    /// Reasons why the answer may be incomplete; empty if it is complete.
    pub incomplete: Vec<String>,
}

/// Event that was found.
#[derive(Clone, PartialEq, Debug)]
pub struct FoundEvent {
    /// Answer.
    pub answer: EventAnswer,
    /// Event in the store, if it was begun.
    pub stored: Option<StoredEvent>,
}

type Known = BTreeMap<EventKey, (Option<Record>, Option<TrackedEvent>)>;

/// Finds events by an id of any kind: event, `organization/event`, session, incident, ticket number, live work item, or a
/// request id of Dynamics. Without an exact match, by its beginning. Without a match at all, by the id without the white
/// space around it, which an id may have but is more often a slip.
///
/// # Errors
/// If the store can't be read, or too many searches wait.
pub async fn find(sources: &EventSources<'_>, id: &str) -> Result<Found, SearchError> {
    let found = find_as_given(sources, id).await?;
    if found.events.is_empty() && id != id.trim() { find_as_given(sources, id.trim()).await } else { Ok(found) }
}

async fn find_as_given(sources: &EventSources<'_>, id: &str) -> Result<Found, SearchError> {
    let mut found = Found::default();
    let (known, notes) = known(sources, id, &mut found.incomplete).await?;
    found.events = answers(known, &sources.around);
    if found.events.is_empty() {
        match sources.letters.search(id, MOST).await {
            Ok(letters) => {
                found.events.extend(letters.entries.iter().map(|letter| FoundEvent {
                    answer: EventAnswer::of_letter(letter, sources.around.names),
                    stored: None,
                }));
                found.incomplete.extend(letters.incomplete);
            }
            Err(problem) => found.incomplete.push(format!("the dead letters could not be searched: {problem}")),
        }
        found.incomplete.extend(unknown_events(sources, notes));
    }
    if sources.tracker.is_none() && found.events.iter().any(|event| event.answer.state == EventState::Dead) {
        found
            .incomplete
            .push("no worker answers, so a dead letter that was replayed meanwhile still counts as dead".to_owned());
    }
    if found.events.len() > MOST {
        found.events.truncate(MOST);
        found.incomplete.push(format!("more than {MOST} events match; the newest are shown"));
    }
    Ok(found)
}

/// Searches worker and store. Returns with what is known the number of all notes, if they were read. The dead letters are
/// searched outside the line, for they wait for the broker.
async fn known(
    sources: &EventSources<'_>,
    id: &str,
    incomplete: &mut Vec<String>,
) -> Result<(Known, u64), SearchError> {
    let _place = sources.line.enter().await?;
    let mut known = exactly(sources, id).await?;
    if known.is_empty() && id.chars().count() >= SHORTEST {
        known = by_beginning(sources, id, incomplete).await?;
    }
    let mut notes = 0;
    if known.is_empty() || may_wait_elsewhere(&known, sources) {
        notes = noted(&mut known, sources, id).await?;
    }
    Ok((known, notes))
}

async fn exactly(sources: &EventSources<'_>, id: &str) -> Result<Known, StoreError> {
    let mut known = Known::new();
    for key in EventKey::splits(id).take(MOST_SPLITS) {
        let tracked = sources.tracker.and_then(|tracker| tracker.get(&key));
        let record = sources.store.record(&key).await?;
        if record.is_some() || tracked.is_some() {
            known.insert(key, (record, tracked));
        }
    }
    for filter in filters(id) {
        let page = sources.store.outcomes(&filter, None, MOST + 1).await?;
        page.found.into_iter().for_each(|found| add(&mut known, found));
    }
    let unfinished =
        EventScan { id: Some(id.to_owned()), unfinished_only: true, limit: MOST + 1, ..EventScan::default() };
    let scanned = sources.store.scan(&unfinished).await?;
    scanned
        .found
        .into_iter()
        .filter(|found| is_id(&found.key, &found.record, id))
        .for_each(|found| add(&mut known, found));
    track(&mut known, sources, |key, tracked| key.event_id.as_str() == id || tracked.session_id.as_str() == id).await?;
    Ok(known)
}

async fn by_beginning(sources: &EventSources<'_>, id: &str, incomplete: &mut Vec<String>) -> Result<Known, StoreError> {
    let mut known = Known::new();
    let scan = EventScan { id: Some(id.to_owned()), limit: MOST + 1, ..EventScan::default() };
    let scanned = sources.store.scan(&scan).await?;
    if scanned.is_partial {
        incomplete.push("the store is large, and the search ended early; enter the complete id".to_owned());
    }
    scanned.found.into_iter().for_each(|found| add(&mut known, found));
    let begins = |text: &str| text.to_lowercase().starts_with(&id.to_lowercase());
    track(&mut known, sources, |key, tracked| begins(key.event_id.as_str()) || begins(tracked.session_id.as_str()))
        .await?;
    Ok(known)
}

/// Adds what the worker knows: of the events found so far, and of others that a predicate selects.
async fn track(
    known: &mut Known,
    sources: &EventSources<'_>,
    is_wanted: impl Fn(&EventKey, &TrackedEvent) -> bool,
) -> Result<(), StoreError> {
    let Some(tracker) = sources.tracker else { return Ok(()) };
    for (key, (_, tracked)) in known.iter_mut() {
        *tracked = tracker.get(key);
    }
    for (key, tracked) in tracker.select(is_wanted).into_iter().take(MOST + 1) {
        if let Entry::Vacant(unknown) = known.entry(key) {
            let record = sources.store.record(unknown.key()).await?;
            unknown.insert((record, Some(tracked)));
        }
    }
    Ok(())
}

/// Returns true if a dead letter may have been replayed, and wait for another worker.
fn may_wait_elsewhere(known: &Known, sources: &EventSources<'_>) -> bool {
    let elsewhere = &sources.around.elsewhere;
    let is_dead = |record: &Record| matches!(record.phase, Phase::Dead(_));
    known.iter().any(|(key, (record, tracked))| {
        tracked.is_none()
            && record.as_ref().is_some_and(is_dead)
            && elsewhere.contains_key(key.organization_id.as_str())
    })
}

/// Adds queued events that the store has notes of: those of other workers, or while none runs. Returns the number of all
/// notes.
async fn noted(known: &mut Known, sources: &EventSources<'_>, id: &str) -> Result<u64, StoreError> {
    let is_short = id.chars().count() < SHORTEST;
    let begins = |text: &str| text == id || (!is_short && text.to_lowercase().starts_with(&id.to_lowercase()));
    let notes = sources.store.queued(MOST_TRACKED).await?;
    let count = notes.len() as u64;
    for (key, note) in notes {
        if key.is_named(id) || begins(key.event_id.as_str()) || begins(note.session_id.as_str()) {
            known.entry(key).or_default().1.get_or_insert_with(|| TrackedEvent::of_note(note));
        }
    }
    Ok(count)
}

fn add(known: &mut Known, StoredEvent { key, record }: StoredEvent) {
    known.entry(key).or_default().0 = Some(record);
}

fn answers(known: Known, around: &Surroundings<'_>) -> Vec<FoundEvent> {
    let answer = |(key, (record, tracked)): (EventKey, (Option<Record>, Option<TrackedEvent>))| {
        let answer = EventAnswer::of(&key, record.as_ref(), tracked.as_ref(), around)?;
        Some(FoundEvent { answer, stored: record.map(|record| StoredEvent { key, record }) })
    };
    let mut found: Vec<FoundEvent> = known.into_iter().filter_map(answer).collect();
    found.sort_by_key(|found| Reverse(found.answer.since));
    found
}

/// Returns the reason why an event may wait without being known by its id, if there is one.
fn unknown_events(sources: &EventSources<'_>, notes: u64) -> Option<String> {
    let Some(tracker) = sources.tracker else {
        return Some(
            "no worker answers, so events that wait in the inbox or in organizations' queues are not known by id"
                .to_owned(),
        );
    };
    let queued = tracker.count(|tracked| tracked.stage == EventStage::Queued).max(notes);
    (sources.waiting > queued).then(|| {
        format!(
            "{} events wait in organizations' queues that are not known by id, because they were moved there before this \
             worker started; each is known as soon as the worker takes it",
            sources.waiting - queued
        )
    })
}

/// Returns the filters that an id may match exactly.
fn filters(id: &str) -> Vec<OutcomeFilter> {
    let none = OutcomeFilter::default;
    let mut filters = vec![
        OutcomeFilter { event_id: Some(id.to_owned()), ..none() },
        OutcomeFilter { ticket_number: Some(id.to_owned()), ..none() },
        OutcomeFilter { session: Some(id.into()), ..none() },
    ];
    if let Ok(guid) = id.parse::<Uuid>() {
        filters.push(OutcomeFilter { incident: Some(IncidentId(guid)), ..none() });
        filters.push(OutcomeFilter { work_item: Some(WorkItemId(guid)), ..none() });
    }
    filters
}
