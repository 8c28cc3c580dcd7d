use serde_json::{Value, json};

use super::{event, handoff, resolved, with};
use crate::event::{Body, Handoff, Kind, Resolution, Route, Verdict};

fn handoff_of(body: &Value) -> Handoff {
    match event(body).body {
        Body::Handoff(handoff) => *handoff,
        Body::Resolution(_) => panic!("a resolution: {body}"),
    }
}

fn resolution_of(body: &Value) -> Resolution {
    match event(body).body {
        Body::Resolution(resolution) => resolution,
        Body::Handoff(_) => panic!("a handoff: {body}"),
    }
}

#[test]
fn reads_the_handoff_of_the_contract() {
    let event = event(&handoff());
    assert_eq!(event.key.organization_id.as_str(), "org_acme");
    assert_eq!(event.key.event_id.as_str(), "evt_01JDA7");
    assert_eq!(event.kind(), Kind::Handoff);
    assert_eq!(event.route(), Some(Route::Incident));
    assert_eq!(event.timestamp.map(|at| at.to_string()).as_deref(), Some("2026-11-22T10:15:00Z"));
    let handoff = handoff_of(&handoff());
    assert_eq!(handoff.session_id.as_str(), "ses_9f2c");
    assert_eq!(handoff.channel.as_str(), "email");
    assert_eq!(handoff.classification.as_deref(), Some("Billing"));
    assert_eq!(handoff.sentiment.as_deref(), Some("negative"));
    assert_eq!(handoff.customer.email.as_deref(), Some("ann.o'brien+vip@example.com"));
    assert_eq!(handoff.transcript.len(), 2);
    assert_eq!(handoff.transcript[1].sender.as_deref(), Some("ai"));
    assert_eq!(handoff.transcript[1].name, None);
    assert_eq!(handoff.transcript[0].text.as_deref(), Some("I was charged twice."));
}

#[test]
fn reads_a_resolution() {
    let resolution = resolution_of(&resolved());
    assert_eq!(resolution.session_id.as_str(), "ses_9f2c");
    assert_eq!(resolution.channel, None);
    assert_eq!(resolution.verdict, Verdict::Resolved);
    assert_eq!(resolution.incident_id, None);
}

#[test]
fn closes_unless_the_status_is_not_resolved() {
    for (status, verdict) in [
        (json!("closed_unresolved"), Verdict::NotResolved),
        (json!(" Not_Resolved "), Verdict::NotResolved),
        (json!("closed_resolved"), Verdict::Resolved),
        (json!("anything"), Verdict::Resolved),
        (json!(""), Verdict::Resolved),
        (json!(null), Verdict::Resolved),
    ] {
        let body = with(resolved(), "/data/status", Some(status));
        assert_eq!(resolution_of(&body).verdict, verdict, "{body}");
    }
}

#[test]
fn takes_the_incident_from_meta() {
    let id = "0f8fad5b-d9cb-469f-a165-70867728950e";
    for given in [id.to_owned(), format!(" {{{}}} ", id.to_uppercase())] {
        let meta = json!({ "dynamics365_incident_id": given, "other": 1 });
        let body = with(resolved(), "/data/meta", Some(meta));
        let incident = resolution_of(&body).incident_id;
        assert_eq!(incident.map(|id| id.to_string()).as_deref(), Some(id));
    }
}

#[test]
fn null_absent_and_blank_are_the_same() {
    for pointer in [
        "/data/summary",
        "/data/classification",
        "/data/sentiment",
        "/data/customer",
        "/data/customer/name",
        "/data/customer/email",
        "/data/customer/phone",
        "/data/transcript/0/timestamp",
        "/data/transcript/0/sender",
        "/data/transcript/0/name",
        "/data/transcript/0/text",
        "/data/transcript",
    ] {
        let absent = event(&with(handoff(), pointer, None));
        for nothing in [json!(null), json!(""), json!(" \t\n\u{a0}")] {
            let given = event(&with(handoff(), pointer, Some(nothing)));
            assert_eq!(given, absent, "{pointer}");
        }
    }
}

#[test]
fn trims_scalars_but_not_message_texts() {
    let mut body = with(handoff(), "/data/summary", Some(json!("  Twice \n")));
    body = with(body, "/data/channel", Some(json!(" WhatsApp ")));
    body = with(body, "/data/customer/name", Some(json!("\tAnn ")));
    body = with(body, "/data/transcript/0/text", Some(json!("  code:\n    x\0 ")));
    let handoff = handoff_of(&body);
    assert_eq!(handoff.summary.as_deref(), Some("Twice"));
    assert_eq!(handoff.channel.as_str(), "whatsapp");
    assert_eq!(handoff.channel.route(), Route::LiveWorkItem);
    assert_eq!(handoff.customer.name.as_deref(), Some("Ann"));
    assert_eq!(handoff.transcript[0].text.as_deref(), Some("  code:\n    x\u{fffd} "));
}

#[test]
fn an_unreadable_message_time_counts_as_absent() {
    let body = with(handoff(), "/data/transcript/0/timestamp", Some(json!("yesterday")));
    assert_eq!(handoff_of(&body).transcript[0].timestamp, None);
}
