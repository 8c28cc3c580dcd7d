use super::*;
use crate::event::samples::{email, resolution};
use crate::event::{Channel, Seen};
use crate::workflow::samples::{at, contact, incident};
use crate::workflow::{Fit, IncidentRef, QueueBinding, Remedy, Warning};

const SEEN: &str = "2026-11-22T10:15:00Z";
const DEAD: &str = "2026-11-22T10:16:01Z";

fn rejection(reason: RejectionReason, seen: Seen) -> Rejection {
    Rejection { reason, path: Some("data.channel".to_owned()), problem: "required".to_owned(), seen }
}

fn fault(advice: &str) -> Fault {
    Fault {
        remedy: Remedy::Retry,
        step: StepName::AssignQueue,
        status: Some(503),
        code: None,
        message: "HTTP status 503 without a Dynamics error".to_owned(),
        advice: advice.to_owned(),
        request_id: None,
    }
}

#[test]
fn the_dead_letter_of_an_invalid_message_has_its_readable_fields() {
    let seen = Seen {
        organization_id: Some("org_acme".into()),
        event_id: Some("evt_1".into()),
        session_id: Some("ses_1".into()),
        kind: Some(Kind::Resolution),
    };
    let letter = rejected(rejection(RejectionReason::InvalidEvent, seen), at(SEEN), at(DEAD));
    let key = letter.key().expect("both ids could be read");
    assert_eq!((key.organization_id.as_str(), key.event_id.as_str()), ("org_acme", "evt_1"));
    assert_eq!((letter.reason, letter.first_seen), (Reason::InvalidEvent, at(SEEN)));
    let outcome = letter.outcome;
    assert_eq!((outcome.kind, outcome.status, outcome.route), (Kind::Resolution, Status::Failed, None));
    assert_eq!((outcome.reason, outcome.finished_at), (Some(Reason::InvalidEvent), at(DEAD)));
    let error = outcome.error.expect("an error");
    assert_eq!((error.step, error.message.as_str()), (StepName::Decode, "data.channel: required"));
    assert!(error.advice.is_some_and(|advice| advice.contains("replay")));
}

#[test]
fn without_organization_or_event_id_there_is_no_key_and_so_no_outcome() {
    let organization = || Some("org_acme".into());
    for (organization_id, event_id) in [(None, None), (organization(), None), (None, Some("evt_1".into()))] {
        let seen = Seen { organization_id, event_id, ..Seen::default() };
        let letter = rejected(rejection(RejectionReason::UnsupportedEvent, seen), at(SEEN), at(DEAD));
        assert_eq!(letter.key(), None);
        assert_eq!(letter.reason, Reason::UnsupportedEvent);
    }
}

#[test]
fn an_event_of_an_organization_that_is_not_configured() {
    let letter = unknown_organization(&email(), at(SEEN), at(DEAD));
    assert_eq!((letter.reason, letter.key()), (Reason::UnknownOrganization, Some(email().key)));
    assert_eq!(letter.outcome.channel, Some(Channel::new("email")));
    assert_eq!(letter.outcome.route, Some(Route::Incident));
    let error = letter.outcome.error.expect("an error");
    assert!(error.message.contains("\"org_acme\""));
    assert!(error.advice.is_some());
}

#[test]
fn the_dead_letter_of_an_event_has_its_progress_and_its_failure() {
    let progress = Progress {
        incident: Some(PostedIncident {
            id: incident(1),
            ticket_number: Some("CAS-1".to_owned()),
            contact: Some(contact(1)),
            queue: QueueBinding::Unbound,
            transcript: Fit::Whole,
        }),
        warnings: vec![Warning::PlaceholderCustomer],
        ..Progress::default()
    };
    let letter = given_up(&email(), Reason::RetriesExhausted, fault(""), (&progress, 9), (at(SEEN), at(DEAD)));
    let outcome = letter.outcome;
    assert_eq!((letter.reason, outcome.status, outcome.attempts), (Reason::RetriesExhausted, Status::Failed, 9));
    assert_eq!(outcome.incident, Some(IncidentRef { id: incident(1), ticket_number: Some("CAS-1".to_owned()) }));
    assert_eq!((outcome.contact_id, outcome.warnings), (Some(contact(1)), vec![Warning::PlaceholderCustomer]));
    assert_eq!((outcome.session_id, outcome.channel), (Some("ses_9f2c".into()), Some(Channel::new("email"))));
    let error = outcome.error.expect("an error");
    assert_eq!((error.step, error.status, error.code, error.advice), (StepName::AssignQueue, Some(503), None, None));
}

#[test]
fn the_dead_letter_of_a_resolution_has_no_route() {
    let done = (&Progress::default(), 1);
    let letter =
        given_up(&resolution(|_| {}), Reason::RejectedByDynamics, fault("Do this."), done, (at(SEEN), at(DEAD)));
    assert_eq!((letter.outcome.kind, letter.outcome.route), (Kind::Resolution, None));
    assert_eq!(letter.outcome.error.and_then(|error| error.advice).as_deref(), Some("Do this."));
}
