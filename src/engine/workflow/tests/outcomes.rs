//! Outcomes and records of finished events.

use serde_json::json;

use super::explore::{closed, entry, open};
use super::states::{Case, Graph};
use super::{late, next};
use crate::event::samples::{email, handoff, resolution};
use crate::event::{Channel, Kind, Route};
use crate::workflow::samples::{self, at, incident, settings, work_item};
use crate::workflow::view::{WithHistory, view};
use crate::workflow::{
    Decision, Fit, HISTORY_LIMIT, HistoryEntry, IncidentRef, Memory, Outcome, Phase, Progress, Record, SessionState,
    Status, Step, StepName, Time, decide, render,
};

fn record(phase: Phase) -> Record {
    Record { session_id: Some("ses_9f2c".into()), attempts: 2, ..samples::record(phase) }
}

fn entry_no(n: u32) -> HistoryEntry {
    HistoryEntry {
        at: at("2026-11-22T10:15:00Z"),
        attempt: n,
        step: StepName::PostIncident,
        elapsed_ms: 1,
        status: Some(503),
        code: None,
        error: None,
        request_id: None,
    }
}

fn finished(case: &Case) -> Outcome {
    let end = Graph::of(case).ends.into_iter().next();
    match end {
        Some((_, Decision::Finish(outcome))) => *outcome,
        other => panic!("expected an outcome, got {other:?}"),
    }
}

#[test]
fn web_sms_and_whatsapp_become_a_live_work_item_and_everything_else_an_incident() {
    for (channel, chat) in [
        ("web", true),
        (" Web ", true),
        ("sms", true),
        ("WhatsApp", true),
        ("email", false),
        ("phone", false),
        ("phone_voice", false),
        ("web_voice", false),
        ("slack", false),
        ("instagram", false),
        ("messenger", false),
        ("api", false),
        ("carrier pigeon", false),
    ] {
        let event = handoff(|it| it.channel = Channel::new(channel));
        let decision = next(&event, &settings(), &Memory::default());
        assert_eq!(
            decision == Decision::Call(Step::PostLiveWorkItem { subject_limit: None }),
            chat,
            "{channel}: {decision:?}"
        );
    }
}

#[test]
fn two_handoffs_of_one_session_are_two_incidents() {
    let plain = next(&email(), &settings(), &Memory::default());
    for state in [open(1), closed(1), SessionState::Opening, SessionState::Chat { work_item: work_item(1) }] {
        let memory = Memory { session: vec![entry("evt_other", state)], ..Memory::default() };
        assert_eq!(next(&email(), &settings(), &memory), plain);
    }
}

#[test]
fn a_chats_outcome_has_its_id_and_no_contact() {
    let event = handoff(|it| it.channel = Channel::new("sms"));
    let case = Case { name: "chat", event, settings: settings(), memory: Memory::default(), fit: Fit::Whole };
    let outcome = finished(&case);
    assert_eq!((outcome.kind, outcome.status), (Kind::Handoff, Status::Succeeded));
    assert_eq!((outcome.route, outcome.work_item), (Some(Route::LiveWorkItem), Some(work_item(1))));
    assert_eq!((outcome.incident, outcome.contact_id), (None, None));
    assert_eq!((outcome.channel, outcome.session_id), (Some(Channel::new("sms")), Some("ses_9f2c".into())));
}

#[test]
fn an_outcome_records_the_attempts_and_the_time() {
    let progress = Progress { work_item: Some(work_item(1)), ..Progress::default() };
    let event = handoff(|it| it.channel = Channel::new("sms"));
    let time = Time { attempts: 4, ..late() };
    let Decision::Finish(outcome) = decide(&event, &settings(), &Memory::default(), &progress, time) else {
        panic!("expected an outcome")
    };
    assert_eq!((outcome.attempts, outcome.finished_at), (4, late().now));
}

#[test]
fn a_skipped_resolution_names_the_records_of_the_session() {
    let skipped = |session| {
        let memory = Memory { session, ..Memory::default() };
        match next(&resolution(|_| {}), &settings(), &memory) {
            Decision::Finish(outcome) => *outcome,
            other => panic!("expected an outcome, got {other:?}"),
        }
    };
    let outcome = skipped(vec![entry("a", closed(1)), entry("b", closed(2))]);
    let newest = IncidentRef { id: incident(2), ticket_number: Some("CAS-2".to_owned()) };
    assert_eq!((outcome.route, outcome.incident), (Some(Route::Incident), Some(newest)));
    let outcome = skipped(vec![entry("a", SessionState::Chat { work_item: work_item(1) })]);
    assert_eq!((outcome.route, outcome.work_item), (Some(Route::LiveWorkItem), Some(work_item(1))));
    assert_eq!(skipped(vec![]).route, None);
}

#[test]
fn a_list_shows_the_announced_outcome() {
    let memory = Memory { session: vec![entry("a", open(1)), entry("b", open(2))], ..Memory::default() };
    let (event, settings) = (resolution(|_| {}), settings());
    let all = Graph::of(&Case { name: "list", event: event.clone(), settings, memory, fit: Fit::Whole });
    let outcomes = all.ends.into_iter().filter_map(|(_, end)| match end {
        Decision::Finish(outcome) => Some(*outcome),
        _ => None,
    });
    for outcome in outcomes {
        let announced = serde_json::to_value(render(&outcome, &event.key)).expect("JSON");
        let shown = view(&event.key, &record(Phase::Finished(outcome.clone())), WithHistory::Yes).expect("an outcome");
        for (name, value) in announced["data"].as_object().expect("an object") {
            assert_eq!(&shown[name], value, "{name}");
        }
        assert_eq!(shown["organization_id"], "org_acme");
        assert_eq!(shown["status"], json!(outcome.status));
        assert_eq!(shown["finished_at"], "2026-11-22T12:15:00Z");
        let steps: Vec<&str> =
            shown["history"].as_array().expect("an array").iter().filter_map(|it| it["step"].as_str()).collect();
        assert_eq!(steps, ["received", shown["status"].as_str().expect("a status")]);
    }
    assert_eq!(view(&event.key, &record(Phase::Waiting), WithHistory::No), None);
}

#[test]
fn a_history_keeps_its_first_entry_and_the_newest() {
    let mut record = record(Phase::InHand);
    for n in 1..=40 {
        record.note(entry_no(n));
    }
    let attempts: Vec<u32> = record.history.iter().map(|entry| entry.attempt).collect();
    assert_eq!(attempts.len(), HISTORY_LIMIT);
    assert_eq!((attempts[0], attempts[1], attempts[HISTORY_LIMIT - 1]), (1, 26, 40));
}

/// A record of an earlier version lacks later fields; an absent field has its default.
#[test]
fn a_progress_survives_serialization_and_an_empty_one_is_empty() {
    let case = Case { name: "disk", event: email(), settings: settings(), memory: Memory::default(), fit: Fit::Cut };
    let graph = Graph::of(&case);
    for transition in &graph.transitions {
        let written = serde_json::to_string(&transition.to.progress).expect("JSON");
        let read: Progress = serde_json::from_str(&written).expect("a progress");
        assert_eq!(read, transition.to.progress);
    }
    assert_eq!(serde_json::from_str::<Progress>("{}").expect("a progress"), Progress::default());
    assert_eq!(serde_json::to_string(&Progress::default()).expect("JSON"), "{}");
}
