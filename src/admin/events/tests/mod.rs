use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use handoffd_engine::dead_letters::DeadLetterEntry;
use handoffd_engine::event::{EventKey, Kind};
use handoffd_engine::memory_store::MemoryStore;
use handoffd_engine::ports::store::queued::QueuedNote;
use handoffd_engine::ports::store::{Change, Store};
use handoffd_engine::worker::{EventStage, EventTracker, TrackedEvent};
use handoffd_engine::workflow::{HistoryEntry, Milestone, Outcome, Phase, Reason, Record, Status, StepName, samples};
use jiff::Timestamp;

use super::*;
use crate::admin::search_line::SearchLine;
use crate::organizations::OrganizationState;

mod elsewhere;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + 60 * minute).unwrap()
}

fn key(event: &str) -> EventKey {
    EventKey { organization_id: "org".into(), event_id: event.into() }
}

fn record(phase: Phase) -> Record {
    Record { session_id: Some("ses_1".into()), first_seen: at(0), settled: true, ..samples::record(phase) }
}

fn ended(status: Status, reason: Option<Reason>, minute: i64) -> Outcome {
    Outcome { reason, ..Outcome::bare(Kind::Handoff, status, 1, at(minute)) }
}

fn dead(minute: i64) -> Record {
    record(Phase::Dead(ended(Status::Failed, Some(Reason::RejectedByDynamics), minute)))
}

fn waiting(reason: &str, since: i64, until: i64) -> Record {
    let mut waiting = record(Phase::Waiting);
    waiting.life.add(Milestone::waiting(at(since), reason, at(until)));
    waiting
}

fn tracked(stage: EventStage, since: i64) -> TrackedEvent {
    let note = QueuedNote { kind: Kind::Handoff, session_id: "ses_1".into(), received: at(since), moved: None };
    let mut tracked = TrackedEvent::of_note(note);
    tracked.stage = stage;
    tracked
}

fn names() -> QueueNames {
    QueueNames {
        organization: Arc::new(|id| format!("q.organization.{id}")),
        retries: vec![(Duration::from_secs(300), "q.retry.5m".to_owned())],
        dead_letters: "q.dead-letters".to_owned(),
    }
}

fn states() -> [(&'static str, OrganizationState); 4] {
    let blocked = OrganizationState::Blocked { since: at(0), error: "401".to_owned(), advice: "Renew it.".to_owned() };
    [
        ("queued", OrganizationState::Open),
        ("throttled", OrganizationState::Throttled { until: at(30) }),
        ("blocked", blocked),
        ("paused", OrganizationState::Paused { since: at(0) }),
    ]
}

fn around(names: &QueueNames, state: Option<OrganizationState>) -> Surroundings<'_> {
    let organizations = state.map(|state| ("org".to_owned(), state)).into_iter().collect();
    let elsewhere = HashMap::new();
    Surroundings {
        now: at(10),
        names,
        broker_connected: true,
        organizations: Some(organizations),
        paused: HashSet::new(),
        is_shared: false,
        elsewhere,
    }
}

/// Answer in one line: state, place, minute, reason, minute of the next attempt.
fn told(record: Option<&Record>, tracked: Option<&TrackedEvent>, state: Option<OrganizationState>) -> String {
    let names = names();
    let answer = EventAnswer::of(&key("evt_1"), record, tracked, &around(&names, state)).expect("an answer");
    assert_eq!(answer.session_id.as_deref(), Some("ses_1"));
    assert!(answer.advice.is_some() || matches!(answer.state, EventState::Succeeded | EventState::Skipped));
    let minute = |time: Option<Timestamp>| time.map_or(-1, |time| time.duration_since(at(0)).as_secs() / 60);
    format!(
        "{} | {} | {} | {} | {}",
        answer.state.as_str(),
        answer.place.as_deref().unwrap_or("-"),
        minute(answer.since),
        answer.reason.as_deref().unwrap_or("-"),
        minute(answer.next_attempt)
    )
}

#[test]
fn an_event_waits_for_its_organization_in_its_queue() {
    for ((reason, state), next) in states().into_iter().zip([-1, 30, -1, -1]) {
        let queued = tracked(EventStage::Queued, 5);
        assert_eq!(
            told(None, Some(&queued), Some(state.clone())),
            format!("waiting | queue q.organization.org | 5 | {reason} | {next}")
        );
        let held = tracked(EventStage::OnHold("blocked"), 5);
        let expected = if reason == "queued" { "blocked" } else { reason };
        assert_eq!(
            told(None, Some(&held), Some(state)),
            format!("waiting | this worker, on hold | 5 | {expected} | {next}")
        );
    }
    let queued = tracked(EventStage::Queued, 5);
    assert_eq!(told(None, Some(&queued), None), "waiting | queue q.organization.org | 5 | unknown_organization | -1");
}

#[test]
fn an_event_without_a_queue_is_told_what_its_organization_lacks() {
    let (names, known) = (names(), tracked(EventStage::Retrying { reason: "new_queue", until: at(12).into() }, 7));
    let advice = |state| {
        let around = around(&names, Some(state));
        EventAnswer::of(&key("evt_1"), None, Some(&known), &around).expect("an answer").advice.expect("advice")
    };
    let blocked = OrganizationState::Blocked { since: at(0), error: "missing".into(), advice: "Create it.".into() };
    assert_eq!(advice(blocked), "Create it.");
    assert!(advice(OrganizationState::Open).ends_with("No action needed."));
}

#[test]
fn an_event_waits_in_a_retry_queue_until_its_delay_is_over() {
    let open = Some(OrganizationState::Open);
    let known = tracked(EventStage::Retrying { reason: "store", until: at(12).into() }, 7);
    assert_eq!(told(None, Some(&known), open.clone()), "waiting | queue q.retry.5m | 7 | store | 12");
    let stored = waiting("transient", 7, 12);
    assert_eq!(told(Some(&stored), None, open.clone()), "waiting | queue q.retry.5m | 7 | transient | 12");
    assert_eq!(
        told(Some(&waiting("transient", 7, 11)), None, open.clone()),
        "waiting | a retry queue | 7 | transient | 11"
    );
    let over = waiting("transient", 1, 6);
    assert_eq!(told(Some(&over), None, open), "waiting | queue q.organization.org | 6 | queued | -1");
}

#[test]
fn an_event_that_failed_has_its_last_error() {
    let names = names();
    let request = |status, error: Option<&str>| HistoryEntry {
        at: at(7),
        attempt: 1,
        step: StepName::PostIncident,
        elapsed_ms: 5,
        status,
        code: None,
        error: error.map(str::to_owned),
        request_id: None,
    };
    for (requests, expected) in [
        (
            vec![request(Some(500), Some("Out of order.")), request(Some(503), None)],
            Some("HTTP status 503 (post_incident)"),
        ),
        (vec![request(None, None)], Some("no response (post_incident)")),
        (vec![request(Some(500), Some("Out of order.")), request(Some(404), None)], Some("Out of order.")),
        (vec![request(Some(404), None), request(Some(201), None)], None),
    ] {
        let failed = Record { history: requests, ..waiting("transient", 7, 12) };
        let answer = EventAnswer::of(&key("evt_1"), Some(&failed), None, &around(&names, None)).unwrap();
        assert_eq!(answer.error.as_deref(), expected);
    }
}

#[test]
fn an_event_in_progress_is_with_a_worker() {
    let open = || Some(OrganizationState::Open);
    let known = tracked(EventStage::InProgress, 9);
    assert_eq!(told(None, Some(&known), open()), "in_progress | this worker | 9 | - | -1");
    assert_eq!(told(Some(&record(Phase::InHand)), None, open()), "in_progress | - | 0 | - | -1");
}

#[test]
fn an_event_that_is_over_has_its_end_unless_it_is_queued_again() {
    let open = || Some(OrganizationState::Open);
    let done = record(Phase::Finished(ended(Status::Succeeded, None, 4)));
    assert_eq!(told(Some(&done), None, open()), "succeeded | - | 4 | - | -1");
    let skipped = record(Phase::Finished(ended(Status::Skipped, Some(Reason::NoIncident), 4)));
    assert_eq!(told(Some(&skipped), None, open()), "skipped | - | 4 | no_incident | -1");
    let died = dead(4);
    assert_eq!(told(Some(&died), None, open()), "dead | queue q.dead-letters | 4 | rejected_by_dynamics | -1");
    let replayed = tracked(EventStage::Queued, 5);
    assert_eq!(told(Some(&died), Some(&replayed), open()), "waiting | queue q.organization.org | 5 | queued | -1");
    let older = tracked(EventStage::Queued, 3);
    assert_eq!(told(Some(&done), Some(&older), open()), "succeeded | - | 4 | - | -1", "an old note");
    let mut discarded = dead(4);
    discarded.life.add(Milestone::discarded(at(6), "token (ann)"));
    assert_eq!(told(Some(&discarded), None, open()), "discarded | - | 6 | rejected_by_dynamics | -1");
}

/// Dead letters by their event ids.
#[derive(Default)]
struct Letters(Vec<&'static str>);

#[async_trait]
impl LetterSearch for Letters {
    async fn search(&self, id: &str, most: usize) -> Result<LetterMatches, String> {
        if id == "broken" {
            return Err("the broker is away".to_owned());
        }
        let entry = |id: &&str| DeadLetterEntry {
            letter_id: "dl_1".to_owned(),
            event_id: Some((*id).to_owned()),
            ..DeadLetterEntry::default()
        };
        let entries = self.0.iter().map(entry).filter(|entry| entry.has_id(id)).take(most).collect();
        Ok(LetterMatches { entries, incomplete: None })
    }
}

/// Store with an event in each state, and a worker that knows one more.
async fn stocked() -> (MemoryStore, EventTracker, SearchLine) {
    let (store, tracker) = (MemoryStore::new(), EventTracker::default());
    let mut discarded = dead(2);
    discarded.life.add(Milestone::discarded(at(3), "local"));
    let all = [
        ("evt_done", record(Phase::Finished(ended(Status::Succeeded, None, 8)))),
        ("evt_skipped", record(Phase::Finished(ended(Status::Skipped, Some(Reason::NoIncident), 7)))),
        ("evt_dead", dead(6)),
        ("evt_discarded", discarded),
        ("evt_retrying", waiting("transient", 1, 100)),
        ("evt_begun", Record { first_seen: at(1), ..record(Phase::InHand) }),
    ];
    let changes = all.map(|(id, record)| Change::Record(key(id), Box::new(record)));
    store.persist(changes.into()).await.unwrap();
    let note = QueuedNote { kind: Kind::Handoff, session_id: "ses_2".into(), received: at(5), moved: None };
    tracker.restore(vec![(key("evt_queued"), note)]);
    (store, tracker, SearchLine::default())
}

fn sources<'a>(
    (store, tracker, line): &'a (MemoryStore, EventTracker, SearchLine),
    letters: &'a Letters,
    names: &'a QueueNames,
) -> EventSources<'a> {
    let around = around(names, Some(OrganizationState::Open));
    EventSources { store, tracker: Some(tracker), waiting: 1, letters, around, line }
}

fn ids(events: &[FoundEvent]) -> Vec<&str> {
    events.iter().filter_map(|event| event.answer.event_id.as_deref()).collect()
}

#[tokio::test]
async fn exact_ids_are_found_before_beginnings_and_dead_letters_last() {
    let (all, letters, names) = (stocked().await, Letters(vec!["evt_done", "evt_letter"]), names());
    let sources = sources(&all, &letters, &names);
    for (id, expected) in [
        ("evt_dead", &["evt_dead"][..]),
        ("org/evt_dead", &["evt_dead"]),
        ("evt_queued", &["evt_queued"]),
        ("org/evt_queued", &["evt_queued"]),
        ("ses_2", &["evt_queued"]),
        ("ses_1", &["evt_done", "evt_skipped", "evt_dead", "evt_discarded", "evt_retrying", "evt_begun"]),
        ("evt_d", &["evt_done", "evt_dead", "evt_discarded"]),
        ("evt_q", &["evt_queued"]),
        ("EVT_DEAD", &["evt_dead"]),
        ("evt_le", &["evt_letter"]),
        ("evt", &["evt_done", "evt_letter"]),
        ("nothing", &[]),
    ] {
        let found = find(&sources, id).await.unwrap();
        let mut found: Vec<&str> = ids(&found.events);
        let mut expected = expected.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{id}");
    }
}

/// Some publishers' ids have white space around them; around a typed id it is a slip.
#[tokio::test]
async fn white_space_around_an_id_is_part_of_it_if_an_event_has_it() {
    let (all, letters, names) = (stocked().await, Letters::default(), names());
    let (outcome, session_id) = (ended(Status::Succeeded, None, 9), Some(" ses pad ".into()));
    let padded = Record { session_id, ..record(Phase::Finished(outcome)) };
    all.0.persist(vec![Change::Record(key(" evt pad "), Box::new(padded))]).await.unwrap();
    let sources = sources(&all, &letters, &names);
    for (id, expected) in [
        (" ses pad ", " evt pad "),
        (" evt pad ", " evt pad "),
        ("org/ evt pad ", " evt pad "),
        (" evt_done ", "evt_done"),
    ] {
        assert_eq!(ids(&find(&sources, id).await.unwrap().events), [expected], "{id:?}");
    }
    for (query, expected) in [
        ("session=%20ses%20pad%20", " evt pad "),
        ("event_id=%20evt%20pad%20&organization=org", " evt pad "),
        ("event_id=%20evt_done%20&organization=%20org&status=succeeded%20", "evt_done"),
    ] {
        let page = crate::admin::api::outcomes::find(&all.0, query).await.unwrap();
        assert_eq!(page["outcomes"][0]["source_event_id"], expected, "{query}");
    }
}

#[tokio::test]
async fn an_answer_says_why_it_may_be_incomplete() {
    let (all, letters, names) = (stocked().await, Letters::default(), names());
    let whole = sources(&all, &letters, &names);
    let incomplete =
        async |sources: &EventSources<'_>, id: &str| find(sources, id).await.unwrap().incomplete.join("; ");
    assert_eq!(incomplete(&whole, "nothing").await, "");
    assert!(incomplete(&whole, "broken").await.contains("the broker is away"));
    let more = EventSources { waiting: 3, ..sources(&all, &letters, &names) };
    assert!(incomplete(&more, "nothing").await.starts_with("2 events wait"));
    let without = EventSources { tracker: None, ..sources(&all, &letters, &names) };
    assert!(incomplete(&without, "nothing").await.starts_with("no worker answers"));
    assert_eq!(incomplete(&without, "evt_done").await, "");
    assert!(incomplete(&without, "evt_dead").await.contains("replayed"), "its letter may have left the queue");
    assert_eq!(incomplete(&whole, "evt_dead").await, "");
    let note = QueuedNote { kind: Kind::Handoff, session_id: "ses_3".into(), received: at(5), moved: None };
    all.0.persist(vec![Change::Queued(key("evt_noted"), note)]).await.unwrap();
    assert_eq!(ids(&find(&without, "evt_noted").await.unwrap().events), ["evt_noted"]);
    assert_eq!(ids(&find(&without, "ses_3").await.unwrap().events), ["evt_noted"]);
}

#[tokio::test]
async fn events_are_browsed_by_state_newest_first_in_pages_of_any_size() {
    let (all, letters, names) = (stocked().await, Letters::default(), names());
    let sources = sources(&all, &letters, &names);
    let everything =
        ["evt_done", "evt_skipped", "evt_dead", "evt_queued", "evt_discarded", "evt_begun", "evt_retrying"];
    let of = |state| EventFilter { state, ..EventFilter::default() };
    let cases: HashMap<Option<EventState>, &[&str]> = HashMap::from([
        (None, &everything[..]),
        (Some(EventState::Waiting), &["evt_queued", "evt_retrying"]),
        (Some(EventState::InProgress), &["evt_begun"]),
        (Some(EventState::Succeeded), &["evt_done"]),
        (Some(EventState::Skipped), &["evt_skipped"]),
        (Some(EventState::Dead), &["evt_dead"]),
        (Some(EventState::Discarded), &["evt_discarded"]),
    ]);
    for (state, expected) in cases {
        for limit in 1..=8 {
            let (mut found, mut cursor) = (Vec::new(), None);
            for _ in 0..50 {
                let page = browse(&sources, &of(state), cursor.as_ref(), limit).await.unwrap();
                assert!(page.events.len() <= limit);
                found.extend(ids(&page.events).into_iter().map(str::to_owned));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            assert!(cursor.is_none(), "the pages end");
            assert_eq!(found, expected, "{state:?}, pages of {limit}");
        }
    }
}

#[tokio::test]
async fn events_are_browsed_by_organization_session_and_time() {
    let (all, letters, names) = (stocked().await, Letters::default(), names());
    let sources = sources(&all, &letters, &names);
    let found = async |filter: EventFilter| {
        let page = browse(&sources, &filter, None, 50).await.unwrap();
        ids(&page.events).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let none = EventFilter::default;
    assert_eq!(found(EventFilter { organization: Some("other".into()), ..none() }).await, Vec::<String>::new());
    assert_eq!(found(EventFilter { organization: Some("org".into()), ..none() }).await.len(), 7);
    assert_eq!(found(EventFilter { session: Some("ses_2".into()), ..none() }).await, ["evt_queued"]);
    assert_eq!(found(EventFilter { session: Some("ses_1".into()), ..none() }).await.len(), 6);
    assert_eq!(found(EventFilter { session: Some("ses_".into()), ..none() }).await.len(), 0);
    let some = EventFilter { after: Some(at(5)), before: Some(at(8)), ..none() };
    assert_eq!(found(some).await, ["evt_skipped", "evt_dead", "evt_queued"]);
}

/// The worker's knowledge is newer than the record, and both are read for a list.
#[tokio::test]
async fn an_event_that_worker_and_store_know_is_listed_once_as_the_worker_knows_it() {
    let (all, letters, names) = (stocked().await, Letters::default(), names());
    let note =
        |minute| QueuedNote { kind: Kind::Handoff, session_id: "ses_1".into(), received: at(minute), moved: None };
    // A replayed event, and one that a process began which has ended.
    all.1.restore(vec![(key("evt_dead"), note(9)), (key("evt_begun"), note(9))]);
    let sources = sources(&all, &letters, &names);
    let page = browse(&sources, &EventFilter::default(), None, 50).await.unwrap();
    for id in ["evt_dead", "evt_begun"] {
        let listed: Vec<_> = page.events.iter().filter(|it| it.answer.event_id.as_deref() == Some(id)).collect();
        assert_eq!(listed.iter().map(|it| it.answer.state).collect::<Vec<_>>(), [EventState::Waiting], "{id}");
    }
}
