use serde_json::{Value, json};
use uuid::Uuid;

use super::{event_id, render};
use crate::event::{Channel, ContactId, EventKey, IncidentId, Kind, Route, SessionId, WorkItemId};
use crate::workflow::{Failure, IncidentRef, Outcome, Reason, Status, StepName, Warning};

fn key() -> EventKey {
    EventKey { organization_id: "org_acme".into(), event_id: "evt_01JDA7".into() }
}

fn outcome(kind: Kind, status: Status) -> Outcome {
    Outcome {
        kind,
        status,
        route: None,
        session_id: Some(SessionId::from("ses_9f2c")),
        channel: None,
        incident: None,
        closed: Vec::new(),
        work_item: None,
        contact_id: None,
        attempts: 1,
        warnings: Vec::new(),
        reason: None,
        error: None,
        finished_at: "2026-11-22T10:15:01.987Z".parse().expect("a timestamp"),
    }
}

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn value(outcome: &Outcome) -> Value {
    serde_json::to_value(render(outcome, &key())).expect("an outcome is JSON")
}

fn incident(n: u128) -> IncidentRef {
    IncidentRef { id: IncidentId(uuid(n)), ticket_number: Some("CAS-01234-X1Y2Z3".to_owned()) }
}

#[test]
fn a_handoff_renders_as_in_the_contract() {
    let outcome = Outcome {
        route: Some(Route::Incident),
        channel: Some(Channel::new("Email")),
        incident: Some(incident(1)),
        contact_id: Some(ContactId(uuid(2))),
        ..outcome(Kind::Handoff, Status::Succeeded)
    };
    let text = serde_json::to_string_pretty(&render(&outcome, &key())).expect("JSON");
    assert_eq!(
        text,
        r#"{
  "event": "dynamics365.handoff.succeeded",
  "event_id": "8c41e82c-8411-51da-9883-6f77d6d2f304",
  "organization_id": "org_acme",
  "timestamp": "2026-11-22T10:15:01Z",
  "data": {
    "source_event_id": "evt_01JDA7",
    "session_id": "ses_9f2c",
    "channel": "email",
    "route": "incident",
    "session_meta": {
      "dynamics365_incident_id": "00000000-0000-0000-0000-000000000001",
      "dynamics365_ticket_number": "CAS-01234-X1Y2Z3"
    },
    "contact_id": "00000000-0000-0000-0000-000000000002",
    "attempts": 1,
    "warnings": [],
    "reason": null,
    "error": null
  }
}"#
    );
}

#[test]
fn a_chat_is_initiated() {
    let outcome = Outcome {
        route: Some(Route::LiveWorkItem),
        work_item: Some(WorkItemId(uuid(3))),
        ..outcome(Kind::Handoff, Status::Succeeded)
    };
    let data = &value(&outcome)["data"];
    assert_eq!(data["route"], "live_work_item");
    assert_eq!(
        data["session_meta"],
        json!({
            "dynamics365_chat_id": "00000000-0000-0000-0000-000000000003",
            "dynamics365_chat_status": "initiated",
        })
    );
}

#[test]
fn a_resolution_lists_every_closed_incident() {
    let closed = |ids: &[u128]| Outcome {
        incident: Some(incident(2)),
        closed: ids.iter().map(|n| IncidentId(uuid(*n))).collect(),
        ..outcome(Kind::Resolution, Status::Succeeded)
    };
    let ids = |outcome: &Outcome| value(outcome)["data"]["session_meta"].get("dynamics365_incident_ids").cloned();
    assert_eq!(ids(&closed(&[2])), None);
    assert_eq!(ids(&closed(&[1, 2])), Some(json!([uuid(1).to_string(), uuid(2).to_string()])));
}

#[test]
fn a_failure_carries_its_error() {
    let outcome = Outcome {
        reason: Some(Reason::RejectedByDynamics),
        warnings: vec![Warning::ContactUnlinked],
        error: Some(Failure {
            step: StepName::PostIncident,
            status: Some(400),
            code: Some("0x80048d19".to_owned()),
            message: "refused".to_owned(),
            advice: None,
        }),
        ..outcome(Kind::Handoff, Status::Failed)
    };
    let event = value(&outcome);
    assert_eq!(event["event"], "dynamics365.handoff.failed");
    assert_eq!(event["data"]["session_meta"], json!({}));
    assert_eq!(event["data"]["reason"], "rejected_by_dynamics");
    assert_eq!(event["data"]["warnings"], json!(["contact_unlinked"]));
    assert_eq!(
        event["data"]["error"],
        json!({
            "step": "post_incident",
            "status": 400,
            "code": "0x80048d19",
            "message": "refused",
            "advice": null,
        })
    );
}

#[test]
fn the_id_depends_on_organization_event_and_result() {
    let id = |status, organization: &str, event: &str| {
        let key = EventKey { organization_id: organization.into(), event_id: event.into() };
        event_id(&outcome(Kind::Handoff, status), &key)
    };
    let first = id(Status::Succeeded, "a", "b");
    assert_eq!(first, id(Status::Succeeded, "a", "b"));
    let others = [
        id(Status::Skipped, "a", "b"),
        id(Status::Failed, "a", "b"),
        id(Status::Succeeded, "ab", ""),
        id(Status::Succeeded, "b", "a"),
    ];
    assert!(others.iter().all(|other| *other != first));
    let later = Outcome {
        finished_at: "2027-01-01T00:00:00Z".parse().expect("a timestamp"),
        attempts: 9,
        ..outcome(Kind::Handoff, Status::Succeeded)
    };
    let key = EventKey { organization_id: "a".into(), event_id: "b".into() };
    assert_eq!(event_id(&later, &key), first);
}
