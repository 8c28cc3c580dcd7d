//! Decisions about a resolution, for every kind of session.

use super::explore::{closed, entry, open};
use super::states::{State, take};
use super::{early, late};
use crate::event::samples::resolution;
use crate::event::{Channel, Verdict};
use crate::workflow::samples::{at, incident, settings, settings_with, work_item};
use crate::workflow::{
    CloseWith, Closing, Decision, Learned, Memory, OpenCase, Outcome, Progress, Reason, Receipt, SessionState, Status,
    Step, Time, decide,
};

const CHAT: fn() -> SessionState = || SessionState::Chat { work_item: work_item(1) };
const BY_META: fn() -> SessionState = || SessionState::ClosedByMeta { incident: incident(4) };

fn memory(session: &[SessionState]) -> Memory {
    let session = session.iter().enumerate().map(|(n, state)| entry(&format!("evt_{n}"), state.clone())).collect();
    Memory { session, ..Memory::default() }
}

fn decided(session: &[SessionState], meta: Option<u8>, time: Time) -> Decision {
    let event = resolution(|it| it.incident_id = meta.map(incident));
    decide(&event, &settings(), &memory(session), &Progress::default(), time)
}

fn patch(n: u8) -> Decision {
    Decision::Call(Step::CloseIncident { incident: incident(n), how: Closing::Patch, etag: None })
}

fn reason(decision: &Decision) -> Option<Reason> {
    match decision {
        Decision::Finish(outcome) if outcome.status == Status::Skipped => outcome.reason,
        _ => None,
    }
}

#[test]
fn sessions_that_close_and_sessions_that_wait() {
    use SessionState::{Dead, Opening};
    let until = Some(early().now + std::time::Duration::from_secs(120));
    for (session, meta, expected) in [
        (vec![open(1)], None, patch(1)),
        (vec![open(1)], Some(4), patch(1)),
        (vec![closed(1), open(2)], None, patch(2)),
        (vec![CHAT(), open(2)], None, patch(2)),
        (vec![], Some(4), patch(4)),
        (vec![Dead], Some(4), patch(4)),
        (vec![BY_META()], Some(5), patch(5)),
        (vec![BY_META(), open(4), open(2)], None, patch(2)),
        (vec![Opening, open(1)], None, Decision::WaitForHandoff(None)),
        (vec![Opening], Some(4), Decision::WaitForHandoff(None)),
        (vec![], None, Decision::WaitForHandoff(until)),
        (vec![Dead], None, Decision::WaitForHandoff(until)),
    ] {
        assert_eq!(decided(&session, meta, early()), expected, "{session:?}, meta {meta:?}");
    }
}

#[test]
fn reasons_for_skipping_a_resolution() {
    use SessionState::Dead;
    for (session, meta, expected) in [
        (vec![CHAT()], None, Reason::LiveWorkItem),
        (vec![CHAT()], Some(4), Reason::LiveWorkItem),
        (vec![closed(1)], None, Reason::AlreadyClosed),
        (vec![closed(1)], Some(1), Reason::AlreadyClosed),
        (vec![closed(1)], Some(4), Reason::AlreadyClosed),
        (vec![closed(1), CHAT()], None, Reason::AlreadyClosed),
        (vec![BY_META()], Some(4), Reason::AlreadyClosed),
        (vec![BY_META(), open(4)], None, Reason::AlreadyClosed),
        (vec![], None, Reason::NoIncident),
        (vec![Dead], None, Reason::NoIncident),
    ] {
        let decision = decided(&session, meta, late());
        assert_eq!(reason(&decision), Some(expected), "{session:?}, meta {meta:?}: {decision:?}");
    }
}

#[test]
fn a_resolution_that_handoffs_may_follow_waits_for_them() {
    for session in [vec![], vec![open(1)], vec![closed(1)], vec![CHAT()]] {
        let memory = Memory { handoffs_may_follow: true, ..memory(&session) };
        let decision = decide(&resolution(|_| {}), &settings(), &memory, &Progress::default(), early());
        assert_eq!(decision, Decision::WaitForHandoff(None), "{session:?}");
    }
}

#[test]
fn not_resolved_is_skipped_for_every_session() {
    let event = resolution(|it| (it.verdict, it.incident_id) = (Verdict::NotResolved, Some(incident(4))));
    for session in [vec![], vec![open(1)], vec![SessionState::Opening], vec![CHAT()]] {
        let decision = decide(&event, &settings(), &memory(&session), &Progress::default(), early());
        assert_eq!(reason(&decision), Some(Reason::NotResolved), "{session:?}");
    }
}

#[test]
fn an_unknown_session_is_awaited_for_resolution_wait_and_no_longer() {
    let long = settings_with(|it| it.resolution_wait = std::time::Duration::from_secs(600));
    let at = |seconds| Time { age: std::time::Duration::from_secs(seconds), ..early() };
    let decided = |seconds| decide(&resolution(|_| {}), &long, &Memory::default(), &Progress::default(), at(seconds));
    assert_eq!(decided(599), Decision::WaitForHandoff(Some(early().now + std::time::Duration::from_secs(1))));
    assert_eq!(reason(&decided(600)), Some(Reason::NoIncident));
}

fn walk(session: &[SessionState], meta: Option<u8>, answer: impl Fn(Step) -> Receipt) -> (Outcome, Vec<Step>) {
    let event = resolution(|it| (it.incident_id, it.channel) = (meta.map(incident), Some(Channel::new("email"))));
    let mut state = State { progress: Progress::default(), memory: memory(session) };
    let mut steps = Vec::new();
    for _ in 0..16 {
        match decide(&event, &settings(), &state.memory, &state.progress, late()) {
            Decision::Call(step) => {
                state = take(state, &answer(step.clone()));
                steps.push(step);
            }
            Decision::Finish(outcome) => return (*outcome, steps),
            other => panic!("expected a step or an end, got {other:?}"),
        }
    }
    panic!("no end after {steps:?}")
}

fn close(step: Step) -> Receipt {
    match step {
        Step::CloseIncident { incident, .. } => Receipt::IncidentClosed(incident),
        other => panic!("a resolution asks for {other:?}"),
    }
}

fn miss(step: Step) -> Receipt {
    match close(step) {
        Receipt::IncidentClosed(id) => Receipt::IncidentMissing(id),
        other => other,
    }
}

#[test]
fn every_open_incident_of_the_session_is_closed_oldest_first() {
    let (outcome, steps) = walk(&[open(1), closed(3), open(2)], Some(4), close);
    assert_eq!(steps.len(), 2);
    assert_eq!((outcome.status, outcome.reason), (Status::Succeeded, None));
    assert_eq!(outcome.closed, [incident(1), incident(2)]);
    let newest = outcome.incident.expect("the newest is named");
    assert_eq!((newest.id, newest.ticket_number.as_deref()), (incident(2), Some("CAS-2")));
}

#[test]
fn a_missing_incident_is_skipped_as_incident_not_found() {
    for (session, meta) in [(vec![open(1)], None), (vec![], Some(4)), (vec![open(1), open(2)], None)] {
        let (outcome, _) = walk(&session, meta, miss);
        assert_eq!((outcome.status, outcome.reason), (Status::Skipped, Some(Reason::IncidentNotFound)));
    }
}

#[test]
fn one_missing_and_one_closed_incident_are_a_success() {
    let answer =
        |step: Step| if format!("{step:?}").contains(&incident(1).to_string()) { miss(step) } else { close(step) };
    let (outcome, _) = walk(&[open(1), open(2)], None, answer);
    assert_eq!((outcome.status, outcome.closed.as_slice()), (Status::Succeeded, &[incident(2)][..]));
}

#[test]
fn close_with_decides_the_request_and_auto_learns() {
    let learned = Learned { close_by_action: true, ..Learned::default() };
    for (close_with, learned, expected) in [
        (CloseWith::Auto, Learned::default(), Closing::Patch),
        (CloseWith::Auto, learned, Closing::Action),
        (CloseWith::Patch, learned, Closing::Patch),
        (CloseWith::CloseIncident, Learned::default(), Closing::Action),
    ] {
        let settings = settings_with(|it| it.close_with = close_with);
        let memory = Memory { learned, ..memory(&[open(1)]) };
        let decision = decide(&resolution(|_| {}), &settings, &memory, &Progress::default(), early());
        assert_eq!(decision, Decision::Call(Step::CloseIncident { incident: incident(1), how: expected, etag: None }));
    }
}

/// A process that died right after a check may have closed the case, so the check is no longer valid.
#[test]
fn a_check_is_valid_for_one_attempt_only() {
    let mut progress = Progress::default();
    assert!(progress.intend(incident(1), at("2026-11-22T10:16:00Z")));
    let seen = OpenCase { etag: "W/1".to_owned(), since: at("2026-11-22T10:16:00Z"), never_closed: true };
    progress.intent.as_mut().unwrap().seen = Some(seen);
    let decided = |progress: &Progress| {
        let event = resolution(|_| {});
        decide(&event, &settings(), &memory(&[open(1)]), progress, late())
    };
    assert!(matches!(decided(&progress), Decision::Call(Step::CloseIncident { etag: Some(_), .. })));
    let again = progress.for_new_attempt();
    assert!(matches!(decided(&again), Decision::Call(Step::LookAtIncident { .. })), "it is checked again");
}

/// The intent may come from any event of the session.
#[test]
fn a_case_that_another_event_may_have_closed_is_checked_first() {
    let since = at("2026-11-22T10:16:00Z");
    let mut memory = memory(&[open(1), open(2)]);
    memory.session[0].closing = Some(since);
    let decided = |progress: &Progress| decide(&resolution(|_| {}), &settings(), &memory, progress, late());
    let look = Decision::Call(Step::LookAtIncident { incident: incident(1), since });
    assert_eq!(decided(&Progress::default()), look);
    let done = Progress { closed: vec![incident(1)], ..Progress::default() };
    assert_eq!(decided(&done), patch(2), "the other case is unaffected");
}
