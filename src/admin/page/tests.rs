//! Hostile names on every page. Publishers choose IDs; remote servers choose messages.

use handoffd_engine::dead_letters::{
    DeadLetterEntry, DeadLetterGroup, LetterChange, LetterSurvey, OperationResult, SelectionText,
};
use handoffd_engine::event::{EventKey, Kind};
use handoffd_engine::ports::metrics::BrokerQueue;
use handoffd_engine::ports::store::StoredEvent;
use handoffd_engine::workflow::{
    Failure, HistoryEntry, Milestone, Outcome, Phase, Reason, Record, Status, StepName, samples,
};
use jiff::Timestamp;
use maud::html;

use super::activity::{ActivityView, activity};
use super::dead_letters::confirm::{DryRunForm, confirm};
use super::dead_letters::edit::{EditForm, edit};
use super::dead_letters::filter::FilterForm;
use super::dead_letters::list::{DeadLetterList, letters};
use super::dead_letters::one::{OneDeadLetter, one};
use super::dead_letters::result::{Completion, JobProgress, course};
use super::dead_letters::tests::list_of;
use super::events::EventList;
use super::layout::{PageHead, PageTab, SignIn, page};
use super::now::{NowView, now};
use super::organizations::filter::OrganizationFilter;
use super::organizations::list::{OrganizationListPage, head, list};
use super::organizations::one::{OneOrganization, organization};
use super::timeline::StoryContext;
use super::{events, find};
use crate::admin::api::dead_letters::DeadLetterSurvey;
use crate::admin::api::dead_letters::jobs::JobView;
use crate::admin::audit::{AuditAction, AuditEntry, Identity};
use crate::admin::deps::WorkerView;
use crate::admin::events::{EventAnswer, EventState, FoundEvent};
use crate::admin::history::{MINUTES, Minute};
use crate::admin::journal::{ActivityEntry, JournalChange};
use crate::admin::organization_tests::TestState;
use crate::organizations::{CheckResult, Finding, OrganizationState, OrganizationView, Origin, SetupHalf, TestReport};
use crate::status::{RequestCounts, StatusReason, WorkerStatus, WorkerVerdict};
use crate::telemetry::metrics::QueueDepths;

/// A tag, an attribute's end, an entity, a direction override and an invisible character.
const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=y>&amp;\u{202e}gnp\u{200b}";

pub(super) fn at() -> Timestamp {
    "2026-11-22T10:15:00Z".parse().expect("a test's time is RFC 3339")
}

#[allow(clippy::unnecessary_wraps)] // most fields are optional
pub(super) fn text() -> Option<String> {
    Some(HOSTILE.to_owned())
}

pub(super) fn failed() -> Outcome {
    Outcome {
        session_id: Some(HOSTILE.into()),
        reason: Some(Reason::RejectedByDynamics),
        error: Some(Failure {
            step: StepName::PostIncident,
            status: Some(400),
            code: text(),
            message: HOSTILE.to_owned(),
            advice: text(),
        }),
        ..Outcome::bare(Kind::Handoff, Status::Failed, 1, at())
    }
}

fn found(phase: Phase) -> StoredEvent {
    let entry = HistoryEntry {
        at: at(),
        attempt: 1,
        step: StepName::PostIncident,
        elapsed_ms: 12,
        status: Some(400),
        code: text(),
        error: text(),
        request_id: text(),
    };
    let record =
        Record { session_id: Some(HOSTILE.into()), first_seen: at(), history: vec![entry], ..samples::record(phase) };
    StoredEvent { key: EventKey { organization_id: HOSTILE.into(), event_id: HOSTILE.into() }, record }
}

pub(super) fn entry() -> DeadLetterEntry {
    DeadLetterEntry {
        letter_id: "dl_1".to_owned(),
        event_id: text(),
        organization_id: text(),
        session_id: text(),
        reason: text(),
        error: text(),
        dead_at: Some(at()),
        result: Some(OperationResult::Failed),
        problem: text(),
        message: None,
    }
}

pub(super) fn view(state: OrganizationState) -> OrganizationView {
    OrganizationView {
        organization_id: HOSTILE.to_owned(),
        environment_url: format!("javascript:{HOSTILE}"),
        source: Origin::File(HOSTILE.into()),
        state,
        concurrency: Some(4),
        under_way: Some(1),
        waiting: Some(3),
        oldest_seconds: None,
        requests: Some(RequestCounts::default()),
        response_seconds: Some(0.2),
        finished: 7,
        dead: 1,
        blocked_elsewhere: None,
        last_success: Some(at()),
        troubles: Vec::new(),
        worker: text(),
    }
}

/// Open organization with this ID.
pub(in crate::admin) fn sample_view(id: &str) -> OrganizationView {
    OrganizationView { organization_id: id.to_owned(), ..view(OrganizationState::Open) }
}

/// Head of a page while everything works.
pub(super) fn page_head() -> PageHead {
    head_in(WorkerVerdict::Working)
}

/// Head of a page with this verdict.
pub(super) fn head_in(verdict: WorkerVerdict) -> PageHead {
    let status = WorkerStatus { verdict, since: at(), reasons: Vec::new() };
    PageHead { status, at: at(), dead_letters: None, session: SignIn::default() }
}

/// Asserts that the text contains no markup and no invisible characters.
fn assert_harmless(drawn: &str) {
    assert!(drawn.contains("&lt;script&gt;alert(1)"), "it is shown: {drawn}");
    for evil in ["<script>", "<img", "href=\"javascript:", "style=\""] {
        assert!(!drawn.contains(evil), "{evil:?} in {drawn}");
    }
    let read = without_values(drawn);
    for unseen in ['\u{202e}', '\u{200b}'] {
        assert!(!read.contains(unseen), "{unseen:?} in {read}");
    }
}

/// Returns the visible text. A value that a form sends back must be the name itself, byte for byte.
fn without_values(drawn: &str) -> String {
    let mut parts = drawn.split(" value=\"");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |read, part| read + part.split_once('"').expect("an attribute's end").1)
}

#[test]
fn names_are_never_markup_on_the_overview() {
    let blocked = OrganizationState::Blocked { since: at(), error: HOSTILE.to_owned(), advice: HOSTILE.to_owned() };
    let reason = |organization_id| StatusReason {
        organization_id,
        cause: HOSTILE.to_owned(),
        advice: HOSTILE.to_owned(),
        since: at(),
    };
    let mut standing = head_in(WorkerVerdict::NotWorking);
    standing.status.reasons = vec![reason(None), reason(text())];
    let drawn = now(&NowView {
        at: at(),
        standing: &standing,
        in_progress: 1,
        minutes: &[Some(Minute::default()); MINUTES],
        queues: &QueueDepths::from([
            (BrokerQueue::Inbox(HOSTILE.to_owned()), Some(1)),
            (BrokerQueue::Organization(HOSTILE.into()), None),
        ]),
        organizations: &[
            OrganizationView { oldest_seconds: Some(9.0), ..view(blocked) },
            OrganizationView { waiting: None, ..view(OrganizationState::Open) },
        ],
        failures: Ok(&[found(Phase::Dead(failed()))]),
    });
    assert_harmless(&drawn.0);
    assert!(drawn.0.contains("Not processing events") && drawn.0.contains("9 s"), "{}", drawn.0);
    assert!(drawn.0.contains("events, unknown for 1 of 2"), "{}", drawn.0);
}

fn answer(state: EventState) -> EventAnswer {
    EventAnswer {
        event_id: text(),
        organization_id: text(),
        session_id: text(),
        state,
        place: text(),
        since: Some(at()),
        reason: text(),
        next_attempt: Some(at()),
        advice: text(),
        error: text(),
    }
}

fn told(phase: Phase, state: EventState) -> FoundEvent {
    FoundEvent { answer: answer(state), stored: Some(found(phase)) }
}

#[test]
fn names_are_never_markup_in_a_history() {
    let around = || StoryContext { now: at(), environment: Some("javascript:alert(1)//") };
    for (phase, state) in [
        (Phase::Dead(failed()), EventState::Dead),
        (Phase::Dead(failed()), EventState::Discarded),
        (Phase::Waiting, EventState::Waiting),
        (Phase::InHand, EventState::InProgress),
        (Phase::Finished(failed()), EventState::Succeeded),
    ] {
        let mut event = told(phase, state);
        let life = &mut event.stored.as_mut().expect("a record").record.life;
        life.add(Milestone::waiting(at(), HOSTILE, at()));
        life.add(Milestone::discarded(at(), HOSTILE));
        assert_harmless(&find::event(&event, &around()).0);
        assert_harmless(&find::event(&FoundEvent { stored: None, ..event }, &around()).0);
    }
    let known = [(told(Phase::Dead(failed()), EventState::Dead), around())];
    let incomplete = [HOSTILE.to_owned()];
    let result = find::FindAnswer { found: &known, incomplete: &incomplete };
    assert_harmless(&find::find(HOSTILE, Some(&result)).0);
    assert_harmless(&find::find(HOSTILE, Some(&find::FindAnswer { found: &[], incomplete: &[] })).0);
}

#[test]
fn names_are_never_markup_among_events() {
    let all = EventState::ALL.map(answer);
    let list = EventList {
        now: at(),
        state: Some(EventState::Dead),
        organization: HOSTILE,
        events: &all,
        next: Some(HOSTILE),
        is_continued: true,
    };
    let drawn = events::events(&list);
    assert_harmless(&drawn.0);
    assert!(drawn.0.contains(r#"<option value="dead" selected>dead letter"#), "{}", drawn.0);
}

#[test]
fn names_are_never_markup_among_dead_letters() {
    let (now, entries) = (at(), [entry()]);
    let selection = SelectionText { ids: vec![HOSTILE.to_owned()], organization: text(), ..SelectionText::default() };
    let filter = FilterForm(selection);
    let group = |reason| DeadLetterGroup {
        handle: HOSTILE.to_owned(),
        reason,
        organization_id: text(),
        error: text(),
        count: 2,
        first: None,
        last: Some(now),
    };
    let groups = vec![group(text()), group(Some("invalid_event".to_owned()))];
    let found = LetterSurvey { groups, beyond: 1, entries: entries.to_vec(), total: 250 };
    let survey = DeadLetterSurvey { found, age: None };
    let mut job = JobView::sample();
    job.problem = text();
    let page = list_of(&survey, &filter, SignIn::Operator);
    assert_harmless(&letters(&DeadLetterList { picks: &[HOSTILE.to_owned()], page: 2, ..page }).0);
    assert_harmless(&letters(&DeadLetterList { jobs: &[job], ..page }).0);
    let form =
        EditForm { letter_id: HOSTILE, body: "<script>alert(1)</script></textarea>", checked: Some(Err(HOSTILE)) };
    assert_harmless(&edit(&form).0);
    let rehearsal =
        DryRunForm { now, act: LetterChange::Discard, filter: &filter, count: 2, entries: &entries, age: None };
    assert_harmless(&confirm(&rehearsal).0);
    let whole = serde_json::json!({ "headers": { "x": HOSTILE }, "body": HOSTILE });
    let shown = DeadLetterEntry { message: whole.as_object().cloned(), ..entry() };
    let session = SignIn::Operator;
    assert_harmless(&one(&OneDeadLetter { now, session, filter: &filter, entry: &shown }).0);
    let done = Completion::Failed(HOSTILE.to_owned());
    let lines = [(entry(), Some(Phase::Dead(failed())))];
    assert_harmless(
        &course(&JobProgress { now, act: LetterChange::Replay, seen: 1, total: 2, done, lines: &lines, beyond: 0 }).0,
    );
}

#[test]
fn names_are_never_markup_in_the_record() {
    let entry = AuditEntry {
        at: at(),
        who: Identity::Token,
        from: None,
        user: text(),
        action: AuditAction::Discard,
        subject: HOSTILE.to_owned(),
        count: 1200,
    };
    let reason =
        StatusReason { organization_id: text(), cause: HOSTILE.to_owned(), advice: HOSTILE.to_owned(), since: at() };
    let owner =
        JournalChange::Owner { organization: HOSTILE.to_owned(), from: HOSTILE.to_owned(), to: HOSTILE.to_owned() };
    let changes = [JournalChange::Began(reason.clone()), JournalChange::Ended(reason, at()), owner];
    let happened = changes.map(|change| ActivityEntry { at: at(), change });
    let drawn = activity(&ActivityView { actions: &[entry], jobs: &[], happened: &happened, now: at() }).into_string();
    assert_harmless(&drawn);
    assert!(drawn.contains("discarded dead letters") && drawn.contains("1,200"), "{drawn}");
}

#[test]
fn names_are_never_markup_among_organizations() {
    let check = Finding {
        check: HOSTILE,
        half: SetupHalf::Environment,
        result: CheckResult::Failed,
        message: HOSTILE.to_owned(),
        advice: HOSTILE.to_owned(),
    };
    let report = TestReport { organization_id: HOSTILE.to_owned(), passed: false, checks: vec![check] };
    let paused = view(OrganizationState::Paused { since: at() });
    let drawn = |session, state: &TestState| {
        let tested = Some((at(), state));
        organization(&OneOrganization { now: at(), session, view: &paused, rate: None, hours: &[None], tested }).0
    };
    let done = TestState::Done(report.clone());
    for state in [&done, &TestState::Running(report.checks), &TestState::Failed(HOSTILE.to_owned())] {
        assert_harmless(&drawn(SignIn::Open, state));
    }
    let buttons = |session| {
        let drawn = drawn(session, &done);
        (drawn.matches("/resume").count(), drawn.matches("/pause").count(), drawn.matches("/test").count())
    };
    assert_eq!((buttons(SignIn::Open), buttons(SignIn::Reader)), ((1, 0, 1), (0, 0, 0)));
    let worker = WorkerView {
        name: HOSTILE.to_owned(),
        version: HOSTILE.to_owned(),
        started_at: at(),
        seen_at: at(),
        state: HOSTILE.to_owned(),
        organizations: 1,
        in_flight: 0,
    };
    let blocked = OrganizationState::Blocked { since: at(), error: HOSTILE.to_owned(), advice: HOSTILE.to_owned() };
    let all = [view(blocked), view(OrganizationState::Open)];
    let filter = OrganizationFilter { text: HOSTILE.to_owned(), page: 1, ..OrganizationFilter::default() };
    assert!(!head(&filter).0.contains("<script>"));
    for (session, forms) in [(SignIn::Operator, 4), (SignIn::Reader, 0)] {
        let (rate, is_tested) = (&|_: &str| Some(6.0), &|_: &str| false);
        let workers = Ok(std::slice::from_ref(&worker));
        let drawn =
            list(&OrganizationListPage { now: at(), filter: &filter, session, all: &all, rate, is_tested, workers });
        assert_harmless(&drawn.0);
        assert_eq!(drawn.0.matches("<form").count(), forms, "{}", drawn.0);
        assert!(
            drawn.0.contains("on hold") && drawn.0.contains("30 s") && drawn.0.contains("1 blocked"),
            "{}",
            drawn.0
        );
    }
    let whole = page(PageTab::Organizations, HOSTILE, &page_head(), &html! { h1 { "x" } });
    assert!(whole.0.contains("&lt;script&gt;alert(1)") && !whole.0.contains("<script>"));
}
